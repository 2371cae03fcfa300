"""One bounded fetch for everything that is requested of other services: bounded in bytes, coding and time."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import httpx

from eventfeed.domain.errors import Unavailable
from eventfeed.network import EnvironmentVariableError, certificates, proxy_of

# For one document, from the first byte to the last: the caller waits, and needs at most three.
FETCH_SECONDS_MAX = 5.0
# The largest real documents, decisions on 200 questions and the list of short names, have a few hundred kilobytes.
DOCUMENT_BYTES_MAX = 1024 * 1024
# An outage of another service lasts some seconds at least.
RETRY_SECONDS = 5


class Document(NamedTuple):
    """The status and the body of a response."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """True if the status is 2xx."""
        return httpx.codes.is_success(self.status)


class EnvironmentTransport(httpx.AsyncBaseTransport):
    """Sends each request directly, or through the environment's proxy for its URL.

    Raises `EnvironmentVariableError` if its certificates or its proxy for one of `urls` cannot be used.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self._certificates = certificates()
        self._transports = dict[str | None, httpx.AsyncHTTPTransport]()
        for url in urls:
            self._transport(url)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport.handle_async_request`."""
        try:
            transport = self._transport(str(request.url))
        except EnvironmentVariableError as fault:
            raise httpx.ProxyError(str(fault), request=request) from None
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _transport(self, url: str) -> httpx.AsyncHTTPTransport:
        proxy = proxy_of(url)
        if proxy not in self._transports:
            self._transports[proxy] = httpx.AsyncHTTPTransport(verify=self._certificates, proxy=proxy)
        return self._transports[proxy]


async def fetch(
    client: httpx.AsyncClient, request: httpx.Request, *, service: str, bytes_max: int = DOCUMENT_BYTES_MAX
) -> Document:
    """Return the response to a request, without following redirects. Raises `Unavailable`, which names `service`.

    No coding is accepted: a body of 400 KB in gzip may unpack to 400 MB.
    """
    request.headers["Accept-Encoding"] = "identity"
    try:
        async with asyncio.timeout(FETCH_SECONDS_MAX):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                return Document(response.status_code, await _read(response, service=service, bytes_max=bytes_max))
            finally:
                await response.aclose()
    except (httpx.HTTPError, TimeoutError):
        raise _unavailable(f"{service} does not respond.") from None


async def _read(response: httpx.Response, *, service: str, bytes_max: int) -> bytes:
    if response.headers.get("Content-Encoding", "") not in ("", "identity"):
        raise _unavailable(f"{service} compresses its response, which hides its size.")
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > bytes_max:
            raise _unavailable(f"{service} sends a response that is too large.")
    return bytes(body)


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(detail, retry_seconds=RETRY_SECONDS)
