"""Bodies in parts: each is in memory until the client has taken it, within a time limit."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from litestar import Response
from litestar.types import ASGIApp, Send

from eventfeed.http.response import BytesResponse, compress

# Larger bodies are sent in parts. The buffers of the operating system take smaller ones at once.
WHOLE_BYTES_MAX = 64 * 1024
# The server holds up to 8 parts beside the one that is being sent.
PART_BYTES = 16 * 1024
# A client that does not take a part for so long is cut off.
SEND_SECONDS_MAX = 20.0
CLOSE_SECONDS_MAX = 1.0

# Holds this many bytes during a block. Raises `Unavailable` if there is no memory for them.
Memory = Callable[[int], AbstractContextManager[None]]


def parts_of(body: bytes) -> Iterator[bytes]:
    """Yield a body in parts."""
    for start in range(0, len(body), PART_BYTES):
        yield body[start : start + PART_BYTES]


async def send_parts(send: Send, parts: AsyncGenerator[bytes, None]) -> None:
    """Send parts as they come, then the end of the body. Give up when the client does not take one."""
    try:
        async with contextlib.aclosing(parts):
            async for part in parts:
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    await _send(send, part, more=True)
        await _send(send, b"", more=False)
    except TimeoutError:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await _send(send, b"", more=False)


async def _send(send: Send, part: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": more})


class LargePageResponse(Response[bytes]):
    """A page that is sent in parts, compressed if `compresses`. `memory` holds its bytes until the client has them."""

    def __init__(self, response: BytesResponse, memory: Memory, *, compresses: bool) -> None:
        super().__init__(b"")
        self._memory, self._compresses = memory, compresses
        self._status, self._headers, self._body = response.status, [*response.headers], response.body

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # it may be any application
        """Return the ASGI application that sends the response."""
        return self._respond

    async def _respond(self, *connection: Any) -> None:  # scope, receive and send of ASGI
        send, body, self._body = connection[2], self._body, b""
        if self._compresses:
            with self._memory(len(body)):
                body = await compress(body)
        with self._memory(len(body)):
            headers = [*self._headers, (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": self._status, "headers": headers})
            await send_parts(send, _each(body))


async def _each(body: bytes) -> AsyncGenerator[bytes, None]:
    for part in parts_of(body):
        yield part
