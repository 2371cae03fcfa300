"""Where there is a gateway, only whoever comes through it is answered; probes alone go past it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from eventfeed.app.application import entrance
from eventfeed.http.operations.gateway import OnlyThroughGateway
from eventfeed.settings import Settings, SettingsError, load

Client = AsyncTestClient[Litestar | OnlyThroughGateway]

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
    """A service that takes two secrets, as it does while one takes the other's place."""
    served = entrance(behind_gateway(tmp_path, secret=f"{OLD} {NEW}"))
    async with AsyncTestClient(served, base_url="http://10.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("given", [None, "", OLD[:-1], f"{OLD} {NEW}", f"{NEW}x", "ä"])
async def test_who_comes_past_the_gateway_is_refused(client: Client, method: str, path: str, given: str | None) -> None:
    """Whatever is asked for: 403 with a code of its own, and a way to its explanation that goes through the gateway."""
    headers = {} if given is None else {HEADER.encode(): given.encode()}
    refused = await client.request(method, path, headers=headers)
    problem = refused.json()

    assert (403, "application/problem+json") == (refused.status_code, refused.headers["content-type"])
    assert "not-through-the-gateway" == problem["code"]
    assert "https://events.example.no/problems/not-through-the-gateway" == problem["type"]
    assert 32 == len(problem["traceId"])
    assert "www-authenticate" not in refused.headers
    assert OLD not in refused.text


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_who_comes_through_it_is_answered(client: Client, secret: str) -> None:
    """Each of the secrets opens everything, and what is asked beyond is asked as ever."""
    explained = await client.get("/problems/not-through-the-gateway", headers={HEADER: secret})
    unknown = await client.get("/events/api/v1/head", headers={HEADER: secret})
    nowhere = await client.get("/nowhere", headers={HEADER: secret})

    assert [200, 401, 404] == [answer.status_code for answer in (explained, unknown, nowhere)]
    assert "not-through-the-gateway" in explained.text


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_probes_need_no_secret(client: Client, path: str) -> None:
    """Whoever runs the service asks it directly."""
    answer = await client.get(path)

    assert 200 == answer.status_code


def test_without_a_secret_nothing_stands_before_the_service(tmp_path: Path) -> None:
    """The application itself is served."""
    assert isinstance(entrance(behind_gateway(tmp_path, secret="")), Litestar)


@pytest.mark.parametrize("secret", ["short", f"{OLD} short", f" {OLD}", f"{OLD}  {NEW}", f"{OLD}ø"])
def test_a_secret_that_cannot_be_one_is_refused(tmp_path: Path, secret: str) -> None:
    """Too short, or nothing that a header carries; it is not told which."""
    with pytest.raises(SettingsError) as refused:
        behind_gateway(tmp_path, secret=secret)

    assert "EVENTFEED_GATEWAY_SECRET" in str(refused.value)
    assert secret not in str(refused.value)


def test_a_gateway_before_development_identities_is_refused() -> None:
    """The service asks its own issuers for their keys, past the gateway."""
    with pytest.raises(SettingsError, match="EVENTFEED_GATEWAY_SECRET: is for a service with real issuers"):
        load({"EVENTFEED_GATEWAY_SECRET": OLD})
