"""What `pulumi up` makes, in the order in which it is needed."""

import pulumi

from components.alerts import Alerts, AlertsArgs
from components.api import Api, ApiArgs
from components.environment import Environment, EnvironmentArgs
from components.gateway import Gateway, GatewayArgs
from components.identity import Identity, IdentityArgs
from components.locks import Locks, LocksArgs
from components.network import Network, NetworkArgs
from components.observability import Observability, ObservabilityArgs
from components.place import place
from components.registry import Registry, RegistryArgs
from components.service import Service, ServiceArgs
from components.site import Site
from components.store import Store, StoreArgs
from components.vault import Vault, VaultArgs
from stack import SYSTEM, read

stack = read()
where = place(stack)
network = Network(SYSTEM, NetworkArgs(place=where)) if stack.production else None
identity = Identity(SYSTEM, IdentityArgs(place=where))
observability = Observability(SYSTEM, ObservabilityArgs(place=where, stack=stack, identity=identity))

site = Site(place=where, stack=stack, observability=observability, network=network)
store = Store(SYSTEM, StoreArgs(site=site, identity=identity))
vault = Vault(SYSTEM, VaultArgs(site=site, identity=identity))
registry = Registry(SYSTEM, RegistryArgs(site=site, identity=identity))
environment = Environment(SYSTEM, EnvironmentArgs(site=site))
gateway = Gateway(SYSTEM, GatewayArgs(site=site, vault=vault))

service = None
if stack.release.runs:
    service = Service(
        SYSTEM,
        ServiceArgs(
            site=site,
            environment=environment,
            identity=identity,
            registry=registry,
            store=store,
            vault=vault,
            public_url=gateway.url,
            after=[store, vault, registry, observability, environment],
        ),
    )
    Api(SYSTEM, ApiArgs(site=site, gateway=gateway, service_url=service.url))
    pulumi.export("revision", service.revision)
    pulumi.export("image", registry.image)
Alerts(SYSTEM, AlertsArgs(site=site, gateway=gateway, service=service))
if stack.production:
    held = {"store": store.account_id, "vault": vault.vault_id}
    # The gateway may read one of the vault's secrets: that is under it as well.
    Locks(SYSTEM, LocksArgs(held=held, under=[store, vault, gateway]))

pulumi.export("url", gateway.url)
pulumi.export("registry", registry.server)
pulumi.export("resourceGroup", where.group)
