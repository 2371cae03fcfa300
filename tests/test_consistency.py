"""Names that service, infrastructure and load tests share without importing each other must be equal."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventfeed.app.application import create_application
from eventfeed.cli.server import STOP_SECONDS_MAX
from eventfeed.domain.cloudevents import REQUEST_BYTES_MAX
from eventfeed.http.operations.gateway import HEADER
from eventfeed.http.operations.openapi import document
from eventfeed.http.problems import KINDS
from eventfeed.http.reading.long_poll import WAIT_SECONDS_MAX
from eventfeed.http.request import BODY_BYTES_MAX
from eventfeed.identity.keys import SigningKeys
from eventfeed.log.cosmos.containers import Container, containers, differences
from eventfeed.settings import PREFIX, SECRETS, Settings, SettingsError, describe_settings, load
from eventfeed.telemetry.application_insights import CONNECTION, metric_name
from eventfeed.telemetry.dashboards import ALERTS, WORKSPACE, dashboard
from eventfeed.telemetry.export import FLUSH_SECONDS_MAX
from eventfeed.telemetry.metrics import METRICS
from eventfeed.telemetry.telemetry import Telemetry

ROOT = Path(__file__).parents[1]
DAY_SECONDS = 86_400
# Settings of libraries of the service: of Azure's identity, Azure's exporter and OpenTelemetry.
LIBRARY_SETTINGS = {
    *("AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"),
    *(CONNECTION, "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
}

Resources = Mapping[tuple[str, str], Mapping[str, Any]]


@pytest.fixture(scope="module", params=["dev", "prod"])
def resources(request: pytest.FixtureRequest) -> Resources:
    """The resources that the program in `infra/` registers, by type and logical name."""
    command = [sys.executable, "-m", "tests.infra.mock_run", request.param]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=600, check=True)
    return {(token.removeprefix("azure-native:"), name): inputs for token, name, inputs in json.loads(process.stdout)}


def of_type(resources: Resources, kind: str) -> Mapping[str, Mapping[str, Any]]:
    """The resources of a type, by name."""
    return {name: inputs for (token, name), inputs in resources.items() if token == kind}


def container(resources: Resources) -> Mapping[str, Any]:
    """The container of the service."""
    (app,) = of_type(resources, "app:ContainerApp").values()
    (value,) = app["template"]["containers"]
    assert isinstance(value, Mapping)
    return value


def environment(resources: Resources) -> dict[str, str]:
    """The environment variables of the container, with a placeholder for secrets."""
    return {
        each["name"]: each.get("value", "a-secret-of-32-characters-or-more") for each in container(resources)["env"]
    }


def routes() -> Iterator[str]:
    """The paths of all routes, including those of development."""
    for route in create_application(Settings(), Telemetry()).routes:
        yield re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)


@pytest.fixture
def real_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """The paths of all routes, of a service with its files in a folder of this test."""
    monkeypatch.chdir(tmp_path)
    return list(routes())


def test_every_setting_of_the_container_exists(resources: Resources) -> None:
    """Settings belong to the service or to a library of it, and secrets come from the vault only."""
    settings = {f"{PREFIX}{each.name.upper()}" for each in describe_settings()}
    secrets = {f"{PREFIX}{name.upper()}" for name in SECRETS}
    plain_names = {each["name"] for each in container(resources)["env"] if "value" in each}

    assert environment(resources).keys() <= settings | LIBRARY_SETTINGS
    assert set() == plain_names & (secrets | {CONNECTION})


def test_service_starts_with_the_settings_of_the_container(resources: Resources) -> None:
    """No setting is missing or contradicts another, and the store is Cosmos DB."""
    settings = load(environment(resources))

    assert not settings.development
    assert settings.cosmos is not None
    assert "eventfeed" == settings.cosmos.database
    assert settings.cosmos.host.endswith(".documents.azure.com:443")
    assert settings.maskinporten_audiences


@pytest.mark.parametrize(
    "name", ["STORE", "MASKINPORTEN_ISSUER", "MASKINPORTEN_AUDIENCES", "PUBLIC_URL", "PLATFORM_URL"]
)
def test_missing_required_setting_prevents_the_start(resources: Resources, name: str) -> None:
    """This proves that the test above can fail."""
    variables = environment(resources)
    del variables[f"{PREFIX}{name}"]

    try:
        has_store = load(variables).cosmos is not None
    except SettingsError:
        has_store = False

    assert not has_store


def test_containers_match_the_description_of_the_engine(resources: Resources) -> None:
    """Names, partition keys, indexes and the time to live are equal."""
    days = load(environment(resources)).retention_days
    descriptions = {each.name: each for each in containers(keep_seconds=int(days * DAY_SECONDS))}
    actual = {name: each["resource"] for name, each in of_type(resources, "cosmosdb:SqlResourceSqlContainer").items()}

    assert descriptions.keys() == actual.keys()
    for name, each in descriptions.items():
        assert [] == list(differences(each, actual[name], indexes=True))
        assert each == described_container(name, actual[name])


def described_container(name: str, resource: Mapping[str, Any]) -> Container:
    """A container of Azure in the form of the engine's description."""
    (key,) = resource["partitionKey"]["paths"]
    return Container(name, key, resource["indexingPolicy"], resource.get("defaultTtl"))


