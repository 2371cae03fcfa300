"""The network of production: who may reach what, and by which names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
from pulumi_azure_native import network, privatedns

from components.place import Place
from stack import SYSTEM

ADDRESSES = "10.40.0.0/16"
ANY = ["0-65535"]
# What is reached by private endpoints, by the endpoint's group, and the zone its names are in.
ZONES = {
    "Sql": "privatelink.documents.azure.com",
    "vault": "privatelink.vaultcore.azure.net",
    "registry": "privatelink.azurecr.io",
}


class Range(NamedTuple):
    """A subnet: its addresses, whom it is lent to, and who may reach it (a rule's name, from where, which ports)."""

    name: str
    addresses: str
    delegate: str | None
    reached: Sequence[tuple[str, str, Sequence[str]]]


# Two free addresses for each replica that a release may run beside the one before, and room to grow.
APPS = Range(
    "apps",
    "10.40.0.0/24",
    "Microsoft.App/environments",
    [
        # The environment answers by a proxy, to which 443 of its address leads.
        ("gateway", "10.40.2.0/24", ["443", "31443"]),
        ("itself", "10.40.0.0/24", ANY),
        # The balancer that Azure puts before the environment looks whether it lives.
        ("balancer", "AzureLoadBalancer", ["30000-32767"]),
    ],
)
# The gateway asks the vault for its secret, by the name that leads here once it goes out into the network.
ENDPOINTS = Range(
    "endpoints",
    "10.40.1.0/24",
    None,
    [("apps", "10.40.0.0/24", ["443"]), ("gateway", "10.40.2.0/24", ["443"])],
)
# The gateway goes out by this subnet; nothing comes in by it.
GATEWAY = Range("gateway", "10.40.2.0/24", "Microsoft.Web/serverFarms", [])


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Where the network is."""

    place: Place


class Network(pulumi.ComponentResource):
    """A network with a subnet for the apps, one for private endpoints and one by which the gateway goes out."""

    id: pulumi.Output[str]
    apps_subnet_id: pulumi.Output[str]
    gateway_subnet_id: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Network", name, None, opts)
        self._place = args.place
        made = network.VirtualNetwork(
            SYSTEM,
            resource_group_name=args.place.group,
            location=args.place.location,
            address_space={"address_prefixes": [ADDRESSES]},
            tags=args.place.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id = made.id
        apps = self._subnet(APPS, made, after=[])
        endpoints = self._subnet(ENDPOINTS, made, after=[apps])
        gateway = self._subnet(GATEWAY, made, after=[endpoints])
        self.apps_subnet_id, self.gateway_subnet_id = apps.id, gateway.id
        self._endpoints_subnet_id = endpoints.id
        self._zones = {group: self.zone(group.lower(), zone, parent=self) for group, zone in ZONES.items()}
        self.register_outputs({"id": self.id})

    def _subnet(
        self, wanted: Range, within: network.VirtualNetwork, *, after: Sequence[network.Subnet]
    ) -> network.Subnet:
        """A subnet and what guards it. One after another: Azure changes a network once at a time."""
        guard = network.NetworkSecurityGroup(
            wanted.name,
            resource_group_name=self._place.group,
            location=self._place.location,
            security_rules=_rules(wanted),
            tags=self._place.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        lent = [network.DelegationArgs(name="lent", service_name=wanted.delegate)] if wanted.delegate else []
        return network.Subnet(
            wanted.name,
            resource_group_name=self._place.group,
            virtual_network_name=within.name,
            subnet_name=wanted.name,
            address_prefix=wanted.addresses,
            delegations=lent,
            network_security_group=network.NetworkSecurityGroupArgs(id=guard.id),
            # Or the guard would not count for private endpoints.
            private_endpoint_network_policies=None if wanted.delegate else "NetworkSecurityGroupEnabled",
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def zone(self, name: str, zone: pulumi.Input[str], *, parent: pulumi.Resource) -> privatedns.PrivateZone:
        """A zone of names that only this network resolves."""
        made = privatedns.PrivateZone(
            name,
            resource_group_name=self._place.group,
            location="global",
            private_zone_name=zone,
            tags=self._place.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        privatedns.VirtualNetworkLink(
            name,
            resource_group_name=self._place.group,
            location="global",
            private_zone_name=made.name,
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=self.id),
            tags=self._place.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return made

    def endpoint(self, name: str, group: str, target: pulumi.Input[str], *, parent: pulumi.Resource) -> None:
        """A private way to `target`, under its own name. `group` is one of `ZONES`."""
        way = network.PrivateEndpoint(
            name,
            resource_group_name=self._place.group,
            location=self._place.location,
            subnet=network.SubnetArgs(id=self._endpoints_subnet_id),
            private_link_service_connections=[
                network.PrivateLinkServiceConnectionArgs(name=name, group_ids=[group], private_link_service_id=target)
            ],
            tags=self._place.tags,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        network.PrivateDnsZoneGroup(
            name,
            resource_group_name=self._place.group,
            private_endpoint_name=way.name,
            private_dns_zone_group_name="default",
            private_dns_zone_configs=[
                network.PrivateDnsZoneConfigArgs(name=group.lower(), private_dns_zone_id=self._zones[group].id)
            ],
            opts=pulumi.ResourceOptions(parent=parent),
        )


def _rules(wanted: Range) -> Sequence[network.SecurityRuleArgs]:
    """Who may come in is listed; nobody else may. Azure's own last rules would let in the whole network."""
    allowed = [
        _rule(f"allow-{name}", 100 + 10 * rank, source=source, ports=ports)
        for rank, (name, source, ports) in enumerate(wanted.reached)
    ]
    return [*allowed, _rule("deny-others", 4096, source="*", ports=ANY, access="Deny")]


def _rule(
    name: str, priority: int, *, source: str, ports: Sequence[str], access: str = "Allow"
) -> network.SecurityRuleArgs:
    return network.SecurityRuleArgs(
        name=name,
        priority=priority,
        access=access,
        direction="Inbound",
        protocol="Tcp" if access == "Allow" else "*",
        source_address_prefix=source,
        source_port_range="*",
        destination_address_prefix="*",
        destination_port_ranges=ports,
    )
