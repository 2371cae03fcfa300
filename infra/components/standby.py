"""A second region, in which the service takes over when the first one is lost."""

from dataclasses import dataclass, replace

import pulumi

from components.context import Context
from components.environment import Environment, EnvironmentArgs
from components.identity import Identity
from components.network import Network, NetworkArgs
from components.registry import Registry
from components.resource_group import create_standby_group
from components.service import STANDBY_REPLICAS, Service, ServiceArgs
from components.store import Store
from components.vault import Vault
from stack import SYSTEM, SecondRegion


@dataclass(frozen=True, kw_only=True)
class StandbyArgs:
    """The arguments of `Standby`. `context` is that of the first region, and `public_url` the gateway's address."""

    context: Context
    region: SecondRegion
    identity: Identity
    registry: Registry
    store: Store
    vault: Vault
    public_url: pulumi.Output[str]


class Standby(pulumi.ComponentResource):
    """A group in the second region with a network of its own, private endpoints, an environment and the app."""

    # None before there is an image.
    url: pulumi.Output[str] | None

    def __init__(self, name: str, args: StandbyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Standby", name, None, opts)
        self._args, stack = args, args.context.stack
        self._child_options = pulumi.ResourceOptions(parent=self)
        group = create_standby_group(stack, args.region.location, self._child_options)
        network = Network(SYSTEM, NetworkArgs(group=group, peer=args.context.network), self._child_options)
        self._create_endpoints(network)
        # A revision's name is its app's own: here the newest one takes all traffic.
        release = replace(stack.release, stable_revision="", newest_weight=100)
        context = replace(args.context, group=group, network=network, stack=replace(stack, release=release))
        environment = Environment(SYSTEM, EnvironmentArgs(context=context), self._child_options)
        self.url = self._create_service(context, environment, network).url if release.has_service else None
        self.register_outputs({})

    def _create_endpoints(self, network: Network) -> None:
        """Create the private endpoints of the first region's resources in this region's network."""
        network.create_private_endpoint("store", "Sql", self._args.store.account_id, parent=network)
        network.create_private_endpoint("vault", "vault", self._args.vault.vault_id, parent=network)
        network.create_private_endpoint("registry", "registry", self._args.registry.id, parent=network)

    def _create_service(self, context: Context, environment: Environment, network: Network) -> Service:
        args = self._args
        return Service(
            SYSTEM,
            ServiceArgs(
                context=context,
                environment=environment,
                identity=args.identity,
                registry=args.registry,
                store=args.store,
                vault=args.vault,
                public_url=args.public_url,
                replicas=STANDBY_REPLICAS,
                after=[args.store, args.vault, args.registry, context.observability, environment, network],
            ),
            self._child_options,
        )