def test_probes_use_existing_routes(resources: Resources, real_routes: Sequence[str]) -> None:
    """The port is the one that the service listens on, for probes and traffic."""
    port = load(environment(resources)).port
    (app,) = of_type(resources, "app:ContainerApp").values()
    probes = [each["httpGet"] for each in container(resources)["probes"]]

    assert {each["path"] for each in probes} == {"/health/live", "/health/ready"}
    assert {each["path"] for each in probes} <= set(real_routes)
    assert {port} == {each["port"] for each in probes} == {app["configuration"]["ingress"]["targetPort"]}


def test_replica_has_enough_time_to_stop(resources: Resources) -> None:
    """The service first finishes its requests, then sends its traces."""
    (app,) = of_type(resources, "app:ContainerApp").values()

    assert STOP_SECONDS_MAX + FLUSH_SECONDS_MAX < app["template"]["terminationGracePeriodSeconds"]


def test_signing_keys_are_in_the_folder_that_the_service_reads(resources: Resources, tmp_path: Path) -> None:
    """The service reads the names in that folder and cannot write to it."""
    (app,) = of_type(resources, "app:ContainerApp").values()
    (volume,) = app["template"]["volumes"]
    (mount,) = container(resources)["volumeMounts"]
    SigningKeys.load(tmp_path / "keys")
    (pem,) = (tmp_path / "keys").glob("*.pem")
    mount_folder = tmp_path / "mount"
    mount_folder.mkdir()
    for each in volume["secrets"]:
        (mount_folder / each["path"]).symlink_to(pem)
    mount_folder.chmod(0o500)

    assert str(load(environment(resources)).keys_path / "platform") == mount["mountPath"]
    assert volume["name"] == mount["volumeName"]
    assert SigningKeys.load(mount_folder).jwks == SigningKeys.load(tmp_path / "keys").jwks


def metrics_of(query: str) -> set[str]:
    """The metrics in a query."""
    return {
        name for names in re.findall(r"Name (?:in \(|== )([^)|]+)", query) for name in re.findall(r"'([^']+)'", names)
    }


def test_alerts_and_the_dashboard_query_existing_metrics(resources: Resources) -> None:
    """The names are those of Application Insights, and each alert has the telemetry's query and window."""
    names = {*map(metric_name, METRICS), *METRICS}
    rules = of_type(resources, "monitor:ScheduledQueryRule")
    (text,) = (
        each["properties"]["serializedData"] for each in of_type(resources, "dashboard:DashboardDefinition").values()
    )
    alerts = {each.name: each for each in ALERTS}

    for name, rule in rules.items():
        (condition,) = rule["criteria"]["allOf"]
        assert (alerts[name].query, f"PT{alerts[name].minutes}M") == (condition["query"], rule["windowSize"])
        assert alerts[name].severity == rule["severity"]
        assert metrics_of(condition["query"])
        assert metrics_of(condition["query"]) <= names
    assert metrics_of(text) <= names
    assert len(metrics_of(text)) >= 15


def test_dashboard_equals_that_of_the_telemetry(resources: Resources) -> None:
    """Only the workspace differs."""
    (actual,) = (
        each["properties"]["serializedData"] for each in of_type(resources, "dashboard:DashboardDefinition").values()
    )
    ((rule, *_),) = [[each["scopes"] for each in of_type(resources, "monitor:ScheduledQueryRule").values()]]
    text = json.dumps(dashboard())

    assert WORKSPACE in text
    assert json.loads(text.replace(WORKSPACE, rule[0])) == json.loads(actual)


