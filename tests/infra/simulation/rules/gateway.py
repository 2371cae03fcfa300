"""Rules of API Management."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from tests.infra.simulation.cloud import CloudResource
from tests.infra.simulation.rules.rule import OrderedWrite, Write, rule

_SERVICE = "Microsoft.ApiManagement/service"
_API = f"{_SERVICE}/apis"
_POLICIES = (f"{_API}/policies", f"{_API}/operations/policies")
_FRAGMENT = f"{_SERVICE}/policyFragments"
_OF_ONE_API = (*_POLICIES, f"{_API}/diagnostics", f"{_SERVICE}/products/apis")
_DOCS = "https://learn.microsoft.com/azure/api-management"

_ON_ERROR = {
    *("base", "choose", "when", "otherwise", "set-variable", "find-and-replace", "return-response", "set-header"),
    *("set-method", "set-status", "send-request", "send-one-way-request", "log-to-eventhub", "json-to-xml"),
    *("xml-to-json", "limit-concurrency", "mock-response", "retry", "trace", "include-fragment"),
}
_POOL_MEMBERS_MAX = 30
_NOT_IN_CONSUMPTION = {"rate-limit-by-key", "quota-by-key", "cache-lookup", "cache-store"}


@rule("https://github.com/Azure/apiops/issues/857", *_POLICIES, order=True)
def a_policy_fetches_only_what_is_ready(write: OrderedWrite) -> Iterator[str]:
    """Saving a policy fetches each `openid-config`, unless its `validate-connectivity` is false.

    The gateway serves its own address only after the app and the policies of open operations.
    """
    apps = [each.id for each in write.cloud.of_type("Microsoft.App/containerApps")]
    policies = [each.id for each in write.cloud.of_type(f"{_API}/operations/policies")]
    is_served = apps and policies and all(write.is_ready(each) for each in [*apps, *policies])
    for element in _policy(write).iter("openid-config"):
        host = str(urlsplit(element.get("url")).hostname)
        is_own = host in {name for each in write.cloud.of_type(_SERVICE) for name in _hosts(each)}
        if element.get("validate-connectivity") != "false" and is_own and not is_served:
            yield f"Unable to obtain configuration from {host}"


@rule("https://github.com/Azure/apiops/issues/379", *_OF_ONE_API, order=True)
def one_write_at_a_time_to_one_api(write: OrderedWrite) -> Iterator[str]:
    """Two writes to the same API at the same time are refused (PessimisticConcurrencyConflict), and not repeated."""
    for other_type, other_id in write.parallel:
        if other_type.arm_name in _OF_ONE_API and _api(other_id) == _api(write.id):
            yield f"{other_id} is written at the same time (409 PessimisticConcurrencyConflict)"


@rule(f"{_DOCS}/backends", f"{_SERVICE}/backends")
def a_pool_has_single_backends(write: Write) -> Iterator[str]:
    """A pool has 1 to 30 backends of its gateway, of which none is a pool, and no address of its own."""
    if write.value("type") != "Pool":
        return
    members = [write.cloud.find(each["id"]) for each in write.value("pool.services", [])]
    if not 1 <= len(members) <= _POOL_MEMBERS_MAX:
        yield f"it has {len(members)} backends"
    if write.value("url"):
        yield "a pool has no address"
    for each in members:
        if (
            each is None
            or each.inputs.get("type") == "Pool"
            or each.id.rpartition("/")[0] != write.id.rpartition("/")[0]
        ):
            yield f"{each and each.id} is not a single backend of the gateway"


@rule("https://github.com/Azure/apiops/issues/668", *_POLICIES, _FRAGMENT, order=True)
def references_of_a_policy_are_ready(write: OrderedWrite) -> Iterator[str]:
    """A policy may only name fragments, named values and backends that exist when it is saved."""
    text = str(write.inputs["value"])
    references = [
        *((f"{_SERVICE}/policyFragments", each) for each in re.findall(r'fragment-id="([^"]+)"', text)),
        *((f"{_SERVICE}/backends", each) for each in re.findall(r'backend-id="([^"]+)"', text)),
        *((f"{_SERVICE}/namedValues", each) for each in re.findall(r"{{([^{}]+)}}", text)),
    ]
    service = write.id[: write.id.index("/", write.id.index("/service/") + len("/service/"))]
    for arm_name, name in references:
        if not write.is_ready(f"{service}/{arm_name.rpartition('/')[2]}/{name}"):
            yield f"{arm_name.rpartition('/')[2]} {name} could not be found"


@rule(f"{_DOCS}/api-management-error-handling-policies", *_POLICIES, _FRAGMENT)
def errors_are_handled_by_listed_statements(write: Write) -> Iterator[str]:
    """`on-error` accepts fewer statements than the other sections: `set-body` only within `return-response`."""
    policy = _policy(write)
    # The fragment `problem` is included by `on-error` alone.
    section = policy if policy.tag == "fragment" and "LastError" in str(write.inputs["value"]) else None
    for element in _statements(policy.find("on-error") if section is None else section):
        if element.tag not in _ON_ERROR:
            yield f"<{element.tag}> is not allowed in on-error"


@rule(f"{_DOCS}/api-management-policies", *_POLICIES)
def statements_exist_in_the_tier(write: Write) -> Iterator[str]:
    """The Consumption tier has no limits by key and no cache."""
    service = write.parent(_SERVICE)
    if service and service.inputs["sku"]["name"] == "Consumption":
        yield from (
            f"<{each.tag}> needs another tier" for each in _policy(write).iter() if each.tag in _NOT_IN_CONSUMPTION
        )


@rule("https://github.com/pulumi/pulumi-azure-native/issues/1741", _SERVICE)
def client_certificates_are_a_choice_of_consumption(write: Write) -> Iterator[str]:
    """`enableClientCertificate: false` is refused outside of the Consumption tier. The SDK sends it by itself."""
    if write.value("enableClientCertificate") is False and write.value("sku.name") != "Consumption":
        yield f"Setting EnableClientCertificate flag to false is not supported for {write.value('sku.name')} SKU"


@rule("https://learn.microsoft.com/rest/api/apimanagement/api-management-service/create-or-update", _SERVICE)
def portals_are_closed(write: Write) -> Iterator[str]:
    """Both developer portals are public pages, open unless the service closes them. The SDK opens them by itself."""
    for portal in ("developerPortalStatus", "legacyPortalStatus"):
        if write.value(portal, "Enabled") != "Disabled":
            yield f"{portal} is Enabled"


@rule("https://github.com/hashicorp/terraform-provider-azurerm/issues/21506", _SERVICE)
def a_new_service_is_public(write: Write) -> Iterator[str]:
    """`publicNetworkAccess` can only be disabled after the creation, with a private endpoint."""
    if write.previous is None and write.value("publicNetworkAccess", "Enabled") != "Enabled":
        yield "Blocking all public network access is not enabled during service creation"


@rule("https://github.com/pulumi/pulumi-azure-native/issues/4510", _SERVICE)
def tiers_of_version_2_have_two_kinds_of_network(write: Write) -> Iterator[str]:
    """Outbound integration (External) needs Standard v2 or Premium v2, and a delegated subnet with a security group."""
    if not str(write.value("sku.name")).endswith("V2") or write.value("virtualNetworkType", "None") == "None":
        return
    if write.value("sku.name") == "BasicV2":
        yield "Basic v2 has no network"
    subnet = write.cloud.find(str(write.value("virtualNetworkConfiguration.subnetResourceId")))
    delegations = [each["serviceName"] for each in subnet.inputs.get("delegations", [])] if subnet else []
    if delegations != ["Microsoft.Web/serverFarms"]:
        yield "its subnet is missing a delegation to Microsoft.Web/serverFarms"
    if subnet and not subnet.inputs.get("networkSecurityGroup"):
        yield "its subnet has no network security group"


@rule(f"{_DOCS}/breaking-changes/trusted-service-connectivity-retirement-march-2026", f"{_SERVICE}/namedValues")
def a_named_value_reads_no_private_vault(write: Write) -> Iterator[str]:
    """Trusted access of API Management ended on 2026-03-15: it cannot read a vault without public access."""
    url = str(write.value("keyVault.secretIdentifier", ""))
    for vault in write.cloud.of_type("Microsoft.KeyVault/vaults"):
        is_private = vault.inputs["properties"].get("publicNetworkAccess") == "Disabled"
        if is_private and url.startswith(f"https://{_name(vault.id)}.vault"):
            yield f"the vault of {url} refuses the request (403 ForbiddenByConnection)"


@rule(f"{_DOCS}/backends", f"{_SERVICE}/backends")
def a_backend_has_one_rule_of_its_circuit_breaker(write: Write) -> Iterator[str]:
    """A circuit breaker has exactly one rule, and the Consumption tier has none."""
    if "circuitBreaker" in write.inputs and len(write.value("circuitBreaker.rules", [])) != 1:
        yield "the circuit breaker needs exactly one rule"


def _policy(write: Write) -> ET.Element:
    return ET.fromstring(write.inputs["value"])  # noqa: S314  # a file of the project


def _statements(section: ET.Element | None) -> Iterator[ET.Element]:
    """Yield the statements of a section, and those of its branches, but not what belongs to another statement."""
    for element in section if section is not None else ():
        yield element
        if element.tag in ("choose", "when", "otherwise", "retry", "limit-concurrency"):
            yield from _statements(element)


def _api(resource_id: str) -> str:
    return re.split(r"/apis/", resource_id)[1].split("/")[0].casefold()


def _hosts(service: CloudResource) -> Iterator[str]:
    """Yield the host names at which a service is reached."""
    yield f"{_name(service.id)}.azure-api.net"
    yield from (each["hostName"] for each in service.inputs.get("hostnameConfigurations", []))


def _name(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]
