"""The questions, each a function that yields a finding for an answer with which a deployment would fail."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy_check.finding import Ask, AskError, Deployment, Finding, Kind

# The resource providers of the program, that of the state's account, and the one that an environment in a network
# needs (Azure/bicep#14935).
PROVIDERS = (
    *("App", "ContainerService", "ApiManagement", "DocumentDB", "KeyVault", "ContainerRegistry"),
    *("OperationalInsights", "Insights"),
    *("Dashboard", "ManagedIdentity", "Network", "Storage", "Web"),
)
# Roles of which one group is enough: the program assigns roles and creates locks.
ROLES = (frozenset({"Owner"}), frozenset({"Contributor", "User Access Administrator"}))
# The tier of the gateway in development and in production.
TIERS = {False: "BasicV2", True: "StandardV2"}
# https://learn.microsoft.com/azure/cosmos-db/concepts-limits#control-plane
STORE_ACCOUNTS_MAX = 250
# A deployment creates one environment.
ENVIRONMENTS = "ManagedEnvironmentCount"

_URL = "https://management.azure.com/subscriptions"
# Where a higher quota is requested.
_QUOTA = "az support tickets create --help   # or in the portal, under Quotas"


def providers(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """Each resource provider is registered."""
    states = {each["namespace"].casefold(): each["registrationState"] for each in ask("provider", "list")}
    for name in PROVIDERS:
        state = states.get(f"microsoft.{name}".casefold(), "unknown to this subscription")
        if state != "Registered":
            command = (
                f"az provider register --wait --namespace Microsoft.{name} --subscription {deployment.subscription}"
            )
            yield _fault(f"the resource provider Microsoft.{name} is {state}, not Registered", command)


def roles(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """The account may create resources, assign roles and create locks. Other roles may be enough."""
    scope = f"/subscriptions/{deployment.subscription}"
    options = ("--assignee", deployment.account, "--scope", scope, "--include-inherited", "--include-groups")
    names = {each["roleDefinitionName"] for each in ask("role", "assignment", "list", *options)}
    if not any(each <= names for each in ROLES):
        text = f"{deployment.account} has {', '.join(sorted(names)) or 'no role'}"
        yield Finding(
            kind=Kind.NOTE if names - frozenset().union(*ROLES, {"Reader"}) else Kind.FAULT,
            text=f"{text}, and needs Owner, or Contributor and User Access Administrator, or the same rights",
            command=f"az role assignment create --assignee {deployment.account} --role Owner --scope {scope}",
        )


def region(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """Each region exists for the subscription. Those of production have availability zones."""
    regions = {each["name"]: each for each in ask("account", "list-locations")}
    with_zones = sorted(name for name, each in regions.items() if each.get("availabilityZoneMappings"))
    for setting, location in deployment.locations.items():
        others = [each for each in with_zones if each not in set(deployment.locations.values()) - {location}]
        choice = next((each for each in ("norwayeast", *others) if each in others), "norwayeast")
        command = f"pulumi config set {setting} {choice} --stack {deployment.stack}"
        if location not in regions:
            yield _fault(f"the subscription has no region {location!r}", command)
        elif not with_zones:
            raise AskError("az shows no availability zones of any region; update it: az upgrade")
        elif deployment.production and location not in with_zones:
            yield _fault(f"{location} has no availability zones, which production needs", command)


def gateway(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """The gateway's tier exists in the region, without a restriction for the subscription."""
    tier = TIERS[deployment.production]
    answer = _get(ask, deployment, "Microsoft.ApiManagement/skus", "2024-05-01")
    offers = [each for each in answer["value"] if each["name"] == tier and each["resourceType"] == "service"]
    if not offers:
        raise AskError(f"Azure does not list API Management {tier} at all")
    # A restriction of some zones leaves the others.
    limits = [
        limit["restrictionInfo"]
        for each in offers
        for limit in each.get("restrictions") or []
        if limit["type"] == "Location"
    ]
    regions = _region_names(offers) - _region_names(limits)
    if deployment.location not in regions:
        yield _fault(
            f"API Management {tier} is not offered to the subscription in {deployment.location}",
            f"pulumi config set azure-native:location {min(regions, default='norwayeast')} --stack {deployment.stack}",
        )


