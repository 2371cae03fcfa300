"""Rules of Container Apps."""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.infra.simulation.cloud import Cloud, CloudResource
from tests.infra.simulation.rules.rule import OrderedWrite, Write, contains, rule, value_at

_APP, _ENVIRONMENT = "Microsoft.App/containerApps", "Microsoft.App/managedEnvironments"
_VAULT, _REGISTRY = "Microsoft.KeyVault/vaults", "Microsoft.ContainerRegistry/registries"
_DOCS = "https://learn.microsoft.com/azure/container-apps"
# The ids of Azure's built-in roles.
_ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
_FAILURES_MAX = {"Liveness": 30, "Readiness": 48, "Startup": 240}
_SUBNET_BITS_MAX = 27


@rule(f"{_DOCS}/managed-identity-image-pull", _APP, order=True)
def an_app_may_pull_its_image(write: OrderedWrite) -> Iterator[str]:
    """A revision fails when its identity has no role to pull from the registry yet."""
    for each in write.value("configuration.registries", []):
        registry = _with_host(write.cloud, _REGISTRY, "loginServer", each["server"])
        if registry is None:
            yield f"is too early: no registry {each['server']}"
        elif not _has_role(write, each["identity"], role=_ACR_PULL, scope=registry.id):
            yield f"is too early: its identity may not pull from {each['server']}"


@rule(f"{_DOCS}/manage-secrets", _APP, order=True)
def an_app_may_read_its_secrets(write: OrderedWrite) -> Iterator[str]:
    """Azure refuses an app whose identity cannot read a secret that it refers to in a vault."""
    for each in write.value("configuration.secrets", []):
        if not (url := each.get("keyVaultUrl")):
            continue
        vault = _with_host(write.cloud, _VAULT, "properties.vaultUri", str(urlsplit(url).hostname))
        name = urlsplit(url).path.split("/")[2]
        if vault is None or not write.cloud.find(f"{vault.id}/secrets/{name}"):
            yield f"is too early: no secret {url}"
        elif not _has_role(write, each["identity"], role=_SECRETS_USER, scope=vault.id):
            yield f"is too early: its identity may not read {url}"


@rule("https://learn.microsoft.com/azure/private-link/private-endpoint-dns", _APP, order=True)
def names_of_private_resources_resolve(write: OrderedWrite) -> Iterator[str]:
    """An app in a network finds a private resource by the zone of its endpoint, once that is linked to the network."""
    environment = write.cloud.find(str(write.value("environmentId")))
    if environment is None or "vnetConfiguration" not in environment.inputs:
        return
    network = environment.inputs["vnetConfiguration"]["infrastructureSubnetId"].rpartition("/subnets/")[0]
    endpoints = [
        each.id
        for each in write.cloud.of_type("Microsoft.Network/privateEndpoints")
        if contains(network, value_at(each.inputs, "subnet.id", ""))
    ]
    groups = [
        each
        for each in write.cloud.of_type("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
        if any(contains(endpoint, each.id) for endpoint in endpoints)
    ]
    zones = {str(zone["privateDnsZoneId"]) for each in groups for zone in each.inputs["privateDnsZoneConfigs"]}
    links = [
        each.id
        for each in write.cloud.of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks")
        if value_at(each.inputs, "virtualNetwork.id") == network
    ]
    linked_zones = {each.rpartition("/virtualNetworkLinks/")[0] for each in links if write.is_ready(each)}
    yield from (f"the zone group {each.id} may not exist yet" for each in groups if not write.is_ready(each.id))
    yield from (f"the zone {each} may not be linked to the network yet" for each in sorted(zones - linked_zones))


@rule("https://github.com/hashicorp/terraform-provider-azurerm/pull/31989", _APP)
def probes_have_a_limit_of_failures(write: Write) -> Iterator[str]:
    """`failureThreshold` is at most 30 for liveness, 48 for readiness and 240 for the start."""
    for container in write.value("template.containers", []):
        for probe in container.get("probes", []):
            maximum = _FAILURES_MAX[probe["type"]]
            if not 1 <= probe.get("failureThreshold", 3) <= maximum:
                yield f"ContainerAppProbeFailureThresholdOutOfRange: {probe['type']} has a range of 1 to {maximum}"


@rule("https://github.com/microsoft/azure-container-apps/issues/40", _APP)
def memory_is_twice_the_cpu(write: Write) -> Iterator[str]:
    """In the Consumption profile CPU is a multiple of 0.25 up to 4, and memory (GiB) is twice as much."""
    resources = [each["resources"] for each in write.value("template.containers", [])]
    cpu = sum(each["cpu"] for each in resources)
    memory = sum(float(str(each["memory"]).removesuffix("Gi")) for each in resources)
    if cpu % 0.25 or not 0 < cpu <= 4 or memory != 2 * cpu:
        yield f"ContainerAppInvalidResourceTotal: {cpu} CPU and {memory} GiB"


@rule("https://github.com/Azure/container-apps-deploy-action/issues/116", _APP)
def names_of_secrets_are_lower_case(write: Write) -> Iterator[str]:
    """The name of a secret consists of lower case letters, digits and hyphens."""
    for each in write.value("configuration.secrets", []):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,251}[a-z0-9])?", each["name"]):
            yield f"ContainerAppInvalidSecretName: {each['name']}"


