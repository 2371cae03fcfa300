"""Configuration: refused with every fault at once; and what differs from one stack to another."""

import re
import runpy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.infra.recording import AZURE, INFRA, ROOT, Recorded, Recording, record
from tests.infra.simulation.wire import is_secret

LONG = "prod-" + "a-very-long-name-" * 5 + "x"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# What Azure takes as a name, where it is not the resource's own ARM type that says so for every stack.
NAMES = {
    "resources:ResourceGroup": r"[-\w.()]{0,89}[-\w()]",
    "cosmosdb:DatabaseAccount": r"[a-z0-9](-?[a-z0-9]){2,43}",
    "keyvault:Vault": r"[A-Za-z](-?[A-Za-z0-9]){2,23}",
    "keyvault:Secret": r"[0-9A-Za-z-]{1,127}",
    "containerregistry:Registry": r"[A-Za-z0-9]{5,50}",
    "containerregistry:TaskRun": r"[A-Za-z0-9-]{5,50}",
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


def refusal(stack_file: str, **overrides: Any) -> str:
    """What the program says of a configuration that it refuses."""
    with pytest.raises(Exception, match="cannot be used") as refused:
        record(stack_file, overrides)
    return str(refused.value)


def test_every_fault_is_named_at_once_with_what_corrects_it() -> None:
    """One line for each, and none for what is right."""
    said = refusal(
        "dev",
        production="yes",
        operatorEmail="nobody",
        platformUrl="http://platform.example.no",
        signingKeys="Über old old",
        corsOrigins="*",
        retentionDays="0",
        throughput="1500",
        budgetFrom="2026-12-24",
        image="eventfeed:latest",
        newestWeight="101",
    )
    named = re.findall(r"^- eventfeed:(\w+) .*pulumi config set eventfeed:\1 \S+", said, re.MULTILINE)

    wrong = ["production", "operatorEmail", "platformUrl", "signingKeys", "corsOrigins", "retentionDays"]
    assert [*wrong, "throughput", "budgetFrom", "image", "newestWeight", "signingKeys"] == named[:11]
    assert "eventfeed:stableRevision is missing" in said


def test_what_is_missing_is_named() -> None:
    """Everything that only whoever sets this up can know, and the region."""
    left_out = dict.fromkeys(("operatorName", "operatorEmail", "maskinportenAudiences", "image"))
    said = refusal("prod", **left_out, **{"azure-native:location": None})

    for name in ("operatorName", "operatorEmail", "maskinportenAudiences", "image"):
        assert f"eventfeed:{name} is missing" in said
    assert "azure-native:location is missing" in said
    assert 5 == said.count("\n- ")


@pytest.mark.parametrize(
    ("stack_file", "overrides", "said"),
    [
        ("dev", {"idportenIssuer": "https://test.idporten.no"}, "idportenAudiences is missing"),
        ("dev", {"source": f"https://example.no/x.git#{COMMIT}"}, "are both set"),
        ("prod", {"image": None, "source": f"https://example.no/x.git#{COMMIT}"}, "a closed registry builds nothing"),
        ("prod", {"image": None}, "eventfeed:image is missing"),
        ("prod", {"newestWeight": "10"}, "stableRevision is missing"),
        ("dev", {"signingKeys": "2026-12 2026-12"}, "has a name twice"),
        ("dev", {"image": None, "source": "https://example.no/x.git#main"}, "eventfeed:source cannot be"),
    ],
)
def test_what_contradicts_itself_is_refused(stack_file: str, overrides: Mapping[str, Any], said: str) -> None:
    """Each value may be right, and all together wrong."""
    assert said in refusal(stack_file, **overrides)


def test_names_are_within_azures_rules_for_long_stack_names() -> None:
    """Made-up endings included; production has every kind that development has."""
    made = record("prod", name=LONG).azure
    named = [(each.token.removeprefix(AZURE), each.id.rpartition("/")[2]) for each in made]
    wrong = [(kind, name) for kind, name in named if kind in NAMES and not re.fullmatch(NAMES[kind], name)]

    assert [] == wrong
    assert NAMES.keys() - {kind for kind, _ in named} == {"containerregistry:TaskRun"}
    assert 90 >= max(len(name) for _, name in named)


def test_every_setting_of_the_stack_is_described() -> None:
    """In docs/deploy.md, and no other; with its default where it has one."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    table = page.partition("| setting | default | means |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = {name: row for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    keys = {key.name: key.default for key in runpy.run_path(str(INFRA / "stack.py"))["KEYS"]}

    assert keys.keys() | {"platformSubscriptionKey"} == rows.keys()
    assert [] == [name for name, default in keys.items() if default and f"`{default}`" not in rows[name]]


def test_an_image_is_built_where_there_is_none() -> None:
    """In development, of one commit, and what runs is what was built, by its digest."""
    run = record("dev", {"image": None, "source": f"https://example.no/x.git#{COMMIT}:."})
    task = run.one("containerregistry:TaskRun").plain
    (container,) = run.one("app:ContainerApp").plain["template"]["containers"]

    assert f"https://example.no/x.git#{COMMIT}:." == task["runRequest"]["sourceLocation"] == task["forceUpdateTag"]
    assert [f"eventfeed:{COMMIT}"] == task["runRequest"]["imageNames"]
    assert "service/Dockerfile" == task["runRequest"]["dockerFilePath"]
    assert (ROOT / task["runRequest"]["dockerFilePath"]).is_file()
    assert re.fullmatch(r"[a-z0-9]+\.azurecr\.io/eventfeed@sha256:[0-9a-f]{64}", container["image"])


def test_the_first_time_production_is_made_without_the_service(prod: Recording) -> None:
    """Its registry must be there before there is an image in it; everything else is the same then."""
    first = {each.urn for each in record("prod", {"image": "none"}).resources}
    later = {each.urn for each in prod.resources} - first
    components = {word for urn in later for word in re.findall(r"eventfeed:infra:(\w+)", urn)}

    assert first < {each.urn for each in prod.resources}
    assert {"Service", "Api", "Alerts"} == components


def test_a_key_is_added_before_it_signs() -> None:
    """What comes last signs, and the service takes the newest by file name; all are there to verify."""
    run = record("dev", {"signingKeys": "2027-06 2026-12"})
    template = run.one("app:ContainerApp").plain["template"]
    (volume,) = template["volumes"]

    assert ["00-2027-06.pem", "01-2026-12.pem"] == [each["path"] for each in volume["secrets"]]
    assert ["signing-2027-06", "signing-2026-12"] == [each["secretRef"] for each in volume["secrets"]]
    assert {"signing-2026-12", "signing-2027-06", "gateway", "gateway-says", "telemetry"} == {
        each.name for each in run.of("keyvault:Secret")
    }


def test_the_gateway_is_let_in_by_a_new_secret_before_it_says_it() -> None:
    """It says the last, and the service knows all."""
    run = record("dev", {"gatewaySecrets": "2027-06 2026-12"})
    known, said = (
        run.one("keyvault:Secret", each).plain["properties"]["value"] for each in ("gateway", "gateway-says")
    )

    assert "a password gateway-2027-06 a password gateway-2026-12" == known
    assert "a password gateway-2026-12" == said


def test_a_release_may_get_a_part_of_the_traffic() -> None:
    """The stable revision keeps the rest; with nothing for the newest that is the way back."""
    run = record("dev", {"stableRevision": "eventfeed--abc", "newestWeight": "10"})
    newest, stable = run.one("app:ContainerApp").plain["configuration"]["ingress"]["traffic"]

    assert {"latestRevision": True, "weight": 10, "label": "newest"} == newest
    assert {"revisionName": "eventfeed--abc", "weight": 90, "label": "stable", "latestRevision": False} == stable


def test_a_secret_of_the_configuration_stays_secret() -> None:
    """From the stack's file into the vault, and from there to the service by reference."""
    run = record("dev", {"platformSubscriptionKey": {"secure": "…"}})
    (container,) = run.one("app:ContainerApp").plain["template"]["containers"]
    env = {each["name"]: each for each in container["env"]}

    assert is_secret(run.one("keyvault:Secret", "platform-subscription").inputs["properties"]["value"])
    assert "platform-subscription" == env["EVENTFEED_PLATFORM_SUBSCRIPTION_KEY"]["secretRef"]
    assert "value" not in env["EVENTFEED_PLATFORM_SUBSCRIPTION_KEY"]


# What production has and development does not, by component and type.
PRODUCTION_ALONE = {
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
# Of what both have: which inputs differ, by type.
DIFFERENT = {
    "cosmosdb:DatabaseAccount": {"backupPolicy", "capabilities", "locations", "publicNetworkAccess"},
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
# Of the container: how big it is, how often, and which platform it is a part of.
DIFFERENT_IN_THE_APP = {
    *("scale", "containers.resources"),
    *("EVENTFEED_MASKINPORTEN_ISSUER", "EVENTFEED_PLATFORM_URL"),
}


def place(each: Recorded) -> tuple[str, str]:
    """A resource by what it is in every stack."""
    _, _, path, name = each.urn.split("::")
    return path, name.replace("-dev", "").replace("-prod", "")


def named_alike(value: Any, stack: str) -> Any:
    """Inputs without the stack's own name in them, and without what is made up from it."""
    if isinstance(value, Mapping):
        return {key: named_alike(each, stack) for key, each in value.items()}
    if isinstance(value, list):
        return [named_alike(each, stack) for each in value]
    if isinstance(value, str):
        made_up = (
            rf"eventfeed-{stack}\w{{8}}|[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}|[0-9a-f]{{8}}(?=\.region)"
        )
        return re.sub(made_up, "made up", re.sub(rf"\b{stack}\b", "stack", value))
    return value


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """The inputs that differ, by path; an input that is a list or a value as a whole."""
    for key in one.keys() | other.keys():
        a, b = one.get(key), other.get(key)
        if key == "properties" and isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from (f"{key}.{each}" for each in differences(a, b))
        elif a != b:
            yield key


def test_production_has_all_of_development_and_what_the_design_adds(dev: Recording, prod: Recording) -> None:
    """A network, private ways in, locks, and more that tells."""
    cheap, right = {place(each) for each in dev.resources}, {place(each) for each in prod.resources}
    added = {path for path, _ in right - cheap if "$" in path}
    found: dict[str, set[str]] = {}
    for path in added:
        component, _, kind = path.partition("$")
        found.setdefault(component.rpartition(":")[2], set()).add(kind.removeprefix(AZURE))

    assert cheap <= right
    assert found == PRODUCTION_ALONE


def test_dev_and_prod_differ_only_where_the_design_says(dev: Recording, prod: Recording) -> None:
    """By type and input, names apart; roles have other names because what they are about has."""
    cheap, right = {place(each): each for each in dev.azure}, {place(each): each for each in prod.azure}
    found: dict[str, set[str]] = {}
    for at in cheap.keys() & right.keys():
        a, b = named_alike(cheap[at].plain, "dev"), named_alike(right[at].plain, "prod")
        if different := set(differences(a, b)) - {"roleAssignmentName", "roleAssignmentId"}:
            found.setdefault(cheap[at].token.removeprefix(AZURE), set()).update(different)

    assert found == DIFFERENT


def test_the_same_service_runs_in_both(dev: Recording, prod: Recording) -> None:
    """But for its size, its number, and the platform around it."""
    (a, dev_env), (b, prod_env) = (parts(each) for each in (dev, prod))
    found = {key for key in a if a[key] != b[key]} | {name for name in dev_env if dev_env[name] != prod_env.get(name)}

    assert dev_env.keys() == prod_env.keys()
    assert found == DIFFERENT_IN_THE_APP


def parts(recording: Recording) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A service's template in its parts, and its environment by name."""
    stack = recording.resources[0].urn.split(":")[2]
    template = named_alike(recording.one("app:ContainerApp").plain["template"], stack)
    (container,) = template.pop("containers")
    env = {each["name"]: each for each in container.pop("env")}
    return {**template, **{f"containers.{key}": each for key, each in container.items()}}, env
