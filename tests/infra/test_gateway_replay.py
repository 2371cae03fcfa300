"""Requests of real clients, replayed against the gateway's policies."""

import pytest

from tests.infra.gateway_replay import Issuer, Replay
from tests.infra.mock_run import MockRun
from tests.infra.session_runs import SessionRuns
from tests.infra.test_gateway import SECTIONS, operations, statements

PLATFORM = Issuer("https://platform.example.no/authentication/api/v1/openid/")
STRANGER = Issuer("https://stranger.example.no/")
PUBLISH, OPEN, INSTANCE = (
    "POST /events/api/v1/app",
    "GET /health/ready",
    "POST /events/api/v1/instanceeventsforinstance/{guid}",
)
APP_TOKEN = "a.token.of.the.app"
SECRET = "the gateway's own secret"


@pytest.fixture(scope="module")
def run(session_runs: SessionRuns) -> MockRun:
    """A stack that accepts tokens of the platform."""
    return session_runs.get("dev", {"platformIssuer": PLATFORM.url})


@pytest.fixture(scope="module")
def service(run: MockRun) -> Issuer:
    """The issuer of the exchange, at the gateway's address."""
    return Issuer(f"{run.outputs['url']}/authentication/api/v1/openid/")


def replay(run: MockRun, operation_name: str, service: Issuer) -> Replay:
    """Return the gateway with the policy of an operation."""
    policy = next(each.policy for each in operations(run) if each.name == operation_name)
    sections = {name: statements(run, policy, name) for name in SECTIONS}
    return Replay(sections, [service, PLATFORM], {"gateway-secret": SECRET})


def test_app_of_the_platform_publishes_with_its_two_tokens(run: MockRun, service: Issuer) -> None:
    """The user's token of the platform passes, and both tokens reach the service unchanged."""
    token = PLATFORM.token({"urn:altinn:userid": "20000001"})
    exchange = replay(run, PUBLISH, service).send(
        {"Authorization": f"Bearer {token}", "PlatformAccessToken": APP_TOKEN}
    )

    assert exchange.status is None
    assert (f"Bearer {token}", APP_TOKEN) == (
        exchange.headers["authorization"],
        exchange.headers["platformaccesstoken"],
    )
    assert ("service", "20000001") == (exchange.backend, exchange.counter_key)


def test_token_of_the_exchange_passes_beside_that_of_the_platform(run: MockRun, service: Issuer) -> None:
    """Requests are counted by organisation."""
    token = service.token({"urn:altinn:orgNumber": "991825827", "urn:altinn:userid": "1"})
    exchange = replay(run, PUBLISH, service).send({"Authorization": f"Bearer {token}"})

    assert (None, "991825827") == (exchange.status, exchange.counter_key)


@pytest.mark.parametrize("case", ["stranger", "claimed issuer", "expired", "no scheme", "nothing"])
def test_other_tokens_are_refused_with_a_problem(run: MockRun, service: Issuer, case: str) -> None:
    """A token needs a signature of an accepted issuer, that issuer's name, and time left."""
    authorization = {
        "stranger": f"Bearer {STRANGER.token()}",
        "claimed issuer": f"Bearer {STRANGER.token({'iss': PLATFORM.url})}",
        "expired": f"Bearer {PLATFORM.token(seconds=-1)}",
        "no scheme": PLATFORM.token(),
        "nothing": "",
    }[case]
    exchange = replay(run, PUBLISH, service).send({"Authorization": authorization})

    assert (401, "") == (exchange.status, exchange.backend)
    assert {"www-authenticate": 'Bearer error="invalid_token"', "content-type": "application/problem+json"} == (
        exchange.response_headers
    )
    assert "unauthenticated" == exchange.variables["code"]


def test_platform_token_is_refused_without_the_setting(dev: MockRun, service: Issuer) -> None:
    """Then only tokens of the exchange pass."""
    gateway = replay(dev, PUBLISH, service)

    assert 401 == gateway.send({"Authorization": f"Bearer {PLATFORM.token()}"}).status
    assert gateway.send({"Authorization": f"Bearer {service.token()}"}).status is None


@pytest.mark.parametrize("operation", [PUBLISH, OPEN, INSTANCE])
def test_headers_of_trust_cannot_be_forged(run: MockRun, service: Issuer, operation: str) -> None:
    """Secret and address are those of the gateway, whatever the caller sends."""
    headers = {"X-Gateway-Secret": "guess", "X-Client-Address": "10.0.0.1", "X-Forwarded-For": "10.0.0.1"}
    exchange = replay(run, operation, service).send({**headers, "Authorization": f"Bearer {service.token()}"})

    assert (SECRET, "192.0.2.7") == (exchange.headers["x-gateway-secret"], exchange.headers["x-client-address"])
    assert "x-forwarded-for" not in exchange.headers


def test_instance_feed_receives_no_token(run: MockRun, service: Issuer) -> None:
    """The instance id alone grants access. A query that names a person is refused."""
    gateway = replay(run, INSTANCE, service)
    exchange = gateway.send({"Authorization": "Bearer x"}, query={"after": "0"})

    assert "authorization" not in exchange.headers
    assert (None, "192.0.2.7") == (exchange.status, exchange.counter_key)
    assert 400 == gateway.send({}, query={"person": "01838012345"}).status


def test_tokens_are_in_no_telemetry_of_the_gateway(run: MockRun) -> None:
    """Neither traces nor logs contain headers or bodies, and no policy writes a token anywhere else."""
    for diagnostic in run.of("apimanagement:ApiDiagnostic"):
        messages = [
            diagnostic.plain[side][part] for side in ("frontend", "backend") for part in ("request", "response")
        ]

        assert [([], 0)] * 4 == [(each["headers"], each["body"]["bytes"]) for each in messages]
    texts = [str(each.plain["value"]) for each in run.azure if "olicy" in each.token]

    assert {"applicationinsights", "azuremonitor"} == {
        each.plain["diagnosticId"] for each in run.of("apimanagement:ApiDiagnostic")
    }
    assert not any(
        word in text.lower() for text in texts for word in ("platformaccesstoken", "log-to-eventhub", "<trace")
    )
