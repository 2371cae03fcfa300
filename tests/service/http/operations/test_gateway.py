"""The gateway check: only requests with the gateway's secret, and probes, reach the application."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from eventfeed.app.application import create_guarded
from eventfeed.app.store import Store
from eventfeed.http.operations.gateway import GatewayCheck
from eventfeed.settings import Settings, SettingsError, load
from eventfeed.telemetry.telemetry import Telemetry

Client = AsyncTestClient[Litestar | GatewayCheck]

OLD, NEW = "an-old-secret-of-the-gateway", "a-new-secret-of-the-gateway"
HEADER = "X-Gateway-Secret"
PATHS = [
    ("GET", "/events/api/v1/head"),
    ("POST", "/events/api/v1/app"),
    ("GET", "/authentication/api/v1/openid/.well-known/openid-configuration"),
    ("GET", "/schema/openapi.json"),
    ("GET", "/problems/unavailable"),
    ("GET", "/health/ready/"),
    ("GET", "/health"),
    ("GET", "/nowhere"),
]


def behind_gateway(folder: Path, *, secret: str) -> Settings:
    """The settings of a service with real issuers."""
    return load(
        {
            "EVENTFEED_STORE": f"sqlite:///{folder}/log.db",
            "EVENTFEED_PUBLIC_URL": "https://events.example.no",
            "EVENTFEED_MASKINPORTEN_ISSUER": "https://maskinporten.example.no/",
            "EVENTFEED_MASKINPORTEN_AUDIENCES": "https://events.example.no",
            "EVENTFEED_REGISTER": "service/eventfeed/access/population.json",
            "EVENTFEED_GATEWAY_SECRET": secret,
        }
    )


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service with two secrets, as during the replacement of a secret."""
    settings = behind_gateway(tmp_path, secret=f"{OLD} {NEW}")
    await Store(settings, Telemetry()).create()
    application = create_guarded(settings, Telemetry())
    async with AsyncTestClient(application, base_url="http://10.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("secret", [None, "", OLD[:-1], f"{OLD} {NEW}", f"{NEW}x", "ä"])
async def test_request_without_a_secret_of_the_gateway_is_refused(
    client: Client, method: str, path: str, secret: str | None
) -> None:
    """Every path gives 403 with a code of its own, and a link to an explanation behind the gateway."""
    headers = {} if secret is None else {HEADER.encode(): secret.encode()}
    response = await client.request(method, path, headers=headers)
    problem = response.json()

    assert (403, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert "not-through-the-gateway" == problem["code"]
    assert "https://events.example.no/problems/not-through-the-gateway" == problem["type"]
    assert 32 == len(problem["traceId"])
    assert "www-authenticate" not in response.headers
    assert OLD not in response.text


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_request_with_a_secret_of_the_gateway_reaches_the_application(client: Client, secret: str) -> None:
    """Each secret gives access to every path. Tokens are required as without a gateway."""
    explanation = await client.get("/problems/not-through-the-gateway", headers={HEADER: secret})
    without_token = await client.get("/events/api/v1/head", headers={HEADER: secret})
    not_found = await client.get("/nowhere", headers={HEADER: secret})

    assert [200, 401, 404] == [each.status_code for each in (explanation, without_token, not_found)]
    assert "not-through-the-gateway" in explanation.text


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_probe_without_a_secret_reaches_the_application(client: Client, path: str) -> None:
    """The platform sends probes directly to the service."""
    response = await client.get(path)

    assert 200 == response.status_code


def test_service_without_a_secret_has_no_gateway_check(tmp_path: Path) -> None:
    """Requests reach the application itself."""
    assert isinstance(create_guarded(behind_gateway(tmp_path, secret=""), Telemetry()), Litestar)


@pytest.mark.parametrize("secret", ["short", f"{OLD} short", f" {OLD}", f"{OLD}  {NEW}", f"{OLD}ø"])
def test_secret_with_an_invalid_form_is_refused(tmp_path: Path, secret: str) -> None:
    """A secret is long enough and fits into a header. The message does not repeat it."""
    with pytest.raises(SettingsError) as refusal:
        behind_gateway(tmp_path, secret=secret)

    assert "EVENTFEED_GATEWAY_SECRET" in str(refusal.value)
    assert secret not in str(refusal.value)


def test_secret_with_development_identities_is_refused() -> None:
    """The service reads the keys of its own issuers without the gateway."""
    with pytest.raises(SettingsError, match="EVENTFEED_GATEWAY_SECRET: is for a service with real issuers"):
        load({"EVENTFEED_GATEWAY_SECRET": OLD})
