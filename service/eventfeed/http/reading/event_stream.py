"""A feed as server-sent events (WHATWG HTML §9.2, contract section 5).

Each event's `id` is the cursor after it, so `Last-Event-ID` resumes there. A heartbeat has the id of the last position
examined and no data. If the service ends the stream, its last message has the type `end` and a problem as data.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Any

from litestar import Response
from litestar.types import ASGIApp
from msgspec.structs import replace

from eventfeed.domain.cursor import Cursor, cursor_at
from eventfeed.domain.errors import Failure, Unavailable
from eventfeed.domain.feed import Page
from eventfeed.domain.moment import format_moment
from eventfeed.domain.page_entries import EntryList
from eventfeed.http.reading.feed_request import FeedRequest, ReadingServices
from eventfeed.http.reading.long_poll import wait_for_disconnect
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.reading.sending import PartSender, Timer, parts_of
from eventfeed.http.response import Header

EVENT_STREAM = "text/event-stream"
# Contract section 5. The caller's rights are checked as often.
HEARTBEAT_SECONDS = 15.0
# A browser reconnects after this.
RETRY_MILLISECONDS = 2_000
# Bytes of a page of a stream: with the server's buffers, a slow reader holds less than 256 KiB (contract section 9).
PAGE_BYTES_MAX = 48 * 1024
# Events of the first page; their length decides how many the next one reads.
FIRST_PAGE_EVENTS = 16
PAGE_EVENTS_MAX = 100

_LINES = re.compile(rb"\r\n|\r|\n")


def stream_bounds(parameters: Parameters, *, events: int = FIRST_PAGE_EVENTS) -> Parameters:
    """Return the bounds of a page of a stream, whatever size the request asks for."""
    return replace(parameters, size=min(parameters.size, events), bytes_max=PAGE_BYTES_MAX)


def start_header(oldest_time: int) -> Header:
    """Return the header `Feed-Start`: the time of the oldest entry (µs since 1970)."""
    return b"feed-start", format_moment(oldest_time).encode()


class EventStreamResponse(Response[bytes]):
    """A response with the first page and every event after it."""

    def __init__(self, services: ReadingServices, feed_request: FeedRequest, *, page: Page) -> None:
        super().__init__(b"", media_type=EVENT_STREAM)
        self._services, self._feed_request, self._page = services, feed_request, page

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # it may be any application
        """Return the ASGI application that sends the response."""
        return self._respond

    async def _respond(self, *connection: Any) -> None:  # scope, receive and send of ASGI
        try:
            with self._services.limits.stream(self._feed_request.reader):
                await self._stream(*connection)
        except Failure as failure:  # before the first byte: a response like any other
            request = self._feed_request.request
            problem = self._services.problems.on_failure(request, failure)
            await problem.to_asgi_response(app=None, request=request)(*connection)

    async def _stream(self, *connection: Any) -> None:
        scope, receive, send = connection
        disconnect = asyncio.create_task(wait_for_disconnect(receive))
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"Accept, Authorization, Person, Altinn-AlternativeSubject, Prefer, Last-Event-ID"),
            (b"x-accel-buffering", b"no"),
        ]
        if self._page.oldest_time is not None:
            headers.append(start_header(self._page.oldest_time))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            with contextlib.closing(Timer()) as timer:
                sender = PartSender(scope, send, reset=self._services.reset, timer=timer)
                async with contextlib.aclosing(self._parts(disconnect)) as parts:
                    async for part in parts:
                        await sender.send(part)
                        if sender.is_reset:
                            return
                await sender.end()
        finally:
            disconnect.cancel()

    async def _parts(self, disconnect: asyncio.Task[None]) -> AsyncGenerator[bytes, None]:
        """Yield events as they come, heartbeats between them, and the reason for the end."""
        page, self._page = self._page, _without_entries(self._page)
        services, request, parameters = self._services, self._feed_request, self._feed_request.parameters
        cursor, beat, events = page.cursor, self._time(), FIRST_PAGE_EVENTS
        yield b"retry: %d\n\n" % RETRY_MILLISECONDS + (b"" if page.entries else _heartbeat(cursor))
        try:
            while request.request.method != "HEAD" and not disconnect.done():
                await services.admit(request, page)
                body, events = _events(page, request), _next_events(page, events)
                page = _without_entries(page)
                with services.limits.memory(request.reader, len(body)):
                    for part in parts_of(body):
                        yield part
                        if disconnect.done():
                            return
                cursor, body = page.cursor, b""
                if not page.more:
                    if services.page_reader.has_passed(parameters.until):
                        return
                    seconds = beat + HEARTBEAT_SECONDS - self._time()
                    cursor = await services.wait(request, cursor, seconds=seconds, disconnect=disconnect)
                is_beat = self._time() - beat >= HEARTBEAT_SECONDS
                if is_beat or services.seconds_left(request) <= 0:
                    await services.require(request)
                if is_beat:
                    services.telemetry.poll_caught_up(request.feed.name, "stream")
                    yield _heartbeat(cursor)
                    beat = self._time()
                if services.page_reader.is_stopping:
                    raise Unavailable("The service is stopping. Connect again with the last id.")
                page = await services.read(request, cursor, bounds=stream_bounds(parameters, events=events))
        except Failure as failure:
            problem = services.problems.on_failure(request.request, failure).content
            yield b"id: %b\nevent: end\ndata: %b\n\n" % (str(cursor).encode(), problem)

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _events(page: Page, feed_request: FeedRequest) -> bytes:
    """Return the events of a page, each with the cursor after it."""
    messages = list[bytes]()
    for entry in page.entries:
        lines = b"\ndata: ".join(_LINES.split(feed_request.serialise(entry)))
        messages.append(b"id: %b\ndata: %b\n\n" % (str(cursor_at(entry, log=page.cursor.log)).encode(), lines))
    return b"".join(messages)


def _without_entries(page: Page) -> Page:
    """Return the ends of a page: a stream holds its events in one form only."""
    return replace(page, entries=EntryList(), positions=b"")


def _next_events(page: Page, events: int) -> int:
    """Return how many events of the same length fit into the bytes of the next page."""
    if not page.entries:
        return events
    length = sum(entry.json_length for entry in page.entries) // len(page.entries)
    return max(1, min(PAGE_EVENTS_MAX, PAGE_BYTES_MAX // length))


def _heartbeat(cursor: Cursor) -> bytes:
    """Return a message without data, so without an event; its id moves the cursor of a client that reconnects."""
    return b": so far\nid: %b\n\n" % str(cursor).encode()
