"""A feed as server-sent events (WHATWG HTML §9.2, contract section 5).

Each event's `id` is the cursor after it, so `Last-Event-ID` resumes there. A heartbeat has the id of the last position
examined and no data. If the service ends the stream, its last message has the type `end` and a problem as data.
"""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from litestar import Response
from litestar.types import ASGIApp
from msgspec.structs import replace

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.errors import Failure, Unavailable
from eventfeed.domain.feed import Page
from eventfeed.domain.moment import format_moment
from eventfeed.domain.page_entries import EntryList
from eventfeed.http.reading.feed_request import FeedRequest
from eventfeed.http.reading.long_poll import connected
from eventfeed.http.reading.stream_pages import StreamPages, stream_bounds, stream_page
from eventfeed.http.response import Header
from eventfeed.http.sending import PART_BYTES, PartSender, parts_of
from eventfeed.log.memory.waiters import Waiter

EVENT_STREAM = "text/event-stream"
# Contract section 5. The caller's rights are checked as often.
HEARTBEAT_SECONDS = 15.0
# A browser reconnects after this.
RETRY_MILLISECONDS = 2_000

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Accept, Authorization, Person, Altinn-AlternativeSubject, Prefer, Last-Event-ID"),
    (b"x-accel-buffering", b"no"),
)


def start_header(oldest_time: int) -> Header:
    """Return the header `Feed-Start`: the time of the oldest entry (µs since 1970)."""
    return b"feed-start", format_moment(oldest_time).encode()


class EventStreamResponse(Response[bytes]):
    """A response with the first page and every event after it."""

    def __init__(self, pages: StreamPages, feed_request: FeedRequest, *, page: Page) -> None:
        super().__init__(b"", media_type=EVENT_STREAM)
        self._pages, self._feed_request, self._page = pages, feed_request, page

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # it may be any application
        """Return the ASGI application that sends the response."""
        return self._respond

    async def _respond(self, *connection: Any) -> None:  # scope, receive and send of ASGI
        request, services = self._feed_request, self._pages.services
        try:
            with services.limits.stream(request.reader):
                await self._stream(*connection)
        except Failure as failure:  # before the first byte: a response like any other
            problem = services.problems.on_failure(request.request, failure)
            await problem.to_asgi_response(app=None, request=request.request)(*connection)

    async def _stream(self, *connection: Any) -> None:
        scope, receive, send = connection
        headers, page = [*_HEADERS], self._page
        if page.oldest_time is not None:
            headers.append(start_header(page.oldest_time))
        with connected(receive) as waiter:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sender = PartSender(scope, send, reset=self._pages.services.reset, timer=waiter.timer)
            stream = _Stream(self._pages, self._feed_request, sender=sender, waiter=waiter)
            self._page = replace(page, entries=EntryList(), positions=b"")  # the stream alone holds its events
            await stream.start(page)
            del page
            if self._feed_request.request.method != "HEAD":
                await stream.run()
            await sender.end()


class _Stream:
    """An open stream: its next page, its cursor, and the time of its next heartbeat (event loop, s)."""

    def __init__(self, pages: StreamPages, request: FeedRequest, *, sender: PartSender, waiter: Waiter) -> None:
        self._pages, self._services, self._request = pages, pages.services, request
        self._sender, self._waiter = sender, waiter
        self._first_bounds = self._bounds = stream_bounds(request.parameters)
        self._beat = _time() + HEARTBEAT_SECONDS

    async def start(self, page: Page) -> None:
        """Send what comes before the events."""
        self._next, self._cursor = [stream_page(page, self._request.serialise)], page.cursor
        retry = b"retry: %d\n\n" % RETRY_MILLISECONDS
        await self._sender.send(retry if page.entries else retry + _heartbeat(page.cursor))

    async def run(self) -> None:
        """Send events as they come, heartbeats between them, and the reason for the end."""
        try:
            while not self._is_over and (await self._send_next() or await self._wait()):
                if self._is_over:
                    return
                await self._check()
                self._next.append(await self._pages.read(self._request, self._cursor, bounds=self._bounds))
        except Failure as failure:
            problem = self._services.problems.on_failure(self._request.request, failure).content
            await self._sender.send(b"id: %b\nevent: end\ndata: %b\n\n" % (str(self._cursor).encode(), problem))

    @property
    def _is_over(self) -> bool:
        return self._waiter.is_over or self._sender.is_reset

    async def _send_next(self) -> bool:
        """Send the events of the next page. Return True if another page follows at once."""
        page, messages, events = self._next.pop()  # a slow client holds the events in one form only
        cursor, has_more = page.cursor, page.more
        with self._memory(len(messages)):  # a page that is recorded is sent
            await self._services.admit(self._request, page)
            del page
            for part in parts_of(messages):
                if not self._is_over:
                    await self._sender.send(part)
        self._cursor = cursor
        if not has_more:
            self._bounds = self._first_bounds
        elif events:
            self._bounds = stream_bounds(self._request.parameters, events=events)
        return has_more

    def _memory(self, size: int) -> AbstractContextManager[None]:
        """Hold the bytes of a page that is sent in several parts. Raises `Unavailable` without memory for them."""
        return nullcontext() if size <= PART_BYTES else self._services.limits.memory(self._request.reader, size)

    async def _wait(self) -> bool:
        """Wait for an entry of the feed until the next heartbeat. Return False if there can be none."""
        reader, cursor = self._services.page_reader, self._cursor
        if reader.has_passed(self._request.parameters.until):
            return False
        past = cursor.position
        position = await self._services.wait(self._request, self._waiter, past=past, until=self._beat)
        if position != past:
            self._cursor = await reader.cursor_at(position, log=cursor.log)
        return True

    async def _check(self) -> None:
        """Check the right to read, and send a heartbeat, when it is time. Raises `Unavailable` if the service stops."""
        services, request, is_beat = self._services, self._request, _time() >= self._beat
        if is_beat or services.seconds_left(request) <= 0:
            await services.require(request)
        if is_beat:
            services.telemetry.poll_caught_up(request.feed.name, "stream")
            await self._sender.send(_heartbeat(self._cursor))
            self._beat = _time() + HEARTBEAT_SECONDS
        if services.page_reader.is_stopping:
            raise Unavailable("The service is stopping. Connect again with the last id.")


def _time() -> float:
    return asyncio.get_running_loop().time()


def _heartbeat(cursor: Cursor) -> bytes:
    """Return a message without data, so without an event; its id moves the cursor of a client that reconnects."""
    return b": so far\nid: %b\n\n" % str(cursor).encode()
