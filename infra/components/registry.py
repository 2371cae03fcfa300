"""The container registry. Development builds the image in it (`infra/build-image.sh`); production imports it."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerregistry

from components.context import Context
from components.identity import Identity
from components.known_name import known_name
from components.roles import ACR_PULL, Grant, assign_role
from stack import SYSTEM


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """The arguments of `Registry`: the identity may pull images."""

    context: Context
    identity: Identity


class Registry(pulumi.ComponentResource):
    """A registry without an administrator account, and the reference of the image to run."""

    # Known when the copy in a second region exists.
    id: pulumi.Output[str]
    server: pulumi.Output[str]
    image: pulumi.Output[str]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Registry", name, None, opts)
        self._args = args
        self._child_options = pulumi.ResourceOptions(parent=self)
        registry = self._create_registry()
        grant = Grant(principal_id=args.identity.principal_id, role=ACR_PULL, scope=registry.id)
        assign_role("registry", grant, self._child_options)
        self.id = registry.id
        if args.context.stack.second_region:
            replica = self._create_replica(registry, args.context.stack.second_region.location)
            self.id = pulumi.Output.all(registry.id, replica.id).apply(lambda ids: str(ids[0]))
        if args.context.network:
            args.context.network.create_private_endpoint("registry", "registry", self.id, parent=self)
        logs = ["ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"]
        args.context.observability.send_logs("registry", registry.id, logs=logs, parent=self)
        self.server = registry.login_server
        self.image = pulumi.Output.concat(self.server, "/", args.context.stack.release.image)
        self.register_outputs({"server": self.server})

    def _create_replica(self, registry: containerregistry.Registry, location: str) -> containerregistry.Replication:
        """Create a copy of the registry from which a second region pulls the image."""
        return containerregistry.Replication(
            "standby",
            resource_group_name=self._args.context.group.name,
            registry_name=known_name(registry),
            # Azure requires the name of the region.
            replication_name=location,
            location=location,
            region_endpoint_enabled=True,
            zone_redundancy="Enabled",
            tags=self._args.context.group.tags,
            opts=self._child_options,
        )

    def _create_registry(self) -> containerregistry.Registry:
        group, production = self._args.context.group, self._args.context.stack.production
        return containerregistry.Registry(
            SYSTEM,
            resource_group_name=group.name,
            location=group.location,
            sku=containerregistry.SkuArgs(name="Premium" if production else "Basic"),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            public_network_access="Disabled" if production else "Enabled",
            # Required for `az acr import` from another registry.
            network_rule_bypass_options="AzureServices",
            zone_redundancy="Enabled" if production else "Disabled",
            tags=group.tags,
            opts=self._child_options,
        )