def environments(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """Each region has room for one more environment of Container Apps."""
    for location in deployment.locations.values():
        path = f"Microsoft.App/locations/{location}/usages"
        usages = {each["name"]["value"]: each for each in _get(ask, deployment, path, "2025-01-01")["value"]}
        usage = usages[ENVIRONMENTS]
        if usage["currentValue"] + 1 > usage["limit"]:
            text = (
                f"{usage['currentValue']} of {usage['limit']} environments of Container Apps are in use in {location}"
            )
            yield _fault(text, _QUOTA)


def store(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """Cosmos DB accepts an account of this subscription in each region, in its zones for production."""
    for location in deployment.locations.values():
        properties = ask("cosmosdb", "locations", "show", "--location", location)["properties"]
        access = f"isSubscriptionRegionAccessAllowedFor{'Az' if deployment.production else 'Regular'}"
        if not properties[access]:
            kind = "zone redundant accounts" if deployment.production else "accounts"
            yield _fault(f"Cosmos DB gives this subscription no {kind} in {location}", _QUOTA)
        if properties["status"] != "Online":
            yield _fault(f"Cosmos DB is {properties['status']} in {location}", _QUOTA)


def store_accounts(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """The subscription has room for one more account of Cosmos DB."""
    count = len(ask("cosmosdb", "list", "--subscription", deployment.subscription))
    if count >= STORE_ACCOUNTS_MAX:
        yield _fault(f"{count} of {STORE_ACCOUNTS_MAX} accounts of Cosmos DB are in use", _QUOTA)


def deleted_vaults(_: Deployment, ask: Ask) -> Iterator[Finding]:
    """A deleted vault of an earlier stack keeps its name, which a restored state would use again."""
    for each in ask("keyvault", "list-deleted", "--resource-type", "vault"):
        if each["name"].startswith("eventfeed"):
            until = each["properties"]["scheduledPurgeDate"]
            text = f"the deleted vault {each['name']} keeps its name until {until}; a new stack has another name"
            yield Finding(kind=Kind.NOTE, text=text, command=f"az keyvault recover --name {each['name']}")


def domain(deployment: Deployment, ask: Ask) -> Iterator[Finding]:
    """The certificate of a custom domain is in an open vault, enabled and valid."""
    if not deployment.domain:
        return
    vault_id, _, secret = deployment.certificate.rpartition("/secrets/")
    vault = vault_id.rpartition("/")[2]
    if ask("keyvault", "show", "--name", vault)["properties"].get("publicNetworkAccess") == "Disabled":
        command = f"az keyvault update --name {vault} --public-network-access Enabled"
        yield _fault(
            f"the vault {vault} is closed: the gateway reads the certificate from outside of its network", command
        )
        return  # it answers nobody outside
    certificate = ask("keyvault", "certificate", "show", "--vault-name", vault, "--name", secret)["attributes"]
    if not certificate["enabled"] or datetime.fromisoformat(certificate["expires"]) < datetime.now(UTC):
        text = f"the certificate {secret} in the vault {vault} is disabled, or has expired on {certificate['expires']}"
        yield _fault(
            text, f"az keyvault certificate import --vault-name {vault} --name {secret} --file certificate.pfx"
        )


def record(deployment: Deployment, _: Ask) -> Iterator[Finding]:
    """A custom domain has a record in the domain name system."""
    if not deployment.domain:
        return
    try:
        socket.getaddrinfo(deployment.domain, 443)
    except socket.gaierror as error:
        if error.errno not in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise AskError(f"{deployment.domain}: {error}") from error
        command = f"pulumi stack output gatewayHost --stack {deployment.stack}   # the value of its CNAME record"
        yield _fault(f"{deployment.domain} has no public record, or one to a name that does not exist", command)


# In the order of their report.
QUESTIONS: Sequence[Callable[[Deployment, Ask], Iterator[Finding]]] = (
    *(providers, roles, region, gateway),
    *(environments, store, store_accounts, deleted_vaults, domain, record),
)


def _fault(text: str, command: str) -> Finding:
    return Finding(kind=Kind.FAULT, text=text, command=command)


def _get(ask: Ask, deployment: Deployment, path: str, version: str) -> Mapping[str, Any]:
    """Return a resource of the subscription that no command of its own shows."""
    url = f"{_URL}/{deployment.subscription}/providers/{path}?api-version={version}"
    answer: Mapping[str, Any] = ask("rest", "--method", "get", "--url", url)
    return answer


def _region_names(offers: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the names of the locations, which Azure displays with spaces and capital letters."""
    return {name.replace(" ", "").casefold() for each in offers for name in each["locations"]}
