"""Discovery: an issuer's keys, within limits of size and time, and only from a document of this issuer."""

import gzip

import httpx
import msgspec
import pytest

from eventfeed import bounded_fetch
from eventfeed.domain.errors import Unavailable
from eventfeed.identity.discovery import DOCUMENT_BYTES_MAX, KEYS_MAX, fetch_keys
from eventfeed.identity.signatures import Keys
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import ISSUER, ProviderDouble, jwk_of, rsa_key
from tests.support.raw_server import running_server

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


async def fetch(issuer: str, client: httpx.AsyncClient) -> Keys:
    """Fetch the keys of an issuer."""
    return await fetch_keys(issuer, client, telemetry=Telemetry())


def metadata(issuer: str, jwks_uri: str = f"{ISSUER}jwk") -> httpx.Response:
    """Return a discovery document."""
    return httpx.Response(200, json={"issuer": issuer, "jwks_uri": jwks_uri})


def key_set(*keys: object) -> httpx.Response:
    """Return a key set."""
    return httpx.Response(200, json={"keys": keys})


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://maskinporten.example.no/", OAUTH),
        ("https://maskinporten.example.no", OAUTH),
        ("https://maskinporten.example.no/realm/one", f"{OAUTH}/realm/one"),
        ("https://maskinporten.example.no/realm/one", f"/realm/one{OPENID}"),
        ("https://maskinporten.example.no/", OPENID),
    ],
)
async def test_discovery_document_is_found_at_either_standard_path(issuer: str, path: str) -> None:
    """OpenID Connect puts it after the issuer's path, RFC 8414 before it, as Maskinporten does."""
    double = ProviderDouble(issuer)
    double.documents = {OAUTH: httpx.Response(404), path: metadata(issuer)}

    assert ["key-1"] == list(await fetch(issuer, double.client))


@pytest.mark.parametrize("other", ["https://maskinporten.example.no", "https://evil.example.com/", ISSUER.upper()])
async def test_document_of_another_issuer_is_rejected(double: ProviderDouble, other: str) -> None:
    """The name must be exactly equal. Otherwise the keys are not requested."""
    double.documents = {OPENID: metadata(other)}

    with pytest.raises(Unavailable, match="another issuer"):
        await fetch(ISSUER, double.client)
    assert 0 == double.key_requests


@pytest.mark.parametrize(
    "url",
    [
        "http://maskinporten.example.no/jwk",
        "http://127.evil.example.com/jwk",
        "http://127.0.0.1.evil.example.com/jwk",
        "http://localhost:1@evil.example.com/jwk",
        "http://localhost.evil.example.com/jwk",
        "file:///etc/passwd",
        "/jwk",
        "http://[::1/jwk",
        "https://maskinporten.example.no:99999/jwk",
        "https://xn--/jwk",
        "https:///jwk",
        "https://\0/jwk",
        "",
    ],
)
async def test_key_url_that_is_not_https_is_not_requested(double: ProviderDouble, url: str) -> None:
    """A URL must be https, or http to a loopback address."""
    double.documents = {OPENID: metadata(ISSUER, url)}

    with pytest.raises(Unavailable, match="must be https"):
        await fetch(ISSUER, double.client)
    assert [f"{ISSUER.rstrip('/')}{OPENID}"] == double.requests


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
async def test_loopback_url_is_requested_without_https(host: str) -> None:
    """The development issuer has such a URL."""
    issuer = f"http://{host}/development/maskinporten"
    double = ProviderDouble(issuer)
    double.documents = {f"/development/maskinporten{OPENID}": metadata(issuer, f"{issuer}/jwk")}
    double.documents |= {"/development/maskinporten/jwk": key_set(jwk_of(rsa_key("one"), kid="key-1"))}

    assert ["key-1"] == list(await fetch(issuer, double.client))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, content=b"[]"),
        httpx.Response(200, content=b'{"x":' + b"[" * 50_000),
        httpx.Response(200, content=b'{"keys":[{"x":' + b"[" * 50_000),
        httpx.Response(200, content=b'{"keys":[]}'),
        httpx.Response(200, content=b'{"keys":[{}]}'),
        httpx.Response(200, json={"keys": [jwk_of(rsa_key("one"), kid=["key-1"])]}),
        httpx.Response(200, content=b" " * DOCUMENT_BYTES_MAX + b"{}"),
        httpx.Response(204),
        httpx.Response(404),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(302, headers={"Location": f"{ISSUER}elsewhere"}),
    ],
    ids=[
        *("empty", "a page", "no text", "a list", "deep", "deep key", "no key", "an empty key", "a key of two names"),
        *("too large", "no content", "missing", "too many requests", "broken", "elsewhere"),
    ],
)
@pytest.mark.parametrize("path", [OPENID, "/jwk"])
async def test_unreadable_response_is_unavailable(double: ProviderDouble, path: str, response: httpx.Response) -> None:
    """The result is 503 and not 401, because the token may be valid."""
    double.documents = {OAUTH: httpx.Response(404), OPENID: metadata(ISSUER), path: response}

    with pytest.raises(Unavailable):
        await fetch(ISSUER, double.client)


