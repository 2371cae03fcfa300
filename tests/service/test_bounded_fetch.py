"""One bounded fetch: the bytes, the coding and the time of a response are limited."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from eventfeed import bounded_fetch
from eventfeed.bounded_fetch import DOCUMENT_BYTES_MAX, Document, fetch
from eventfeed.domain.errors import Unavailable
from tests.support.raw_server import running_server

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@asynccontextmanager
async def a_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client that would follow redirects and decode responses."""
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True, timeout=120) as client:
        yield client


async def get(url: str, **limits: int) -> Document:
    """Fetch the document at this URL."""
    async with a_client() as client:
        return await fetch(client, client.build_request("GET", url), service="The test", **limits)


async def test_document_within_its_limits_is_returned_with_its_status() -> None:
    """The status is the caller's to judge."""
    async with running_server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}") as url:
        document = await get(url)

    assert (Document(404, b"{}"), False) == (document, document.is_success)


async def test_request_accepts_no_coding() -> None:
    """The client's own default is gzip."""
    requests = list[httpx.Request]()

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, content=b"{}")

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
        await fetch(client, client.build_request("POST", "https://x.example.no"), service="The test")

    assert ["identity"] == [request.headers["accept-encoding"] for request in requests]


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"identity, gzip", b"br", b"deflate", b"nonsense"])
async def test_compressed_response_is_rejected_before_it_is_decoded(coding: bytes) -> None:
    """398 KiB of gzip may unpack to 400 MiB."""
    body = gzip.compress(b" " * 4_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    async with running_server(head + body) as url:
        with pytest.raises(Unavailable, match="The test compresses") as failure:
            await get(url)

    assert failure.value.retry_seconds >= 1


@pytest.mark.parametrize("length", [b"", b"Content-Length: 99999999\r\n"])
async def test_response_is_read_up_to_the_limit(length: bytes) -> None:
    """The length in the header is not believed: bytes are counted."""
    body = b" " * (DOCUMENT_BYTES_MAX + 1)
    async with running_server(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + body) as url:
        with pytest.raises(Unavailable, match="too large"):
            await get(url)


async def test_limit_of_a_call_replaces_the_general_one() -> None:
    """Two bytes are more than one."""
    async with running_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as url:
        with pytest.raises(Unavailable, match="too large"):
            await get(url, bytes_max=1)


@pytest.mark.parametrize(
    ("response", "piece"),
    [
        (HEAD + b"\r\n", b"1\r\n \r\n"),
        (HEAD, b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    ],
    ids=["chunks", "headers", "interim responses", "body"],
)
async def test_response_that_drips_ends_with_the_time(
    response: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte is in time, all of them together are not."""
    monkeypatch.setattr(bounded_fetch, "FETCH_SECONDS_MAX", 0.2)
    async with running_server(response, then=piece) as url, asyncio.timeout(120):
        with pytest.raises(Unavailable, match="does not respond"):
            await get(url)


async def test_redirect_is_returned_and_not_followed() -> None:
    """The target would get the request's token."""
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with running_server(head) as url:
        assert 302 == (await get(url)).status
