"""A feed as server-sent events (WHATWG HTML §9.2, contract section 5).

Each event's `id` is the cursor after it, so `Last-Event-ID` resumes there. A heartbeat has the id of the last position
examined and no data. If the service ends the stream, its last message has the type `end` and a problem as data.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from litestar import Response
from litestar.types import ASGIApp, Send

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.errors import Failure, Unauthenticated, Unavailable
from eventfeed.domain.feed import Page
from eventfeed.http.reading.feed_request import FeedRequest, ReadingServices
from eventfeed.http.reading.long_poll import Receive, wait_for_disconnect

EVENT_STREAM = "text/event-stream"
# Contract section 5. The caller's rights are checked as often.
HEARTBEAT_SECONDS = 15.0
# A browser reconnects after this.
RETRY_MILLISECONDS = 2_000
# Bytes sent at once: a slow reader holds this much beside the page.
CHUNK_BYTES = 64 * 1024
# A client that reads nothing for so long is cut off; it resumes from its last id.
SEND_SECONDS_MAX = 20.0
CLOSE_SECONDS_MAX = 1.0

_LINES = re.compile(rb"\r\n|\r|\n")


class EventStreamResponse(Response[bytes]):
    """A response with the first page and every event after it."""

    def __init__(self, services: ReadingServices, feed_request: FeedRequest, *, page: Page) -> None:
        super().__init__(b"", media_type=EVENT_STREAM)
        self._services, self._feed_request, self._page = services, feed_request, page

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # it may be any application
        """Return the ASGI application that sends the response."""
        return self._respond

    async def _respond(self, *connection: Any) -> None:  # scope, receive and send of ASGI
        _, receive, send = connection
        try:
            with self._services.limits.stream(self._feed_request.reader.caller):
                await self._stream(receive, send)
        except Failure as failure:  # before the first byte: a response like any other
            request = self._feed_request.request
            problem = self._services.problems.on_failure(request, failure)
            await problem.to_asgi_response(app=None, request=request)(*connection)

    async def _stream(self, receive: Receive, send: Send) -> None:
        disconnect = asyncio.create_task(wait_for_disconnect(receive))
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"Accept, Authorization, Person, Prefer, Last-Event-ID"),
            (b"x-accel-buffering", b"no"),
        ]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for chunk in self._chunks(disconnect):
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    await _send(send, chunk)
                if disconnect.done():
                    return
                if self._feed_request.request.method == "HEAD":
                    break
            await _send(send, b"", more=False)
        except TimeoutError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await _send(send, b"", more=False)
        finally:
            disconnect.cancel()

    async def _chunks(self, disconnect: asyncio.Task[None]) -> AsyncIterator[bytes]:
        """Yield events as they come, heartbeats between them, and the reason for the end."""
        page, (services, (_, feed, parameters, _, guard, _)) = self._page, (self._services, self._feed_request)
        cursor, beat = page.cursor, self._time()
        yield b"retry: %d\n\n" % RETRY_MILLISECONDS + (b"" if page.entries else _heartbeat(cursor))
        try:
            while not disconnect.done():
                if page.entries:
                    if guard is not None:
                        await guard.audit(page)
                    for chunk in _events(page, self._feed_request):
                        yield chunk
                cursor = page.cursor
                if not page.more:
                    if services.page_reader.has_passed(parameters.until):
                        return
                    cursor = await self._wait(cursor, beat=beat, disconnect=disconnect)
                if self._time() - beat >= HEARTBEAT_SECONDS:
                    services.telemetry.poll_caught_up(feed.name, "stream")
                    yield _heartbeat(cursor)
                    if guard is not None:
                        await guard.require()
                    beat = self._time()
                self._require_open()
                page = await services.page_reader.read(feed, after=cursor, bounds=parameters)
        except Failure as failure:
            problem = services.problems.on_failure(self._feed_request.request, failure).content
            yield b"id: %b\nevent: end\ndata: %b\n\n" % (str(cursor).encode(), problem)

    async def _wait(self, cursor: Cursor, *, beat: float, disconnect: asyncio.Task[None]) -> Cursor:
        """Wait for an entry, a heartbeat or the token's end; return the cursor up to which there is nothing to read."""
        left = self._services.seconds_left(self._feed_request.reader)
        seconds = min(beat + HEARTBEAT_SECONDS - self._time(), left)
        position = await self._services.page_reader.wait_for_entry(
            self._feed_request.feed, past=cursor.position, seconds=max(seconds, 0.0), disconnect=disconnect
        )
        return Cursor(log=cursor.log, position=position)

    def _require_open(self) -> None:
        """Raise the reason for the end of the stream, if the service is stopping or the token has expired."""
        if self._services.page_reader.is_stopping:
            raise Unavailable("The service is stopping. Connect again with the last id.")
        if self._services.seconds_left(self._feed_request.reader) <= 0:
            raise Unauthenticated("The token has expired. Connect again with the last id and a new token.")

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _events(page: Page, feed_request: FeedRequest) -> Iterator[bytes]:
    """Yield the events of a page, each with the cursor after it, in chunks."""
    chunk, size = list[bytes](), 0
    for entry in page.entries:
        lines = b"\ndata: ".join(_LINES.split(feed_request.serialise(entry)))
        message = b"id: %b.%d\ndata: %b\n\n" % (page.cursor.log.encode(), entry.sequence, lines)
        if chunk and size + len(message) > CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(message)
        size += len(message)
    yield b"".join(chunk)


def _heartbeat(cursor: Cursor) -> bytes:
    """Return a message without data, so without an event; its id moves the cursor of a client that reconnects."""
    return b": so far\nid: %b\n\n" % str(cursor).encode()


async def _send(send: Send, chunk: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": more})
