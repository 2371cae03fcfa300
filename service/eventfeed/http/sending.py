"""Bodies in parts: each is in memory until the client has taken it, within a time limit."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

from litestar import Response
from litestar.types import ASGIApp, Send

from eventfeed.http.connections import Reset
from eventfeed.http.response import Header, compress
from eventfeed.timer import Timer

# Larger bodies are sent in parts. The buffers of the operating system take smaller ones at once.
WHOLE_BYTES_MAX = 64 * 1024
# The server holds up to 8 parts beside the one that is being sent.
PART_BYTES = 16 * 1024
# The connection of a client that does not take a part for so long is reset.
SEND_SECONDS_MAX = 20.0

# Holds this many bytes during a block. Raises `Unavailable` if there is no memory for them.
Memory = Callable[[int], AbstractContextManager[None]]


def shared_memory(_: int) -> AbstractContextManager[None]:
    """Hold a body that all responses share: it is in memory anyway."""
    return contextlib.nullcontext()


def parts_of(body: bytes) -> Iterator[bytes]:
    """Yield a body in parts."""
    for start in range(0, len(body), PART_BYTES):
        yield body[start : start + PART_BYTES]


class PartSender:
    """Sends parts of the body of a response. If the client does not take one in time, its connection is reset.

    A part that is being sent then counts as taken, and so does each one after it. `timer` is the sender's own during
    a send.
    """

    def __init__(self, scope: Any, send: Send, *, reset: Reset, timer: Timer) -> None:
        self._scope, self._send, self._reset, self._timer = scope, send, reset, timer
        self._resetting: asyncio.Future[None] | None = None

    @property
    def is_reset(self) -> bool:
        """True once the client did not take a part in time."""
        return self._resetting is not None

    async def send(self, part: bytes, *, more: bool = True) -> None:
        """Send a part: return when the server has a place for the next one, or the connection is gone."""
        self._start_timer()
        try:
            await self._send({"type": "http.response.body", "body": part, "more_body": more})
        finally:
            self._timer.stop()
            if self._resetting is not None:
                self._resetting.cancel()

    async def end(self) -> None:
        """Send the end of the body."""
        await self.send(b"", more=False)

    def _start_timer(self) -> None:
        self._timer.start(asyncio.get_running_loop().time() + SEND_SECONDS_MAX, self._cut)

    def _cut(self) -> None:
        """Reset the connection, and again after the same time if that has no effect."""
        if self._resetting is None or self._resetting.done():
            self._resetting = asyncio.ensure_future(self._reset(self._scope))
        self._start_timer()


class LargeResponse(Response[bytes]):
    """A body that is sent in parts, compressed if `compresses`. `memory` holds its bytes until the client has them.

    The connection of a client that does not take them is `reset`; the bytes count until it is gone.
    """

    def __init__(
        self, headers: Sequence[Header], parts: Sequence[bytes], *, memory: Memory, reset: Reset, compresses: bool
    ) -> None:
        super().__init__(b"")
        self._memory, self._reset, self._compresses = memory, reset, compresses
        self._headers, self._parts = headers, parts

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # it may be any application
        """Return the ASGI application that sends the response."""
        return self._respond

    async def _respond(self, *connection: Any) -> None:  # scope, receive and send of ASGI
        scope, _, send = connection
        parts, self._parts = self._parts, ()
        length = sum(map(len, parts))
        if self._compresses:
            with self._memory(length):
                body, parts = b"".join(parts), ()
                body = await compress(body)
            parts, length = (body,), len(body)
        with self._memory(length), contextlib.closing(Timer()) as timer:
            headers = [*self._headers, (b"content-length", b"%d" % length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sender = PartSender(scope, send, reset=self._reset, timer=timer)
            for part in chain.from_iterable(map(parts_of, parts)):
                await sender.send(part)
            await sender.end()
