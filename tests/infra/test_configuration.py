"""The configuration of the stacks: every fault is reported at once, and stacks differ only where the design says so."""

import re
import runpy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.infra.mock_run import AZURE, INFRA, ROOT, MockRun, RegisteredResource, run_with_mocks
from tests.infra.session_runs import SessionRuns
from tests.infra.simulation.wire import is_secret

LONG_NAME = "prod-" + "a-very-long-name-" * 5 + "x"

# Azure's rules for names, beyond the patterns of the ARM types.
NAME_PATTERNS = {
    "resources:ResourceGroup": r"[-\w.()]{0,89}[-\w()]",
    "cosmosdb:DatabaseAccount": r"[a-z0-9](-?[a-z0-9]){2,43}",
    "keyvault:Vault": r"[A-Za-z](-?[A-Za-z0-9]){2,23}",
    "keyvault:Secret": r"[0-9A-Za-z-]{1,127}",
    "containerregistry:Registry": r"[A-Za-z0-9]{5,50}",
    "app:ManagedEnvironment": r"[a-z0-9A-Z]([a-z0-9A-Z-]{0,58}[a-z0-9A-Z])?",
    "app:ContainerApp": r"[a-z](-?[a-z0-9]){1,31}",
    "apimanagement:ApiManagementService": r"[A-Za-z](-?[A-Za-z0-9]){0,49}",
    "managedidentity:UserAssignedIdentity": r"[A-Za-z0-9][\w-]{2,127}",
    "operationalinsights:Workspace": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "dashboard:Dashboard": r"[A-Za-z][A-Za-z0-9-]{0,28}[A-Za-z0-9]",
    "network:VirtualNetwork": r"[A-Za-z0-9][\w.-]{0,62}\w",
    "network:Subnet": r"[A-Za-z0-9][\w.-]{0,78}\w",
    "consumption:Budget": r"[\w-]{1,63}",
}


def configuration_error(stack_file: str, **settings: Any) -> str:
    """Return the program's message for an invalid configuration."""
    with pytest.raises(Exception, match="is invalid") as error:
        run_with_mocks(stack_file, settings)
    return str(error.value)


def test_every_fault_is_reported_with_a_correcting_command() -> None:
    """There is one line for each invalid value, and none for a valid one."""
    message = configuration_error(
        "dev",
        production="yes",
        operatorEmail="nobody",
        platformUrl="http://platform.example.no",
        signingKeys="Über old old",
        corsOrigins="*",
        retentionDays="0",
        throughput="1500",
        image="eventfeed:latest",
        newestWeight="101",
    )
    keys = re.findall(r"^- eventfeed:(\w+) .*pulumi config set eventfeed:\1 \S+", message, re.MULTILINE)

    names = ["production", "operatorEmail", "platformUrl", "signingKeys", "corsOrigins", "retentionDays"]
    assert [*names, "throughput", "image", "newestWeight", "signingKeys"] == keys[:10]
    assert "eventfeed:stableRevision is missing" in message


def test_every_missing_setting_is_reported() -> None:
    """The settings that are specific to an installation have no default, and neither has the region."""
    missing = dict.fromkeys(("operatorName", "operatorEmail", "maskinportenAudiences", "image"))
    message = configuration_error("prod", **missing, **{"azure-native:location": None})

    for name in missing:
        assert f"eventfeed:{name} is missing" in message
    assert "azure-native:location is missing" in message
    assert 5 == message.count("\n- ")


def test_close_name_is_suggested_for_an_unknown_setting() -> None:
    """A typing error would otherwise be ignored."""
    assert "Is it signingKeys?" in configuration_error("dev", signingKey="2026-12")


def test_region_that_is_not_listed_can_be_chosen(session_runs: SessionRuns) -> None:
    """The operator names it twice, after a look at its tiers."""
    run = session_runs.get("dev", {"azure-native:location": "ukwest", "otherRegion": "ukwest"})

    assert "ukwest" == run.one("resources:ResourceGroup").plain["location"]


