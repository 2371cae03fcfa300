"""A feed as a live stream of server-sent events (WHATWG HTML §9.2, contract section 5).

Each event's `id` is the cursor after it, so that `Last-Event-ID` goes on right there. A heartbeat has the id of the
last position examined and no data. The last message of a stream that we end is of type `end`, a problem as its data.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from litestar import Response
from litestar.types import ASGIApp, Send
from msgspec.structs import replace

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.errors import Failure, Unauthenticated, Unavailable
from eventfeed.domain.feed import Page, PageRequest, name_of
from eventfeed.domain.ports import Clock
from eventfeed.http.problems import Problems
from eventfeed.http.reading.long_poll import ConcurrencyLimits, Receive, wait_for_disconnect
from eventfeed.http.reading.representation import View
from eventfeed.http.request import AnyRequest
from eventfeed.log.reader import Reader
from eventfeed.telemetry.metrics import CAUGHT_UP

EVENT_STREAM = "text/event-stream"
# Contract section 5. Whether the caller may still read is asked as often.
HEARTBEAT_SECONDS = 15.0
# A browser that lost its stream comes back after this.
RETRY_MILLISECONDS = 2_000
# Handed to the connection at once: so much of a slow reader's page is held beside the page itself.
CHUNK_BYTES = 64 * 1024
# Whoever takes none of that for so long has stopped reading; its cursor is the last id it took.
TAKE_SECONDS_MAX = 20.0
GOODBYE_SECONDS_MAX = 1.0

_LINES = re.compile(rb"\r\n|\r|\n")


class Source(NamedTuple):
    """What streams are made of: pages, the time, words for failures, and places."""

    reader: Reader
    clock: Clock
    problems: Problems
    places: ConcurrencyLimits


class Live(NamedTuple):
    """What is streamed: to which request, which view of a feed, asked how, and the page that was found first."""

    request: AnyRequest
    view: View
    ask: PageRequest
    page: Page


class Stream(Response[bytes]):
    """The answer that goes on: the page that was found first, and everything after it."""

    def __init__(self, source: Source, live: Live) -> None:
        super().__init__(b"", media_type=EVENT_STREAM)
        self._source = source
        self._request, self._view, self._ask, self._page = live

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # it may be any application
        """What the server calls."""
        return self._answer

    async def _answer(self, *connection: Any) -> None:  # scope, receive and send of ASGI
        _, receive, send = connection
        try:
            with self._source.places.stream(self._view.caller):
                await self._stream(receive, send)
        except Failure as failure:  # before the first byte: an answer like any other
            refused = self._source.problems.on_failure(self._request, failure)
            await refused.to_asgi_response(app=None, request=self._request)(*connection)

    async def _stream(self, receive: Receive, send: Send) -> None:
        left = asyncio.create_task(wait_for_disconnect(receive))
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"Accept, Authorization, Person, Prefer, Last-Event-ID"),
            (b"x-accel-buffering", b"no"),
        ]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for chunk in self._chunks(left):
                async with asyncio.timeout(TAKE_SECONDS_MAX):
                    await _send(send, chunk)
                if left.done():
                    return
            await _send(send, b"", more=False)
        except TimeoutError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS_MAX):
                    await _send(send, b"", more=False)
        finally:
            left.cancel()

    async def _chunks(self, left: asyncio.Task[None]) -> AsyncIterator[bytes]:
        """Events as they come, heartbeats in between, and why it ended."""
        page = self._page
        cursor, beat = page.cursor, self._time()
        yield b"retry: %d\n\n" % RETRY_MILLISECONDS + (b"" if page.entries else _heartbeat(cursor))
        try:
            while not left.done():
                if page.entries:
                    await self._view.recorded(page)
                    for chunk in _events(page, self._view):
                        yield chunk
                cursor = page.cursor
                if not page.more:
                    if self._source.reader.past(self._ask.until):
                        return
                    cursor = await self._arrival(cursor, beat=beat, left=left)
                if self._time() - beat >= HEARTBEAT_SECONDS:
                    CAUGHT_UP.add(1, name_of(self._view.query.feed), "stream")
                    yield _heartbeat(cursor)
                    await self._view.allowed()
                    beat = self._time()
                self._require_going_on()
                page = await self._source.reader.read(replace(self._ask, after=cursor))
        except Failure as failure:
            problem = self._source.problems.on_failure(self._request, failure).content
            yield b"id: %b\nevent: end\ndata: %b\n\n" % (str(cursor).encode(), problem)

    async def _arrival(self, cursor: Cursor, *, beat: float, left: asyncio.Task[None]) -> Cursor:
        """Wait for something to look at, a heartbeat or the token's end; how far there is nothing to see."""
        seconds = beat + HEARTBEAT_SECONDS - self._time()
        if self._view.expires is not None:
            seconds = min(seconds, self._view.expires - self._source.clock() / 1_000_000)
        position = await self._source.reader.arrival(
            self._view.query, past=cursor.position, seconds=max(seconds, 0.0), unless=left
        )
        return Cursor(log=cursor.log, position=position)

    def _require_going_on(self) -> None:
        if self._source.reader.ended:
            raise Unavailable("The service is stopping. Another one goes on from the last id.")
        if self._view.expires is not None and self._source.clock() // 1_000_000 >= self._view.expires:
            raise Unauthenticated("The token has expired. Go on from the last id with a new one.")

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _events(page: Page, view: View) -> Iterator[bytes]:
    """The events of a page, each with the cursor after it, some at a time."""
    chunk, size = list[bytes](), 0
    for entry in page.entries:
        lines = b"\ndata: ".join(_LINES.split(view.shown(entry)))
        message = b"id: %b.%d\ndata: %b\n\n" % (page.cursor.log.encode(), entry.sequence, lines)
        if chunk and size + len(message) > CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(message)
        size += len(message)
    yield b"".join(chunk)


def _heartbeat(cursor: Cursor) -> bytes:
    """No data, so no event; but whoever comes back goes on from here."""
    return b": so far\nid: %b\n\n" % str(cursor).encode()


async def _send(send: Send, chunk: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": more})
