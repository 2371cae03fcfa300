"""The virtual network of production: subnets, their inbound rules, private endpoints and private DNS zones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
from pulumi_azure_native import network, privatedns

from components.known_name import known_name
from components.resource_group import ResourceGroup
from stack import SYSTEM

# The first two numbers of the addresses of the first network, and of that of a second region.
FIRST, SECOND = "10.40", "10.41"
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


# For the gateway's outbound traffic. It accepts no inbound traffic. Only the first network has a gateway.
GATEWAY = SubnetSpec("gateway", f"{FIRST}.2.0/24", "Microsoft.Web/serverFarms", [])


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The arguments of `Network`: that of a second region has the first one as its peer, whose gateway it serves."""

    group: ResourceGroup
    peer: "Network | None" = None


class Network(pulumi.ComponentResource):
    """A virtual network with subnets for apps, for private endpoints and for the gateway's outbound traffic."""

    group: ResourceGroup
    id: pulumi.Output[str]
    name: pulumi.Output[str]
    apps_subnet_id: pulumi.Output[str]
    gateway_subnet_id: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Network", name, None, opts)
        self.group, self._peer = args.group, args.peer
        prefix = SECOND if args.peer else FIRST
        virtual_network = network.VirtualNetwork(
            SYSTEM,
            resource_group_name=args.group.name,
            location=args.group.location,
            address_space={"address_prefixes": [f"{prefix}.0.0/16"]},
            tags=args.group.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id, self.name = virtual_network.id, known_name(virtual_network)
        apps = self._create_subnet(_apps(prefix), virtual_network, after=[])
        endpoints = self._create_subnet(_endpoints(prefix), virtual_network, after=[apps])
        self.apps_subnet_id, self._endpoints_subnet_id = apps.id, endpoints.id
        if args.peer:
            self.gateway_subnet_id = args.peer.gateway_subnet_id
            self._create_peerings(args.peer, after=[endpoints])
        else:
            self.gateway_subnet_id = self._create_subnet(GATEWAY, virtual_network, after=[endpoints]).id
        self._zones = {group: self.create_zone(group.lower(), zone, parent=self) for group, zone in ZONES.items()}
        self.register_outputs({"id": self.id})

    def _create_subnet(
        self, spec: SubnetSpec, virtual_network: network.VirtualNetwork, *, after: Sequence[network.Subnet]
    ) -> network.Subnet:
        """Create a subnet and its security group. Azure accepts one change of a network at a time: see `after`."""
        security_group = network.NetworkSecurityGroup(
            spec.name,
            resource_group_name=self.group.name,
            location=self.group.location,
            security_rules=_security_rules(spec),
            tags=self.group.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return network.Subnet(
            spec.name,
            resource_group_name=self.group.name,
            virtual_network_name=known_name(virtual_network),
            subnet_name=spec.name,
            address_prefix=spec.addresses,
            delegations=[network.DelegationArgs(name="lent", service_name=spec.delegation)] if spec.delegation else [],
            network_security_group=network.NetworkSecurityGroupArgs(id=security_group.id),
            # By default a security group does not apply to private endpoints.
            private_endpoint_network_policies=None if spec.delegation else "NetworkSecurityGroupEnabled",
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _create_peerings(self, peer: "Network", *, after: Sequence[pulumi.Resource]) -> None:
        """Connect the networks, one direction after the other, when both are complete."""
        after = [peer, *after]
        for name, source, target in [("to-standby", peer, self), ("to-first", self, peer)]:
            peering = network.VirtualNetworkPeering(
                name,
                resource_group_name=source.group.name,
                virtual_network_name=source.name,
                virtual_network_peering_name=name,
                remote_virtual_network=network.SubResourceArgs(id=target.id),
                allow_virtual_network_access=True,
                opts=pulumi.ResourceOptions(parent=self, depends_on=after),
            )
            after = [peering]

    def create_zone(self, name: str, zone: pulumi.Input[str], *, parent: pulumi.Resource) -> Zone:
        """Create a DNS zone that resolves in this network only."""
        private_zone = privatedns.PrivateZone(
            name,
            resource_group_name=self.group.name,
            location="global",
            private_zone_name=zone,
            tags=self.group.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return Zone(private_zone, self._link(name, private_zone, self.id, parent=parent))

    def create_shared_zone(self, name: str, zone: pulumi.Input[str], *, parent: pulumi.Resource) -> Zone:
        """Create a DNS zone that resolves in this network and in its peer, if it has one."""
        shared_zone = self.create_zone(name, zone, parent=parent)
        if self._peer:
            self._link(f"{name}-first", shared_zone.zone, self._peer.id, parent=parent)
        return shared_zone

    def _link(
        self, name: str, zone: privatedns.PrivateZone, network_id: pulumi.Output[str], *, parent: pulumi.Resource
    ) -> privatedns.VirtualNetworkLink:
        return privatedns.VirtualNetworkLink(
            name,
            resource_group_name=self.group.name,
            location="global",
            private_zone_name=known_name(zone),
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=network_id),
            tags=self.group.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )

    def create_private_endpoint(
        self, name: str, group_id: str, target: pulumi.Input[str], *, parent: pulumi.Resource
    ) -> None:
        """Create a private endpoint for `target`, which keeps its public name. `group_id` is a key of `ZONES`."""
        endpoint = network.PrivateEndpoint(
            name,
            resource_group_name=self.group.name,
            location=self.group.location,
            subnet=network.SubnetArgs(id=self._endpoints_subnet_id),
            private_link_service_connections=[
                network.PrivateLinkServiceConnectionArgs(
                    name=name, group_ids=[group_id], private_link_service_id=target
                )
            ],
            tags=self.group.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        network.PrivateDnsZoneGroup(
            name,
            resource_group_name=self.group.name,
            private_endpoint_name=known_name(endpoint),
            private_dns_zone_group_name="default",
            private_dns_zone_configs=[
                network.PrivateDnsZoneConfigArgs(
                    name=group_id.lower(), private_dns_zone_id=self._zones[group_id].zone.id
                )
            ],
            # What waits for the endpoint can then resolve its name.
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[self._zones[group_id].link]),
        )


def _apps(prefix: str) -> SubnetSpec:
    """Return the subnet of the apps in the network with this prefix.

    A replica needs one address, two while a release runs beside the previous one; the rest is room for growth.
    """
    addresses = f"{prefix}.0.0/24"
    inbound = [
        # The environment's proxy listens on 31443, to which port 443 of its address is forwarded.
        InboundRule("gateway", GATEWAY.addresses, ["443", "31443"]),
        # Replicas and the platform's parts in the subnet use every protocol, such as UDP for names.
        InboundRule("itself", addresses, ANY_PORT, "*"),
        # Health probes of Azure's load balancer in front of the environment.
        InboundRule("balancer", "AzureLoadBalancer", ["30000-32767"]),
    ]
    return SubnetSpec("apps", addresses, "Microsoft.App/environments", inbound)


def _endpoints(prefix: str) -> SubnetSpec:
    """Return the subnet of the private endpoints in the network with this prefix."""
    return SubnetSpec("endpoints", f"{prefix}.1.0/24", None, [InboundRule("apps", _apps(prefix).addresses, ["443"])])


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
