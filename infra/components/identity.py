"""Who the service is to Azure."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from components.place import Place
from stack import SYSTEM


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """Where the identity is."""

    place: Place


class Identity(pulumi.ComponentResource):
    """The service's identity: opens the store, reads its secrets, pulls its image, and has no password."""

    id: pulumi.Output[str]
    principal_id: pulumi.Output[str]
    client_id: pulumi.Output[str]
    tenant_id: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Identity", name, None, opts)
        made = managedidentity.UserAssignedIdentity(
            SYSTEM,
            resource_group_name=args.place.group,
            location=args.place.location,
            tags=args.place.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id, self.principal_id = made.id, made.principal_id
        self.client_id, self.tenant_id = made.client_id, made.tenant_id
        self.register_outputs({"principal_id": self.principal_id})
