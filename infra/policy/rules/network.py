"""Rules for the network: who reaches its subnets."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from policy.rule import Resource, rule

# The sources from which a security group's rule may take traffic: two tags, in lower case, and private addresses.
TAGS_OF_SOURCES = {"azureloadbalancer", "virtualnetwork"}
PRIVATE_RANGES = [ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


@rule("network:NetworkSecurityGroup", "network:SecurityRule")
def _subnets_are_closed_to_the_internet(resource: Resource) -> Iterator[str]:
    """No rule lets the internet in: neither one of a security group nor one that is a resource of its own."""
    is_group = resource.type == "network:NetworkSecurityGroup"
    for each in (resource.inputs.get("securityRules") or []) if is_group else [resource.inputs]:
        if each["direction"].casefold() == "inbound" and each["access"].casefold() == "allow":
            name = each.get("name") or each.get("securityRuleName")
            yield from (f"the rule {name} allows {source}" for source in _sources(each) if _is_open(source))


def _sources(security_rule: Mapping[str, Any]) -> Sequence[str]:
    """Return the addresses from which a rule takes traffic. A rule may have one, or a list of them."""
    sources = [security_rule.get("sourceAddressPrefix"), *(security_rule.get("sourceAddressPrefixes") or [])]
    return [each for each in sources if each]


def _is_open(source: str) -> bool:
    """Return True if a tag or a range of addresses contains addresses of the internet."""
    try:
        addresses = ip_network(source, strict=False)
    except ValueError:
        return source.casefold() not in TAGS_OF_SOURCES
    return not any(
        addresses.version == each.version and addresses.subnet_of(each)  # type: ignore[arg-type]  # the same version
        for each in PRIVATE_RANGES
    )
