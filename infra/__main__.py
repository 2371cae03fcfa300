"""The resources of a stack, created in the order of their dependencies."""

import pulumi

from components.alerts import Alerts, AlertsArgs
from components.api import Api, ApiArgs
from components.context import Context
from components.custom_domain import DomainAccess, DomainAccessArgs
from components.environment import Environment, EnvironmentArgs
from components.gateway import Gateway, GatewayArgs
from components.identity import Identity, IdentityArgs
from components.locks import Locks, LocksArgs
from components.network import Network, NetworkArgs
from components.observability import Observability, ObservabilityArgs
from components.registry import Registry, RegistryArgs
from components.resource_group import create_resource_group
from components.service import REPLICAS, Service, ServiceArgs
from components.standby import Standby, StandbyArgs
from components.store import Store, StoreArgs
from components.vault import Vault, VaultArgs
from stack import SYSTEM, read_stack

stack = read_stack()
group = create_resource_group(stack)
network = Network(SYSTEM, NetworkArgs(group=group)) if stack.production else None
identity = Identity(SYSTEM, IdentityArgs(group=group))
observability = Observability(SYSTEM, ObservabilityArgs(group=group, stack=stack, identity=identity))

context = Context(group=group, stack=stack, observability=observability, network=network)
store = Store(SYSTEM, StoreArgs(context=context, identity=identity))
vault = Vault(SYSTEM, VaultArgs(context=context, identity=identity))
registry = Registry(SYSTEM, RegistryArgs(context=context, identity=identity))
environment = Environment(SYSTEM, EnvironmentArgs(context=context))
domain = None
if stack.custom_domain:
    domain = DomainAccess(SYSTEM, DomainAccessArgs(group=group, domain=stack.custom_domain))
gateway = Gateway(SYSTEM, GatewayArgs(context=context, vault=vault, domain=domain))

standby = None
if stack.second_region:
    standby = Standby(
        SYSTEM,
        StandbyArgs(
            context=context,
            region=stack.second_region,
            identity=identity,
            registry=registry,
            store=store,
            vault=vault,
            public_url=gateway.url,
        ),
    )

service = None
if stack.release.has_service:
    service = Service(
        SYSTEM,
        ServiceArgs(
            context=context,
            environment=environment,
            identity=identity,
            registry=registry,
            store=store,
            vault=vault,
            public_url=gateway.url,
            replicas=REPLICAS[stack.production],
            after=[store, vault, registry, observability, environment],
        ),
    )
    standby_url = standby.url if standby else None
    Api(SYSTEM, ApiArgs(context=context, gateway=gateway, service_url=service.url, standby_url=standby_url))
    pulumi.export("revision", service.revision)
    pulumi.export("image", registry.image)
    pulumi.export("newestUrl", service.newest_url)
Alerts(SYSTEM, AlertsArgs(context=context, gateway=gateway, service=service))
if stack.production:
    scopes = {"store": store.account_id, "vault": vault.vault_id}
    Locks(SYSTEM, LocksArgs(scopes=scopes, after=[store, vault]))

pulumi.export("url", gateway.url)
pulumi.export("gatewayHost", gateway.host)
if stack.custom_domain:
    pulumi.export("dnsRecords", [{"type": "CNAME", "name": stack.custom_domain.host, "value": gateway.host}])
pulumi.export("registry", registry.server)
pulumi.export("resourceGroup", group.name)
