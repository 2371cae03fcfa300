"""Pages of event streams, made once for all streams that stand at the same place."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from eventfeed.domain.cursor import Cursor, cursor_texts
from eventfeed.domain.feed import PAGE_EVENTS_MAX, ByScope, Page, PageBounds
from eventfeed.http.reading.feed_request import FeedRequest, ReadingServices
from eventfeed.http.reading.representation import SerialiseEach
from eventfeed.single_flight import SingleFlight

# Bytes of a page of a stream: with the server's buffers, a slow reader holds less than 256 KiB (contract section 9).
PAGE_BYTES_MAX = 64 * 1024
# Events of the first page, and of one after a wait. Their length decides how many the next one reads.
FIRST_PAGE_EVENTS = 16
# Pages that are kept until the log goes on, but no longer than this (s): entries expire, and logs get another name.
PAGES_MAX = 16
KEEP_SECONDS = 1.0

# In a message with an event of one line.
_LINE_ENDS = 3
_LINES = re.compile(rb"\r\n|\r|\n")


def stream_bounds(bounds: PageBounds, *, events: int = FIRST_PAGE_EVENTS) -> PageBounds:
    """Return the bounds of a page of a stream, whatever size the request asks for."""
    return PageBounds(size=events, since=bounds.since, until=bounds.until, bytes_max=PAGE_BYTES_MAX)


class StreamPage(NamedTuple):
    """A page, its events as messages, and how many events of their length fit into the next page (0 without events)."""

    page: Page
    messages: bytes
    next_events: int


def stream_page(page: Page, serialise: SerialiseEach) -> StreamPage:
    """Return a page with its events as messages, each with the cursor after it."""
    entries = page.entries
    cursors, events = cursor_texts(entries.proof_members(), log=page.cursor.log), list(serialise(entries))
    body = _messages(cursors, events)
    if b"\r" in body or body.count(b"\n") != _LINE_ENDS * len(events):
        body = _messages(cursors, [b"\ndata: ".join(_LINES.split(event)) for event in events])
    next_events = max(1, min(PAGE_EVENTS_MAX, PAGE_BYTES_MAX * len(entries) // len(body))) if body else 0
    return StreamPage(page, body, next_events)


def _messages(cursors: Sequence[str], events: Sequence[bytes]) -> bytes:
    """Return events of one line each as messages."""
    parts = [b"id: ", b"", b"\ndata: ", b"", b"\n\n"] * len(events)
    parts[1::5], parts[3::5] = "\n".join(cursors).encode().splitlines(), events
    return b"".join(parts)


class StreamPages:
    """Reads pages of streams. Streams of a feed that everybody sees alike share each page for a moment."""

    def __init__(self, services: ReadingServices) -> None:
        self.services = services
        self._end, self._keep_until = 0, 0.0
        self._pages: dict[object, StreamPage] = {}
        self._reads = SingleFlight[StreamPage]()

    async def read(self, request: FeedRequest, cursor: Cursor, *, bounds: PageBounds) -> StreamPage:
        """Return the page after a cursor. Raises the errors of `Reader.read`."""
        is_shared, began = True, time.perf_counter()

        async def make() -> StreamPage:
            nonlocal is_shared
            is_shared = False
            return stream_page(await self.services.read(request, cursor, bounds=bounds), request.serialise)

        if not isinstance(request.feed.visibility, ByScope):
            return await make()
        end, now = self.services.page_reader.end_offset, asyncio.get_running_loop().time()
        if self._end != end or now >= self._keep_until:
            self._end, self._keep_until, self._pages = end, now + KEEP_SECONDS, {}
        key = request.feed, request.serialise, cursor, bounds
        page = self._pages.get(key) or await self._reads.run(make, key=key)
        if is_shared:
            self._count(request, page.page, after=cursor.position, seconds=time.perf_counter() - began)
        elif self._end == end and len(self._pages) < PAGES_MAX:
            self._pages[key] = page
        return page

    def _count(self, request: FeedRequest, page: Page, *, after: int, seconds: float) -> None:
        position = page.cursor.position
        self.services.telemetry.page_served(
            request.feed.name,
            page.entries,
            examined=position - after,
            lag=self._end - position,
            seconds=seconds,
        )