async def test_key_of_an_unknown_kind_is_skipped(double: ProviderDouble) -> None:
    """The other keys of the set are used."""
    unusual_key = jwk_of(rsa_key("one"), kid="unusual", alg=["RS256"])
    double.documents = {"/jwk": key_set(unusual_key, {"kty": "new"}, jwk_of(rsa_key("one"), kid="key-1"))}

    assert ["key-1"] == list(await fetch(ISSUER, double.client))


async def test_keys_above_the_maximum_are_ignored(double: ProviderDouble, caplog: pytest.LogCaptureFixture) -> None:
    """No real provider has so many. A line in the log names the provider and the number of keys left out."""
    many = [jwk_of(rsa_key("one"), kid=f"key-{number}") for number in range(KEYS_MAX + 10)]
    double.documents = {"/jwk": key_set(*many)}

    assert KEYS_MAX == len(await fetch(ISSUER, double.client))
    lines = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert [f"{ISSUER} publishes {KEYS_MAX + 10} keys; the 10 after the first {KEYS_MAX} are not used"] == lines


async def test_endless_response_is_rejected_at_the_maximum_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is read up to the limit and no further."""
    monkeypatch.setattr(bounded_fetch, "FETCH_SECONDS_MAX", 30.0)
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    async with (
        running_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", then=piece) as url,
        _client() as client,
    ):
        with pytest.raises(Unavailable, match="too large"):
            await fetch(url, client)


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"])
async def test_response_that_does_not_end_in_time_is_unavailable(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit applies to the first byte and to the last."""
    monkeypatch.setattr(bounded_fetch, "FETCH_SECONDS_MAX", 0.1)
    async with running_server(beginning, hang=True) as url, _client() as client:
        with pytest.raises(Unavailable, match="does not respond"):
            await fetch(url, client)


async def test_compressed_response_is_rejected() -> None:
    """A small response could expand to a gigabyte."""
    compressed_body = gzip.compress(b" " * 1_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(compressed_body)}\r\n\r\n".encode()
    async with running_server(head + compressed_body) as url, _client() as client:
        with pytest.raises(Unavailable, match="compresses"):
            await fetch(url, client)


async def test_redirect_of_a_document_is_not_followed() -> None:
    """This holds even for an HTTP client that follows redirects."""
    body = msgspec.json.encode({"issuer": "x", "jwks_uri": "x"})
    async with running_server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as target:
        head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        async with running_server(head) as url, httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
            with pytest.raises(Unavailable, match="does not respond"):
                await fetch(url, client)


async def test_refused_connection_is_unavailable() -> None:
    """There is no listener at the URL."""
    async with running_server(b"") as url:
        pass
    async with _client() as client:
        with pytest.raises(Unavailable, match="does not respond"):
            await fetch(url, client)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False)
