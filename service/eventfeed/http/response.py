"""Answers whose bytes are there already: they go out as they are, compressed where the caller asks for it."""

import asyncio
import functools
import gzip
from collections.abc import Sequence
from typing import Any

from litestar import Response
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Send

# Below this the header that says so takes what is saved.
COMPRESSED_BYTES_MIN = 1_000
# To compress more takes longer than the event loop should be held up.
COMPRESSED_HERE_BYTES_MAX = 64 * 1024
# The fastest: events are repetitive text, and higher levels save a tenth for three times the work.
_LEVEL = 1

Header = tuple[bytes, bytes]


class Answer(Response[bytes]):
    """Status, headers (names in lower case) and body. The framework's own would encode each header and look each up."""

    def __init__(self, status: int, headers: Sequence[Header], *, body: bytes = b"") -> None:
        # None of what the framework's own answer keeps is asked for: it is only ever sent.
        self.status, self.encoded, self.content = status, headers, body

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # it may be any application
        """What the server calls."""
        return self._sent

    async def _sent(self, *connection: Any) -> None:  # scope, receive and send of ASGI
        send: Send = connection[-1]
        await send(HTTPResponseStartEvent(type="http.response.start", status=self.status, headers=self.encoded))
        await send(HTTPResponseBodyEvent(type="http.response.body", body=self.content, more_body=False))


@functools.lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether a caller that sends this `Accept-Encoding` wants gzip (RFC 9110 §12.5.3)."""
    for coding in accept_encoding.split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() in ("gzip", "x-gzip"):
            _, _, quality = weight.partition("=")
            return quality.strip().strip("0.") != "" or not quality
    return False


async def compressed(body: bytes) -> bytes:
    """The body in gzip (RFC 1952)."""
    if len(body) <= COMPRESSED_HERE_BYTES_MAX:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
