"""Service, infrastructure and load tests never import each other: here the names they share are shown to agree."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventfeed.app.application import application
from eventfeed.cli.serve import STOP_SECONDS_MAX
from eventfeed.domain.event import REQUEST_BYTES_MAX
from eventfeed.http.body import BODY_BYTES_MAX
from eventfeed.http.operations.gateway import HEADER
from eventfeed.http.operations.openapi import document
from eventfeed.http.problems import KINDS
from eventfeed.http.reading.long_poll import WAIT_SECONDS_MAX
from eventfeed.identity.keys import SigningKeys
from eventfeed.log.cosmos.containers import Container, containers, differences
from eventfeed.settings import PREFIX, SECRETS, Settings, SettingsError, described, load
from eventfeed.telemetry.application_insights import CONNECTION, named
from eventfeed.telemetry.dashboards import ALERTS, WORKSPACE, dashboard
from eventfeed.telemetry.export import FLUSH_SECONDS_MAX
from eventfeed.telemetry.metrics import ALL

ROOT = Path(__file__).parents[1]
DAY_SECONDS = 86_400
# What the container gets besides the service's own settings: of Azure's identity, exporter and OpenTelemetry.
FOREIGN = {
    *("AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"),
    *(CONNECTION, "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
}

Made = Mapping[tuple[str, str], Mapping[str, Any]]


@pytest.fixture(scope="module", params=["dev", "prod"])
def made(request: pytest.FixtureRequest) -> Made:
    """What the program in `infra/` makes, by type and logical name. A process of its own: Azure's classes are large."""
    command = [sys.executable, "-m", "tests.infra.recording", request.param]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    return {(token.removeprefix("azure-native:"), name): inputs for token, name, inputs in json.loads(ran.stdout)}


def of(made: Made, kind: str) -> Mapping[str, Mapping[str, Any]]:
    """What is made of a type, by name."""
    return {name: inputs for (token, name), inputs in made.items() if token == kind}


def container(made: Made) -> Mapping[str, Any]:
    """The service's container."""
    (app,) = of(made, "app:ContainerApp").values()
    (found,) = app["template"]["containers"]
    assert isinstance(found, Mapping)
    return found


def environment(made: Made) -> dict[str, str]:
    """What the container is told, with something in the place of secrets."""
    return {each["name"]: each.get("value", "a-secret-of-32-characters-or-more") for each in container(made)["env"]}


def routes() -> Iterator[str]:
    """The paths of every route there is, those of development too."""
    for route in application(Settings()).routes:
        yield re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)


@pytest.fixture
def real_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """The same, of a service that keeps what it makes in a folder of this test."""
    monkeypatch.chdir(tmp_path)
    return list(routes())


def test_each_setting_that_is_given_is_a_setting(made: Made) -> None:
    """Of the service, or of a library it is made of; and what is secret comes from the vault alone."""
    known = {f"{PREFIX}{each.name.upper()}" for each in described()}
    secret = {f"{PREFIX}{name.upper()}" for name in SECRETS}
    plain = {each["name"] for each in container(made)["env"] if "value" in each}

    assert environment(made).keys() <= known | FOREIGN
    assert set() == plain & (secret | {CONNECTION})


def test_the_service_starts_with_what_it_is_given(made: Made) -> None:
    """Nothing is missing and nothing contradicts; it knows that it is no development, and where its log is."""
    settings = load(environment(made))

    assert not settings.development
    assert settings.cosmos is not None
    assert "eventfeed" == settings.cosmos.database
    assert settings.cosmos.host.endswith(".documents.azure.com:443")
    assert settings.maskinporten_audiences


@pytest.mark.parametrize(
    "name", ["STORE", "MASKINPORTEN_ISSUER", "MASKINPORTEN_AUDIENCES", "PUBLIC_URL", "PLATFORM_URL"]
)
def test_what_is_required_is_missed(made: Made, name: str) -> None:
    """Without any of these the service would not start: so the test before can fail."""
    given = environment(made)
    del given[f"{PREFIX}{name}"]

    try:
        started = load(given).cosmos is not None
    except SettingsError:
        started = False

    assert not started