def test_gateway_imports_the_document_of_the_service(resources: Resources, real_routes: Sequence[str]) -> None:
    """Every path of the document is a route of the service."""
    (api,) = of_type(resources, "apimanagement:Api").values()
    api_document = json.loads(api["value"])
    shapes = {re.sub(r"\{\w+\}", "{}", each) for each in real_routes}
    operation_ids = {
        operation["operationId"].lower() for each in api_document["paths"].values() for operation in each.values()
    }

    # A path with a slash at its end is the same route. The gateway needs both in the document.
    api_paths = {path.removesuffix("/") for path in api_document["paths"]}
    assert {re.sub(r"\{\w+\}", "{}", path) for path in api_paths} <= shapes
    paths = {path: each for path, each in api_document["paths"].items() if not path.endswith("/")}
    assert document() == {key: each for key, each in {**api_document, "paths": paths}.items() if key != "servers"}
    assert {
        each["operationId"] for each in of_type(resources, "apimanagement:ApiOperationPolicy").values()
    } <= operation_ids


def policies(resources: Resources) -> str:
    """The text of all policies."""
    kinds = ("ApiPolicy", "ApiOperationPolicy", "PolicyFragment")
    return "\n".join(each["value"] for kind in kinds for each in of_type(resources, f"apimanagement:{kind}").values())


def test_problems_of_the_gateway_equal_those_of_the_service(resources: Resources) -> None:
    """Code, status and title are equal."""
    text = policies(resources)
    literals = re.findall(r'problems/([a-z-]+)","title":"([^"]+)","status":(\d+),"code":"([a-z-]+)"', text)
    variables = re.findall(r'name="code" value="([a-z-]+)" />\s*<set-variable name="title" value="([^"]+)"', text)

    assert {"too-large", "invalid-request"} == {code for code, *_ in literals}
    assert len(variables) >= 4
    for kind, title, status, code in literals:
        assert (kind, title, int(status)) == (code, KINDS[code].title, KINDS[code].status)
    assert [] == [code for code, title in variables if KINDS[code].title != title]


def test_gateway_and_the_service_agree_on_limits_and_headers(resources: Resources) -> None:
    """The limits are the size of a request and the time of a long poll."""
    text = policies(resources)
    settings = load(environment(resources))

    assert f"> {REQUEST_BYTES_MAX})" in text.replace("&gt;", ">")
    assert f'max-size="{BODY_BYTES_MAX}"' in text
    assert WAIT_SECONDS_MAX < max(int(each) for each in re.findall(r'timeout="(\d+)"', text))
    assert f'name="{settings.client_address_header}"' in text
    assert f'name="{HEADER.decode()}"' in text.lower()
    assert settings.gateway_secret


def test_service_infra_and_loadtests_never_import_each_other() -> None:
    """The packages do not name each other's modules in strings either. Tests may import all of them."""
    foreign_packages = {"service": {"components", "stack", "loadtests"}, "infra": {"eventfeed", "loadtests"}}
    foreign_packages["loadtests"] = {"eventfeed", "components", "stack"}
    violations = [
        f"{file.relative_to(ROOT)}: {name}"
        for folder, packages in foreign_packages.items()
        for file in (ROOT / folder).rglob("*.py")
        for name in packages_of(ast.parse(file.read_text())) & (packages | {"tests"})
        | module_packages_in_strings(ast.parse(file.read_text())) & packages
    ]

    assert [] == violations


def packages_of(tree: ast.AST) -> set[str]:
    """The packages that a module imports."""
    names = [each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def module_packages_in_strings(tree: ast.AST) -> set[str]:
    """The packages of dotted module names in string literals."""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {text.partition(".")[0] for text in texts if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+(:\w+)?", text)}


# Values for the ellipsis in a path of the load tests: one name, or an app with its organisation.
INSERTED_VALUES = ("maskinporten", "ttd/bolig")


def test_load_tests_use_existing_routes(real_routes: Sequence[str]) -> None:
    """Every path in the load tests is a route of the service."""
    pattern = re.compile("|".join(re.sub(r"\{\w+\}", "[^/]+", each) for each in real_routes))
    request_paths = {path for file in (ROOT / "loadtests").rglob("*.py") for path in paths(ast.parse(file.read_text()))}
    other_paths = [
        path
        for path in request_paths
        if not any(pattern.fullmatch(path.replace("…", each)) for each in INSERTED_VALUES)
    ]

    assert len(request_paths) >= 8
    # This is the beginning of a path only.
    assert ["/authentication/api/v1/exchange"] == other_paths


def paths(tree: ast.AST) -> Iterator[str]:
    """The paths in the string literals of a module, with an ellipsis for each inserted value."""
    texts: list[Sequence[ast.expr]] = [node.values for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    pieces = {id(piece) for parts in texts for piece in parts}
    texts.extend([node] for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in pieces)
    for parts in texts:
        text = "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in parts)
        if re.match(r"/(events|authentication|development|health)/", text):
            yield text.partition("?")[0]
