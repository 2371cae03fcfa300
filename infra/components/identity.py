"""The managed identity of the service."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from components.resource_group import ResourceGroup
from stack import SYSTEM


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """The arguments of `Identity`."""

    group: ResourceGroup


class Identity(pulumi.ComponentResource):
    """The identity by which the service accesses the store, its secrets and its image. It has no password."""

    id: pulumi.Output[str]
    principal_id: pulumi.Output[str]
    client_id: pulumi.Output[str]
    tenant_id: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Identity", name, None, opts)
        identity = managedidentity.UserAssignedIdentity(
            SYSTEM,
            resource_group_name=args.group.name,
            location=args.group.location,
            tags=args.group.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id, self.principal_id = identity.id, identity.principal_id
        self.client_id, self.tenant_id = identity.client_id, identity.tenant_id
        self.register_outputs({"principal_id": self.principal_id})