@rule("https://github.com/hashicorp/terraform-provider-azurerm/issues/26893", _APP)
def references_to_secrets_are_declared(write: Write) -> Iterator[str]:
    """A variable or a volume may only refer to a secret of the app."""
    names = {each["name"] for each in write.value("configuration.secrets", [])}
    variables = [each for container in write.value("template.containers", []) for each in container.get("env", [])]
    files = [each for volume in write.value("template.volumes", []) for each in volume.get("secrets", [])]
    references = {each["secretRef"] for each in [*variables, *files] if each.get("secretRef")}
    yield from (f"ContainerAppSecretRefNotFound: {each}" for each in sorted(references - names))


@rule("https://github.com/microsoft/azure-container-apps/issues/410", _APP)
def weights_add_up_to_100(write: Write) -> Iterator[str]:
    """The weights of the traffic add up to 100."""
    traffic = write.value("configuration.ingress.traffic", [])
    if traffic and sum(each["weight"] for each in traffic) != 100:
        yield f"the traffic weights add up to {sum(each['weight'] for each in traffic)}"


@rule("https://github.com/hashicorp/terraform-provider-azurerm/pull/24042", _APP)
def a_new_app_has_no_other_revision(write: Write) -> Iterator[str]:
    """The first deployment of an app has one revision, so its traffic cannot name another one."""
    names = [
        each["revisionName"] for each in write.value("configuration.ingress.traffic", []) if "revisionName" in each
    ]
    if write.previous is None:
        yield from (f"the revision {each} does not exist" for each in names)


@rule("https://github.com/microsoft/azure-container-apps/issues/707", _APP)
def a_cpu_rule_never_scales_to_zero(write: Write) -> Iterator[str]:
    """A rule by CPU or memory needs a replica to measure: the minimum of replicas is at least one."""
    kinds = {value_at(each, "custom.type") for each in write.value("template.scale.rules", [])}
    if kinds & {"cpu", "memory"} and write.value("template.scale.minReplicas", 0) == 0:
        yield "a rule by cpu keeps a replica, although the minimum is 0"


@rule("https://github.com/microsoft/azure-container-apps/issues/468", _APP)
def an_http_rule_stands_alone(write: Write) -> Iterator[str]:
    """An http rule beside a rule of another kind does not scale the app."""
    rules = write.value("template.scale.rules", [])
    if len(rules) > 1 and any("http" in each for each in rules):
        yield "its http rule has no effect beside another rule"


@rule("https://github.com/Azure/PSRule.Rules.Azure/issues/3068", _ENVIRONMENT)
def zones_need_a_subnet(write: Write) -> Iterator[str]:
    """A zone redundant environment needs a subnet of its own."""
    if write.value("zoneRedundant") and not write.value("vnetConfiguration.infrastructureSubnetId"):
        yield "zoneRedundant needs an infrastructureSubnetId"


@rule(f"{_DOCS}/custom-virtual-networks", _ENVIRONMENT)
def an_environment_has_a_delegated_subnet(write: Write) -> Iterator[str]:
    """With workload profiles the subnet is delegated to the environment, and has at least 32 addresses."""
    subnet = _subnet(write)
    if subnet is None:
        return
    if [each["serviceName"] for each in subnet.inputs.get("delegations", [])] != ["Microsoft.App/environments"]:
        yield "ManagedEnvironmentSubnetDelegationError: the subnet is not delegated to Microsoft.App/environments"
    if ipaddress.ip_network(subnet.inputs["addressPrefix"]).prefixlen > _SUBNET_BITS_MAX:
        yield f"the subnet is smaller than /{_SUBNET_BITS_MAX}"


@rule(f"{_DOCS}/firewall-integration", _ENVIRONMENT)
def replicas_reach_each_other_by_any_protocol(write: Write) -> Iterator[str]:
    """The environment needs every protocol within its own subnet, such as UDP for names, before any rule denies it."""
    subnet = _subnet(write)
    group = write.cloud.find(value_at(subnet.inputs, "networkSecurityGroup.id", "")) if subnet else None
    for protocol in ("Tcp", "Udp"):
        if subnet and group and not _allows(group.inputs["securityRules"], subnet.inputs["addressPrefix"], protocol):
            yield f"{protocol} is denied within {subnet.inputs['addressPrefix']}"


def _allows(rules: Sequence[Mapping[str, Any]], prefix: str, protocol: str) -> bool:
    """Return True if the first rule that matches inbound traffic within the prefix on every port allows it."""
    for each in sorted(rules, key=lambda one: one["priority"]):
        is_match = each["protocol"] in ("*", protocol) and each["sourceAddressPrefix"] in (
            "*",
            prefix,
            "VirtualNetwork",
        )
        if each["direction"] == "Inbound" and is_match and set(each["destinationPortRanges"]) & {"*", "0-65535"}:
            return bool(each["access"] == "Allow")
    return True


def _subnet(write: Write) -> CloudResource | None:
    return write.cloud.find(str(write.value("vnetConfiguration.infrastructureSubnetId", "")))


def _has_role(write: OrderedWrite, identity_id: str, *, role: str, scope: str) -> bool:
    identity = write.cloud.find(identity_id)
    roles = write.cloud.of_type("Microsoft.Authorization/roleAssignments")
    return identity is not None and any(
        write.is_ready(each.id)
        and each.inputs["principalId"] == identity.outputs["principalId"]
        and each.inputs["roleDefinitionId"].endswith(role)
        and scope.casefold().startswith(each.inputs["scope"].casefold())
        for each in roles
    )


def _with_host(cloud: Cloud, arm_name: str, output: str, host: str) -> CloudResource | None:
    """Return the resource of a type whose output, at a path, is this host or an address of it."""
    hosts = ((each, str(value_at(each.outputs, output, ""))) for each in cloud.of_type(arm_name))
    return next((each for each, address in hosts if host in (address, urlsplit(address).hostname)), None)