def test_containers_are_as_the_engine_describes_them(made: Made) -> None:
    """Names, partition keys, indexes alone and together, and how long what is in them stays."""
    days = load(environment(made)).retention_days
    wanted = {each.name: each for each in containers(keep_seconds=int(days * DAY_SECONDS))}
    found = {name: each["resource"] for name, each in of(made, "cosmosdb:SqlResourceSqlContainer").items()}

    assert wanted.keys() == found.keys()
    for name, each in wanted.items():
        assert [] == list(differences(each, found[name], indexes=True))
        assert each == as_described(name, found[name])


def as_described(name: str, resource: Mapping[str, Any]) -> Container:
    """A container of Azure's in the engine's words."""
    (key,) = resource["partitionKey"]["paths"]
    return Container(name, key, resource["indexingPolicy"], resource.get("defaultTtl"))


def test_probes_hit_real_routes(made: Made, real_routes: Sequence[str]) -> None:
    """At the port that the service listens on, as the traffic does."""
    port = load(environment(made)).port
    (app,) = of(made, "app:ContainerApp").values()
    asked = [each["httpGet"] for each in container(made)["probes"]]

    assert {each["path"] for each in asked} == {"/health/live", "/health/ready"}
    assert {each["path"] for each in asked} <= set(real_routes)
    assert {port} == {each["port"] for each in asked} == {app["configuration"]["ingress"]["targetPort"]}


def test_a_replica_is_given_the_time_that_it_takes_to_stop(made: Made) -> None:
    """Requests under way first, then what is traced."""
    (app,) = of(made, "app:ContainerApp").values()

    assert STOP_SECONDS_MAX + FLUSH_SECONDS_MAX < app["template"]["terminationGracePeriodSeconds"]


def test_signing_keys_are_where_the_service_looks(made: Made, tmp_path: Path) -> None:
    """In the platform's folder, under names that it reads, in a folder that it cannot write."""
    (app,) = of(made, "app:ContainerApp").values()
    (volume,) = app["template"]["volumes"]
    (mount,) = container(made)["volumeMounts"]
    SigningKeys.load(tmp_path / "made")
    (pem,) = (tmp_path / "made").glob("*.pem")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for each in volume["secrets"]:
        (mounted / each["path"]).symlink_to(pem)
    mounted.chmod(0o500)

    assert str(load(environment(made)).keys_path / "platform") == mount["mountPath"]
    assert volume["name"] == mount["volumeName"]
    assert SigningKeys.load(mounted).jwks == SigningKeys.load(tmp_path / "made").jwks


def metrics(text: str) -> set[str]:
    """The metrics that queries ask for."""
    return {
        name for names in re.findall(r"Name (?:in \(|== )([^)|]+)", text) for name in re.findall(r"'([^']+)'", names)
    }


def test_alerts_and_dashboard_ask_for_real_metrics(made: Made) -> None:
    """As Application Insights knows them; each alert is the telemetry's own, over its own time."""
    known = {named(each.described.name) for each in ALL} | {each.described.name for each in ALL}
    rules = of(made, "monitor:ScheduledQueryRule")
    (shown,) = (each["properties"]["serializedData"] for each in of(made, "dashboard:DashboardDefinition").values())
    alerts = {each.name: each for each in ALERTS}

    for name, rule in rules.items():
        (condition,) = rule["criteria"]["allOf"]
        assert (alerts[name].query, f"PT{alerts[name].minutes}M") == (condition["query"], rule["windowSize"])
        assert alerts[name].severity == rule["severity"]
        assert metrics(condition["query"])
        assert metrics(condition["query"]) <= known
    assert metrics(shown) <= known
    assert len(metrics(shown)) >= 15


def test_the_dashboard_is_the_telemetrys_own(made: Made) -> None:
    """With this workspace in it."""
    (shown,) = (each["properties"]["serializedData"] for each in of(made, "dashboard:DashboardDefinition").values())
    ((rule, *_),) = [[each["scopes"] for each in of(made, "monitor:ScheduledQueryRule").values()]]
    text = json.dumps(dashboard())

    assert WORKSPACE in text
    assert json.loads(text.replace(WORKSPACE, rule[0])) == json.loads(shown)


