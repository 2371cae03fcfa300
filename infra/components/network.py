"""The virtual network of production: subnets, their inbound rules, private endpoints and private DNS zones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
from pulumi_azure_native import network, privatedns

from components.resource_group import ResourceGroup
from stack import SYSTEM

ADDRESS_RANGE = "10.40.0.0/16"
ANY_PORT = ["0-65535"]
# The private DNS zone of each kind of private endpoint, by the endpoint's group id.
ZONES = {
    "Sql": "privatelink.documents.azure.com",
    "vault": "privatelink.vaultcore.azure.net",
    "registry": "privatelink.azurecr.io",
}


class InboundRule(NamedTuple):
    """Inbound traffic of a subnet."""

    name: str
    source: str
    ports: Sequence[str]
    protocol: str = "Tcp"


class Zone(NamedTuple):
    """A private DNS zone, and the link by which it resolves in the network."""

    zone: privatedns.PrivateZone
    link: privatedns.VirtualNetworkLink


class SubnetSpec(NamedTuple):
    """A subnet: its addresses, the Azure service it is delegated to, and the traffic it accepts."""

    name: str
    addresses: str
    delegation: str | None
    inbound: Sequence[InboundRule]


# A replica needs one address, two while a release runs beside the previous one; the rest is room for growth.
APPS = SubnetSpec(
    "apps",
    "10.40.0.0/24",
    "Microsoft.App/environments",
    [
        # The environment's proxy listens on 31443, to which port 443 of its address is forwarded.
        InboundRule("gateway", "10.40.2.0/24", ["443", "31443"]),
        # Replicas and the platform's parts in the subnet use every protocol, such as UDP for names.
        InboundRule("itself", "10.40.0.0/24", ANY_PORT, "*"),
        # Health probes of Azure's load balancer in front of the environment.
        InboundRule("balancer", "AzureLoadBalancer", ["30000-32767"]),
    ],
)
ENDPOINTS = SubnetSpec("endpoints", "10.40.1.0/24", None, [InboundRule("apps", "10.40.0.0/24", ["443"])])
# For the gateway's outbound traffic. It accepts no inbound traffic.
GATEWAY = SubnetSpec("gateway", "10.40.2.0/24", "Microsoft.Web/serverFarms", [])


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The arguments of `Network`."""

    group: ResourceGroup


class Network(pulumi.ComponentResource):
    """A virtual network with subnets for apps, for private endpoints and for the gateway's outbound traffic."""

    id: pulumi.Output[str]
    apps_subnet_id: pulumi.Output[str]
    gateway_subnet_id: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Network", name, None, opts)
        self._group = args.group
        virtual_network = network.VirtualNetwork(
            SYSTEM,
            resource_group_name=args.group.name,
            location=args.group.location,
            address_space={"address_prefixes": [ADDRESS_RANGE]},
            tags=args.group.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id = virtual_network.id
        apps = self._create_subnet(APPS, virtual_network, after=[])
        endpoints = self._create_subnet(ENDPOINTS, virtual_network, after=[apps])
        gateway = self._create_subnet(GATEWAY, virtual_network, after=[endpoints])
        self.apps_subnet_id, self.gateway_subnet_id = apps.id, gateway.id
        self._endpoints_subnet_id = endpoints.id
        self._zones = {group: self.create_zone(group.lower(), zone, parent=self) for group, zone in ZONES.items()}
        self.register_outputs({"id": self.id})

    def _create_subnet(
        self, spec: SubnetSpec, virtual_network: network.VirtualNetwork, *, after: Sequence[network.Subnet]
    ) -> network.Subnet:
        """Create a subnet and its security group. Azure accepts one change of a network at a time: see `after`."""
        security_group = network.NetworkSecurityGroup(
            spec.name,
            resource_group_name=self._group.name,
            location=self._group.location,
            security_rules=_security_rules(spec),
            tags=self._group.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return network.Subnet(
            spec.name,
            resource_group_name=self._group.name,
            virtual_network_name=virtual_network.name,
            subnet_name=spec.name,
            address_prefix=spec.addresses,
            delegations=[network.DelegationArgs(name="lent", service_name=spec.delegation)] if spec.delegation else [],
            network_security_group=network.NetworkSecurityGroupArgs(id=security_group.id),
            # By default a security group does not apply to private endpoints.
            private_endpoint_network_policies=None if spec.delegation else "NetworkSecurityGroupEnabled",
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def create_zone(self, name: str, zone: pulumi.Input[str], *, parent: pulumi.Resource) -> Zone:
        """Create a DNS zone that resolves in this network only."""
        private_zone = privatedns.PrivateZone(
            name,
            resource_group_name=self._group.name,
            location="global",
            private_zone_name=zone,
            tags=self._group.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        link = privatedns.VirtualNetworkLink(
            name,
            resource_group_name=self._group.name,
            location="global",
            private_zone_name=private_zone.name,
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=self.id),
            tags=self._group.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return Zone(private_zone, link)

    def create_private_endpoint(
        self, name: str, group_id: str, target: pulumi.Input[str], *, parent: pulumi.Resource
    ) -> None:
        """Create a private endpoint for `target`, which keeps its public name. `group_id` is a key of `ZONES`."""
        endpoint = network.PrivateEndpoint(
            name,
            resource_group_name=self._group.name,
            location=self._group.location,
            subnet=network.SubnetArgs(id=self._endpoints_subnet_id),
            private_link_service_connections=[
                network.PrivateLinkServiceConnectionArgs(
                    name=name, group_ids=[group_id], private_link_service_id=target
                )
            ],
            tags=self._group.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        network.PrivateDnsZoneGroup(
            name,
            resource_group_name=self._group.name,
            private_endpoint_name=endpoint.name,
            private_dns_zone_group_name="default",
            private_dns_zone_configs=[
                network.PrivateDnsZoneConfigArgs(
                    name=group_id.lower(), private_dns_zone_id=self._zones[group_id].zone.id
                )
            ],
            # What waits for the endpoint can then resolve its name.
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[self._zones[group_id].link]),
        )


def _security_rules(spec: SubnetSpec) -> Sequence[network.SecurityRuleArgs]:
    """Allow the listed traffic and deny the rest. Azure's default rules would allow the whole network."""
    allow_rules = [_security_rule(rule, 100 + 10 * rank) for rank, rule in enumerate(spec.inbound)]
    return [
        *allow_rules,
        _security_rule(InboundRule("others", source="*", ports=ANY_PORT, protocol="*"), 4096, access="Deny"),
    ]


def _security_rule(rule: InboundRule, priority: int, *, access: str = "Allow") -> network.SecurityRuleArgs:
    return network.SecurityRuleArgs(
        name=f"{access.lower()}-{rule.name}",
        priority=priority,
        access=access,
        direction="Inbound",
        protocol=rule.protocol,
        source_address_prefix=rule.source,
        source_port_range="*",
        destination_address_prefix="*",
        destination_port_ranges=rule.ports,
    )
