"""Who may do what: Azure's built-in roles, and assignments whose names follow from what they say.

A name that follows from principal, role and scope makes a change of one of them a new assignment, as Azure demands.
"""

import uuid
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
MONITORING_METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
# https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security
COSMOS_DATA_CONTRIBUTOR = "00000000-0000-0000-0000-000000000002"

_ROLES = "/providers/Microsoft.Authorization/roleDefinitions"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One role for one principal, over one thing and what is in it."""

    principal_id: pulumi.Input[str]
    role: str
    scope: pulumi.Input[str]


def assigned(name: str, grant: Grant, opts: pulumi.ResourceOptions) -> authorization.RoleAssignment:
    """The assignment of a role to an identity of Azure's."""
    scope = pulumi.Output.from_input(grant.scope)
    return authorization.RoleAssignment(
        name,
        principal_id=grant.principal_id,
        # Said, so that Azure does not look for an identity that its directory does not know yet.
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=scope.apply(lambda at: f"{_subscription(at)}{_ROLES}/{grant.role}"),
        role_assignment_name=assignment_name(grant),
        scope=grant.scope,
        opts=opts,
    )


def assignment_name(grant: Grant) -> pulumi.Output[str]:
    """The one id that this grant has."""
    told = pulumi.Output.all(grant.principal_id, grant.scope)
    return told.apply(lambda both: str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join([grant.role, *both]))))


def _subscription(resource_id: str) -> str:
    """The subscription that a resource is in, as the beginning of ids: `/subscriptions/{id}`."""
    return "/".join(resource_id.split("/")[:3])
