"""One bounded fetch for everything that is requested of other services: bounded in bytes, coding and time."""

import asyncio
from typing import NamedTuple

import httpx

from eventfeed.domain.errors import Unavailable

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
