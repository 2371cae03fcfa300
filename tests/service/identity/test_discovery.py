"""Discovery: finding an issuer's keys, and believing nothing that is not its own, bounded and safe."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from eventfeed.domain.errors import Unavailable
from eventfeed.identity import discovery as module
from eventfeed.identity.discovery import DOCUMENT_BYTES_MAX, KEYS_MAX, published_keys
from tests.service.identity.providing import ISSUER, Double, jwk_of, rsa_key

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


def metadata(issuer: str, jwks_uri: str = f"{ISSUER}jwk") -> httpx.Response:
    """A discovery document."""
    return httpx.Response(200, json={"issuer": issuer, "jwks_uri": jwks_uri})


def key_set(*keys: object) -> httpx.Response:
    """A key set."""
    return httpx.Response(200, json={"keys": keys})


@pytest.mark.parametrize(
    ("issuer", "place"),
    [
        ("https://maskinporten.example.no/", OAUTH),
        ("https://maskinporten.example.no", OAUTH),
        ("https://maskinporten.example.no/realm/one", f"{OAUTH}/realm/one"),
        ("https://maskinporten.example.no/realm/one", f"/realm/one{OPENID}"),
        ("https://maskinporten.example.no/", OPENID),
    ],
)
async def test_the_document_is_where_a_standard_puts_it(issuer: str, place: str) -> None:
    """OpenID Connect after the issuer's path, RFC 8414 before it, as Maskinporten does."""
    double = Double(issuer)
    double.documents = {OAUTH: httpx.Response(404), place: metadata(issuer)}

    assert ["key-1"] == list(await published_keys(issuer, double.client))


@pytest.mark.parametrize("named", ["https://maskinporten.example.no", "https://evil.example.com/", ISSUER.upper()])
async def test_a_document_of_another_issuer_is_not_believed(double: Double, named: str) -> None:
    """The name must be the same to the letter; then the keys are not even asked for."""
    double.documents = {OPENID: metadata(named)}

    with pytest.raises(Unavailable, match="another issuer"):
        await published_keys(ISSUER, double.client)
    assert 0 == double.looks


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
async def test_keys_do_not_travel_in_the_clear(double: Double, url: str) -> None:
    """An address that is neither https nor this machine is not asked, however it is dressed."""
    double.documents = {OPENID: metadata(ISSUER, url)}

    with pytest.raises(Unavailable, match="must be https"):
        await published_keys(ISSUER, double.client)
    assert [f"{ISSUER.rstrip('/')}{OPENID}"] == double.asked


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
async def test_this_machine_may_be_asked_in_the_clear(host: str) -> None:
    """As the development issuer is."""
    issuer = f"http://{host}/development/maskinporten"
    double = Double(issuer)
    double.documents = {f"/development/maskinporten{OPENID}": metadata(issuer, f"{issuer}/jwk")}
    double.documents |= {"/development/maskinporten/jwk": key_set(jwk_of(rsa_key("one"), kid="key-1"))}

    assert ["key-1"] == list(await published_keys(issuer, double.client))


@pytest.mark.parametrize(
    "answer",
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
async def test_an_answer_that_is_none_is_silence(double: Double, path: str, answer: httpx.Response) -> None:
    """503 and not 401: the token may be good, nobody can say."""
    double.documents = {OAUTH: httpx.Response(404), OPENID: metadata(ISSUER), path: answer}

    with pytest.raises(Unavailable):
        await published_keys(ISSUER, double.client)


async def test_one_odd_key_does_not_spoil_the_others(double: Double) -> None:
    """Keys of a kind we do not read are passed over."""
    odd = jwk_of(rsa_key("one"), kid="odd", alg=["RS256"])
    double.documents = {"/jwk": key_set(odd, {"kty": "new"}, jwk_of(rsa_key("one"), kid="key-1"))}

    assert ["key-1"] == list(await published_keys(ISSUER, double.client))


async def test_keys_are_bounded(double: Double) -> None:
    """A provider with more keys than any has is not read to its end."""
    many = [jwk_of(rsa_key("one"), kid=f"key-{number}") for number in range(KEYS_MAX + 10)]
    double.documents = {"/jwk": key_set(*many)}

    assert KEYS_MAX == len(await published_keys(ISSUER, double.client))


@asynccontextmanager
async def serving(answer: bytes, *, then: bytes = b"", hang: bool = False) -> AsyncIterator[str]:
    """The address of a server that answers every request so; `then` again and again, or never anything more."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while then or hang:
                writer.write(then)
                await writer.drain()
                await asyncio.sleep(0.001)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_an_answer_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read up to the bound, not to memory's."""
    monkeypatch.setattr(module, "FETCH_SECONDS_MAX", 30.0)
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    async with (
        serving(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", then=piece) as url,
        _client() as client,
    ):
        with pytest.raises(Unavailable, match="too large"):
            await published_keys(url, client)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"])
async def test_an_answer_that_does_not_come_is_not_waited_for(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its beginning nor its end."""
    monkeypatch.setattr(module, "FETCH_SECONDS_MAX", 0.1)
    async with serving(begun, hang=True) as url, _client() as client:
        with pytest.raises(Unavailable, match="does not answer"):
            await published_keys(url, client)


async def test_a_compressed_answer_is_refused() -> None:
    """A kilobyte that unpacks to a gigabyte is not unpacked."""
    bomb = gzip.compress(b" " * 1_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    async with serving(head + bomb) as url, _client() as client:
        with pytest.raises(Unavailable, match="compresses"):
            await published_keys(url, client)


async def test_another_address_is_not_followed() -> None:
    """A redirect is no answer, even from a client that would follow it."""
    body = msgspec.json.encode({"issuer": "x", "jwks_uri": "x"})
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as target:
        head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        async with serving(head) as url, httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
            with pytest.raises(Unavailable, match="does not answer"):
                await published_keys(url, client)


async def test_nobody_at_the_address_is_silence() -> None:
    """A refused connection."""
    async with serving(b"") as url:
        pass
    async with _client() as client:
        with pytest.raises(Unavailable, match="does not answer"):
            await published_keys(url, client)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False)