def test_the_gateways_routes_are_the_documents(made: Made, real_routes: Sequence[str]) -> None:
    """The document that it imports is the service's, and every path in it leads somewhere."""
    (api,) = of(made, "apimanagement:Api").values()
    imported = json.loads(api["value"])
    shapes = {re.sub(r"\{\w+\}", "{}", each) for each in real_routes}
    own = {operation["operationId"].lower() for each in imported["paths"].values() for operation in each.values()}

    # With a slash at its end a path leads where it leads without; who imports the document must name both.
    spelt = {path.removesuffix("/") for path in imported["paths"]}
    assert {re.sub(r"\{\w+\}", "{}", path) for path in spelt} <= shapes
    paths = {path: each for path, each in imported["paths"].items() if not path.endswith("/")}
    assert document() == {key: each for key, each in {**imported, "paths": paths}.items() if key != "servers"}
    assert {each["operationId"] for each in of(made, "apimanagement:ApiOperationPolicy").values()} <= own


def policies(made: Made) -> str:
    """The text of all policies."""
    kinds = ("ApiPolicy", "ApiOperationPolicy", "PolicyFragment")
    return "\n".join(each["value"] for kind in kinds for each in of(made, f"apimanagement:{kind}").values())


def test_the_gateway_speaks_of_problems_as_the_service_does(made: Made) -> None:
    """Code, status and title of what it refuses."""
    text = policies(made)
    literal = re.findall(r'problems/([a-z-]+)","title":"([^"]+)","status":(\d+),"code":"([a-z-]+)"', text)
    told = re.findall(r'name="code" value="([a-z-]+)" />\s*<set-variable name="title" value="([^"]+)"', text)

    assert {"too-large", "invalid-request"} == {code for code, *_ in literal}
    assert len(told) >= 4
    for kind, title, status, code in literal:
        assert (kind, title, int(status)) == (code, KINDS[code].title, KINDS[code].status)
    assert [] == [code for code, title in told if KINDS[code].title != title]


def test_the_gateway_and_the_service_agree_on_bounds_and_headers(made: Made) -> None:
    """How large a request may be, how long a poll may wait, and by what header each knows the other."""
    text = policies(made)
    settings = load(environment(made))

    assert f"> {REQUEST_BYTES_MAX})" in text.replace("&gt;", ">")
    assert f'max-size="{BODY_BYTES_MAX}"' in text
    assert WAIT_SECONDS_MAX < max(int(each) for each in re.findall(r'timeout="(\d+)"', text))
    assert f'name="{settings.client_address_header}"' in text
    assert f'name="{HEADER.decode()}"' in text.lower()
    assert settings.gateway_secret


def test_the_rooms_never_import_each_other() -> None:
    """They share names, and nothing else; tests may know all of them."""
    rooms = {"service": {"components", "stack", "loadtests"}, "infra": {"eventfeed", "loadtests"}}
    rooms["loadtests"] = {"eventfeed", "components", "stack"}
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for room, foreign in rooms.items()
        for file in (ROOT / room).rglob("*.py")
        for name in imported(ast.parse(file.read_text())) & (foreign | {"tests"})
    ]

    assert [] == found


def imported(tree: ast.AST) -> set[str]:
    """The packages that a module imports."""
    names = [each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


# What may stand where a path of the load tests is filled in: one name, or an app with its organisation.
FILLED = ("maskinporten", "ttd/bolig")


def test_load_tests_ask_real_routes(real_routes: Sequence[str]) -> None:
    """Every path in them is one that the service has."""
    there = re.compile("|".join(re.sub(r"\{\w+\}", "[^/]+", each) for each in real_routes))
    asked = {path for file in (ROOT / "loadtests").rglob("*.py") for path in paths(ast.parse(file.read_text()))}
    unknown = [path for path in asked if not any(there.fullmatch(path.replace("…", each)) for each in FILLED)]

    assert len(asked) >= 8
    # The beginning of a path that is put together elsewhere.
    assert ["/authentication/api/v1/exchange"] == unknown


def paths(tree: ast.AST) -> Iterator[str]:
    """The paths in a module's texts, with an ellipsis where something is filled in."""
    texts: list[Sequence[ast.expr]] = [node.values for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    pieces = {id(piece) for parts in texts for piece in parts}
    texts.extend([node] for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in pieces)
    for parts in texts:
        text = "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in parts)
        if re.match(r"/(events|authentication|development|health)/", text):
            yield text.partition("?")[0]