def test_second_region_that_is_not_listed_can_be_chosen(session_runs: SessionRuns) -> None:
    """It needs the same explicit setting as a first region."""
    run = session_runs.get("prod", {"secondLocation": "uksouth", "otherRegion": "uksouth"})
    regions = [each["locationName"] for each in run.one("cosmosdb:DatabaseAccount").plain["locations"]]

    assert ["norwayeast", "uksouth"] == regions


def test_resource_names_of_a_long_stack_name_are_valid(session_runs: SessionRuns) -> None:
    """Names with generated suffixes follow Azure's rules, for every type of the production stack."""
    resources = session_runs.get("prod", name=LONG_NAME).azure
    names = [(each.token.removeprefix(AZURE), each.id.rpartition("/")[2]) for each in resources]
    invalid_names = [
        (token, name)
        for token, name in names
        if token in NAME_PATTERNS and not re.fullmatch(NAME_PATTERNS[token], name)
    ]

    assert [] == invalid_names
    assert NAME_PATTERNS.keys() <= {token for token, _ in names}
    assert 90 >= max(len(name) for _, name in names)


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of docs/deploy.md lists exactly the configuration keys."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    table = re.split(r"\n\| *setting *\| *default *\| *\w+ *\|\n\|[-|]+\|\n", page)[1].partition("\n\n")[0]
    rows = {name: row for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    keys = {key.name: key.default for key in runpy.run_path(str(INFRA / "keys.py"))["KEYS"]}

    assert keys.keys() | {"platformSubscriptionKey"} == rows.keys()
    assert [] == [name for name, default in keys.items() if default and f"`{default}`" not in rows[name]]


def test_production_without_an_image_lacks_only_the_service(prod: MockRun, session_runs: SessionRuns) -> None:
    """The registry must exist before its first image; every resource of that first run stays the same."""
    without_image = {each.urn for each in session_runs.get("prod", {"image": "none"}).resources}
    later_urns = {each.urn for each in prod.resources} - without_image
    components = {name for urn in later_urns for name in re.findall(r"eventfeed:infra:(\w+)", urn)}

    assert without_image < {each.urn for each in prod.resources}
    assert {"Service", "Api", "Alerts"} == components


def test_signing_keys_are_mounted_in_the_order_of_settings(session_runs: SessionRuns) -> None:
    """The service signs with the last file by name; all keys verify."""
    run = session_runs.get("dev", {"signingKeys": "2027-06 2026-12"})
    template = run.one("app:ContainerApp").plain["template"]
    (volume,) = template["volumes"]

    assert ["00-2027-06.pem", "01-2026-12.pem"] == [each["path"] for each in volume["secrets"]]
    assert ["signing-2027-06", "signing-2026-12"] == [each["secretRef"] for each in volume["secrets"]]
    assert {"signing-2026-12", "signing-2027-06", "gateway", "platform-subscription", "telemetry"} == {
        each.name for each in run.of("keyvault:Secret")
    }


def test_gateway_sends_the_last_of_the_accepted_secrets(session_runs: SessionRuns) -> None:
    """The service accepts every secret, so that a new one can be added before the gateway sends it."""
    run = session_runs.get("dev", {"gatewaySecrets": "2027-06 2026-12"})
    accepted_value = run.one("keyvault:Secret", "gateway").plain["properties"]["value"]
    sent_value = run.one("apimanagement:NamedValue").plain["value"]

    assert "a password gateway-2027-06 a password gateway-2026-12" == accepted_value
    assert "a password gateway-2026-12" == sent_value


def test_stable_revision_receives_the_rest_of_the_traffic(session_runs: SessionRuns) -> None:
    """With a weight of 0 for the newest revision this is a rollback."""
    run = session_runs.get("dev", {"stableRevision": "eventfeed--abc", "newestWeight": "10"})
    newest, stable = run.one("app:ContainerApp").plain["configuration"]["ingress"]["traffic"]

    assert {"latestRevision": True, "weight": 10, "label": "newest"} == newest
    assert {"revisionName": "eventfeed--abc", "weight": 90, "label": "stable", "latestRevision": False} == stable


@pytest.mark.parametrize("address", [None, "https://keys.example.no/apps"])
def test_address_of_app_keys_reaches_the_service(session_runs: SessionRuns, address: str | None) -> None:
    """Without it the service ignores the tokens of apps."""
    run = session_runs.get("dev", {"appTokenKeys": address} if address else {})
    (container,) = run.one("app:ContainerApp").plain["template"]["containers"]

    assert {"name": "EVENTFEED_APP_TOKEN_KEYS", "value": address or ""} in container["env"]


@pytest.mark.parametrize("issuer", [None, "https://platform.example.no/authentication/api/v1/openid/"])
def test_issuer_of_the_platform_reaches_the_service(session_runs: SessionRuns, issuer: str | None) -> None:
    """Without it the service accepts only tokens of its exchange."""
    run = session_runs.get("dev", {"platformIssuer": issuer} if issuer else {})
    (container,) = run.one("app:ContainerApp").plain["template"]["containers"]

    assert {"name": "EVENTFEED_PLATFORM_ISSUER", "value": issuer or ""} in container["env"]


def test_secret_setting_reaches_the_service_by_reference(session_runs: SessionRuns) -> None:
    """An encrypted value of the stack's file is a secret of the vault, to which the app refers."""
    run = session_runs.get("dev", {"platformSubscriptionKey": {"secure": "…"}})
    (container,) = run.one("app:ContainerApp").plain["template"]["containers"]
    env = {each["name"]: each for each in container["env"]}

    assert is_secret(run.one("keyvault:Secret", "platform-subscription").inputs["properties"]["value"])
    assert "platform-subscription" == env["EVENTFEED_PLATFORM_SUBSCRIPTION_KEY"]["secretRef"]
    assert "value" not in env["EVENTFEED_PLATFORM_SUBSCRIPTION_KEY"]


# The types that production has in addition to development, by component.
PRODUCTION_ONLY = {
    "Stack": {"eventfeed:infra:Network", "eventfeed:infra:Locks"},
    "Locks": {"authorization:ManagementLockByScope"},
    "Network": {
        *("network:VirtualNetwork", "network:NetworkSecurityGroup", "network:Subnet"),
        *("privatedns:PrivateZone", "privatedns:VirtualNetworkLink"),
    },
    "Store": {"network:PrivateEndpoint", "network:PrivateDnsZoneGroup"},
    "Vault": {"network:PrivateEndpoint", "network:PrivateDnsZoneGroup"},
    "Registry": {"network:PrivateEndpoint", "network:PrivateDnsZoneGroup"},
    "Environment": {"privatedns:PrivateZone", "privatedns:VirtualNetworkLink", "privatedns:PrivateRecordSet"},
    "Alerts": {"monitor:ScheduledQueryRule", "monitor:MetricAlert", "applicationinsights:WebTest"},
}
# The inputs that differ between the stacks, by type.
DIFFERENT_INPUTS = {
    "cosmosdb:DatabaseAccount": {
        "capabilities",
        "enablePerRegionPerPartitionAutoscale",
        "locations",
        "publicNetworkAccess",
    },
    "cosmosdb:SqlResourceSqlContainer": {"options"},
    "keyvault:Vault": {
        "properties.publicNetworkAccess",
        "properties.networkAcls",
        "properties.softDeleteRetentionInDays",
    },
    "containerregistry:Registry": {"sku", "publicNetworkAccess", "zoneRedundancy"},
    "operationalinsights:Workspace": {"retentionInDays", "workspaceCapping"},
    "consumption:Budget": {"amount"},
    "app:ManagedEnvironment": {"publicNetworkAccess", "vnetConfiguration", "zoneRedundant"},
    "app:ContainerApp": {"template"},
    "apimanagement:ApiManagementService": {"sku", "virtualNetworkType", "virtualNetworkConfiguration"},
    "apimanagement:ApiDiagnostic": {"sampling"},
}
# The parts of the container and the settings that differ: its size, its replicas, and the platform.
DIFFERENT_APP_PARTS = {
    *("scale", "containers.resources"),
    *("EVENTFEED_MASKINPORTEN_ISSUER", "EVENTFEED_PLATFORM_URL"),
}


def stack_independent_urn(resource: RegisteredResource) -> tuple[str, str]:
    """Return the resource's type path and its name without the stack's name."""
    _, _, type_path, name = resource.urn.split("::")
    return type_path, name.replace("-dev", "").replace("-prod", "")


def stack_independent(value: Any, stack: str) -> Any:
    """Return inputs without the stack's name and without values that are generated from it."""
    if isinstance(value, Mapping):
        return {key: stack_independent(each, stack) for key, each in value.items()}
    if isinstance(value, list):
        return [stack_independent(each, stack) for each in value]
    if isinstance(value, str):
        generated_value = (
            rf"eventfeed-{stack}\w{{8}}|[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}|[0-9a-f]{{8}}(?=\.region)"
        )
        return re.sub(generated_value, "generated", re.sub(rf"\b{stack}\b", "stack", value))
    return value


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the inputs that differ, with those inside `properties` by path."""
    for key in one.keys() | other.keys():
        a, b = one.get(key), other.get(key)
        if key == "properties" and isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from (f"{key}.{each}" for each in differences(a, b))
        elif a != b:
            yield key


def test_production_adds_the_resources_of_the_design(dev: MockRun, prod: MockRun) -> None:
    """It has every resource of development, a network, private endpoints, locks, and more alerts."""
    dev_urns, prod_urns = ({stack_independent_urn(each) for each in run.resources} for run in (dev, prod))
    additions: dict[str, set[str]] = {}
    for type_path in {path for path, _ in prod_urns - dev_urns}:
        component, _, token = type_path.rpartition("$")
        additions.setdefault(component.rpartition(":")[2] or "Stack", set()).add(token.removeprefix(AZURE))

    assert dev_urns <= prod_urns
    assert additions == PRODUCTION_ONLY


def test_common_resources_differ_only_in_inputs_of_the_design(dev: MockRun, prod: MockRun) -> None:
    """Names apart, the inputs that differ are listed; the names of role assignments depend on their scopes."""
    dev_resources, prod_resources = ({stack_independent_urn(each): each for each in run.azure} for run in (dev, prod))
    inputs: dict[str, set[str]] = {}
    for urn in dev_resources.keys() & prod_resources.keys():
        a, b = (
            stack_independent(resources[urn].plain, stack)
            for resources, stack in ((dev_resources, "dev"), (prod_resources, "prod"))
        )
        if different := set(differences(a, b)) - {"roleAssignmentName", "roleAssignmentId"}:
            inputs.setdefault(dev_resources[urn].token.removeprefix(AZURE), set()).update(different)

    assert inputs == DIFFERENT_INPUTS


def test_service_differs_only_in_size_and_platform(dev: MockRun, prod: MockRun) -> None:
    """Both stacks run the same container with the same settings, apart from the listed ones."""
    (a, dev_env), (b, prod_env) = (app_parts(run) for run in (dev, prod))
    parts = {key for key in a if a[key] != b[key]} | {name for name in dev_env if dev_env[name] != prod_env.get(name)}

    assert dev_env.keys() == prod_env.keys()
    assert parts == DIFFERENT_APP_PARTS


def app_parts(run: MockRun) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the parts of the app's template, and its environment by name."""
    stack = run.resources[0].urn.split(":")[2]
    template = stack_independent(run.one("app:ContainerApp").plain["template"], stack)
    (container,) = template.pop("containers")
    env = {each["name"]: each for each in container.pop("env")}
    return {**template, **{f"containers.{key}": each for key, each in container.items()}}, env
