"""Role assignments to Azure's built-in roles.

The name of an assignment is derived from principal, role and scope: changing one of them creates a new assignment,
because Azure does not allow updates.
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
    """One role for one principal at one scope, which includes everything under it."""

    principal_id: pulumi.Input[str]
    role: str
    scope: pulumi.Input[str]


def assign_role(name: str, grant: Grant, opts: pulumi.ResourceOptions) -> authorization.RoleAssignment:
    """Assign a role to a managed identity."""
    scope = pulumi.Output.from_input(grant.scope)
    return authorization.RoleAssignment(
        name,
        principal_id=grant.principal_id,
        # With the type set, Azure does not look up the identity, which may not be replicated in its directory yet.
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=scope.apply(lambda resource_id: f"{_subscription(resource_id)}{_ROLES}/{grant.role}"),
        role_assignment_name=assignment_name(grant),
        scope=grant.scope,
        opts=opts,
    )


def assignment_name(grant: Grant) -> pulumi.Output[str]:
    """Return the UUID that is derived from the grant."""
    principal_and_scope = pulumi.Output.all(grant.principal_id, grant.scope)
    return principal_and_scope.apply(lambda ids: str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join([grant.role, *ids]))))


def _subscription(resource_id: str) -> str:
    """Return the subscription's id, the prefix of every resource id: `/subscriptions/{id}`."""
    return "/".join(resource_id.split("/")[:3])
