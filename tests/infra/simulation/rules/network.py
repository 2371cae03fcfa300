"""Rules of virtual networks, private endpoints and private DNS."""

import ipaddress
from collections.abc import Iterator

from tests.infra.simulation.rules.rule import OrderedWrite, Write, contains, rule, value_at

_NETWORK, _SUBNET = "Microsoft.Network/virtualNetworks", "Microsoft.Network/virtualNetworks/subnets"
_PEERING = f"{_NETWORK}/virtualNetworkPeerings"
_DOCS = "https://learn.microsoft.com/azure"
# The group of a private endpoint by the type of its target.
_GROUPS = {
    "Microsoft.DocumentDB/databaseAccounts": "Sql",
    "Microsoft.KeyVault/vaults": "vault",
    "Microsoft.ContainerRegistry/registries": "registry",
}
_ZONES = {
    "Sql": "privatelink.documents.azure.com",
    "vault": "privatelink.vaultcore.azure.net",
    "registry": "privatelink.azurecr.io",
}


@rule("https://github.com/pulumi/pulumi-azure-native/issues/699", _SUBNET, _PEERING, order=True)
def one_write_at_a_time_to_one_network(write: OrderedWrite) -> Iterator[str]:
    """Two writes to subnets or peerings of one network at the same time are refused."""
    network = write.parent(_NETWORK)
    for other_type, other_id in write.parallel:
        if network and other_type.arm_name in (_SUBNET, _PEERING) and contains(network.id, other_id):
            yield f"AnotherOperationInProgress: {other_id} is written at the same time"


@rule("https://github.com/pulumi/pulumi-azure-native/issues/1024", _NETWORK)
def subnets_are_resources_of_their_own(write: Write) -> Iterator[str]:
    """A write of a network deletes the subnets that its own list lacks, so it has no list."""
    if write.value("subnets"):
        yield "its list of subnets deletes the others"


@rule(f"{_DOCS}/virtual-network/virtual-networks-faq", _SUBNET)
def subnets_are_apart(write: Write) -> Iterator[str]:
    """A subnet is in the range of its network, and overlaps no other one."""
    network = write.parent(_NETWORK)
    addresses = ipaddress.IPv4Network(write.inputs["addressPrefix"])
    ranges = value_at(network.inputs, "addressSpace.addressPrefixes", []) if network else []
    if not any(addresses.subnet_of(ipaddress.IPv4Network(each)) for each in ranges):
        yield f"NetcfgInvalidSubnet: {addresses} is not in the range of the network"
    for other in write.cloud.of_type(_SUBNET):
        is_sibling = network and contains(network.id, other.id) and other.id != write.id
        if is_sibling and addresses.overlaps(ipaddress.IPv4Network(other.inputs["addressPrefix"])):
            yield f"NetcfgSubnetRangesOverlap: {other.id}"


@rule(f"{_DOCS}/virtual-network/virtual-network-peering-overview", _PEERING)
def peered_networks_are_apart(write: Write) -> Iterator[str]:
    """The addresses of two networks that are peers do not overlap."""
    networks = [write.parent(_NETWORK), write.cloud.find(str(write.value("remoteVirtualNetwork.id")))]
    one, other = (
        [ipaddress.IPv4Network(text) for text in value_at(each.inputs, "addressSpace.addressPrefixes", [])]
        if each
        else []
        for each in networks
    )
    if any(range_.overlaps(other_range) for range_ in one for other_range in other):
        yield f"VnetAddressSpaceOverlapsWithAlreadyPeeredVnet: {one} and {other}"


@rule(f"{_DOCS}/virtual-network/network-security-groups-overview", "Microsoft.Network/networkSecurityGroups")
def priorities_are_unique(write: Write) -> Iterator[str]:
    """A rule's priority is between 100 and 4096, and unique for its direction."""
    rules = [(each["direction"], each["priority"]) for each in write.value("securityRules", [])]
    yield from (f"SecurityRuleConflict: {each}" for each in sorted(set(rules)) if rules.count(each) > 1)
    yield from (f"priority {priority} is out of range" for _, priority in rules if not 100 <= priority <= 4096)


@rule(f"{_DOCS}/private-link/private-endpoint-overview", "Microsoft.Network/privateEndpoints")
def an_endpoint_has_the_group_of_its_target(write: Write) -> Iterator[str]:
    """Each type of target has groups of its own, with exact letters. A delegated subnet holds no endpoint."""
    for connection in write.value("privateLinkServiceConnections", []):
        target = write.cloud.find(connection["privateLinkServiceId"])
        if target and connection["groupIds"] != [_GROUPS.get(target.type.arm_name)]:
            yield f"{connection['groupIds']} is no group of {target.type.arm_name}"
    subnet = write.cloud.find(str(write.value("subnet.id")))
    if subnet and subnet.inputs.get("delegations"):
        yield "its subnet is delegated"


@rule(f"{_DOCS}/private-link/private-endpoint-dns", "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
def an_endpoint_has_the_zone_of_its_group(write: Write) -> Iterator[str]:
    """Names resolve to an endpoint only by the zone that Azure defines for its group."""
    endpoint = write.parent("Microsoft.Network/privateEndpoints")
    connections = endpoint.inputs["privateLinkServiceConnections"] if endpoint else []
    right_zones = {_ZONES.get(group) for each in connections for group in each["groupIds"]}
    zones = {str(each["privateDnsZoneId"]).rpartition("/")[2] for each in write.value("privateDnsZoneConfigs", [])}
    if zones != right_zones:
        yield f"the zone is {sorted(zones)}, and not {sorted(map(str, right_zones))}"


@rule(f"{_DOCS}/dns/private-dns-virtual-network-links", "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
def a_network_has_one_zone_of_a_name(write: Write) -> Iterator[str]:
    """A network is linked to at most one zone with the same name."""
    network, zone = write.value("virtualNetwork.id"), write.id.split("/privateDnsZones/")[1].split("/")[0]
    for other in write.cloud.of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks"):
        is_same_zone = other.id.split("/privateDnsZones/")[1].split("/")[0] == zone
        if other.id != write.id and is_same_zone and value_at(other.inputs, "virtualNetwork.id") == network:
            yield f"{network} is linked to a zone {zone} already"
