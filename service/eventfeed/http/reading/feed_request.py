"""A request for a feed: the caller's rights, and the services that answer it."""

import asyncio
import math
from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from eventfeed.domain.cursor import After, BareSequence
from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.feed import PAGE_BYTES_MAX, Feed, Page, PageBounds
from eventfeed.domain.ports import CLOCK_SECOND
from eventfeed.domain.principal import Principal
from eventfeed.http.connections import Reset
from eventfeed.http.problems import Problems
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.reading.rate_limit import ReadingLimits
from eventfeed.http.reading.representation import SerialiseAll, SerialiseEach, whole_array, whole_events
from eventfeed.http.request import HttpRequest
from eventfeed.log.clock import MachineClock
from eventfeed.log.memory.waiters import Waiter
from eventfeed.log.reader import Reader
from eventfeed.telemetry.telemetry import Telemetry

# Larger pages may have the bytes of a whole page, and few are read at a time. Those of streams have fewer bytes.
SMALL_PAGE_EVENTS = 100

_START = BareSequence(position=0)


class AnonymousReader(NamedTuple):
    """Anyone, counted by the client's address: what a feed needs of a `Principal`."""

    caller: str
    rights: str = "anyone"
    expires: int | None = None
    is_anonymous: bool = True


class Guard(Protocol):
    """A right beyond the token's, which ends at `valid_to` (µs since 1970)."""

    valid_to: int

    async def require(self) -> None:
        """Check again that the caller may read the feed. Raises the refusal."""

    async def audit(self, page: Page) -> None:
        """Record a page with events before it is sent."""


class FeedRequest(NamedTuple):
    """A request for a feed, with a guard unless the token alone gives the right.

    `serialise` and `serialise_all` return the JSON of the events of a page, as the reader may see it.
    """

    request: HttpRequest
    feed: Feed
    parameters: Parameters
    reader: Principal | AnonymousReader
    guard: Guard | None = None
    serialise: SerialiseEach = whole_events
    serialise_all: SerialiseAll = whole_array


class ReadingServices(NamedTuple):
    """The services behind pages, waits and streams, which read, wait and record here only.

    The right to read is checked before each page with events. No wait lasts longer than the right. `reset` ends the
    connection of a client that takes nothing.
    """

    page_reader: Reader
    clock: MachineClock
    problems: Problems
    limits: ReadingLimits
    telemetry: Telemetry
    reset: Reset

    def read(self, request: FeedRequest, after: After | None, *, bounds: PageBounds) -> Awaitable[Page]:
        """Return the page after a cursor. Raises the errors of `Reader.read`, `Unavailable` without memory for it."""
        start = after or _START
        if bounds.size > SMALL_PAGE_EVENTS and bounds.bytes_max >= PAGE_BYTES_MAX:
            return self._read_large(request, start, bounds=bounds)
        return self.page_reader.read(request.feed, after=start, bounds=bounds)

    async def _read_large(self, request: FeedRequest, after: After, *, bounds: PageBounds) -> Page:
        async with self.limits.large_read(request.reader):
            return await self.page_reader.read(request.feed, after=after, bounds=bounds)

    async def require(self, request: FeedRequest) -> None:
        """Raise the reason if the right to read has ended."""
        self._require_current(request.reader)
        if request.guard is not None:
            await request.guard.require()

    def _require_current(self, reader: Principal | AnonymousReader) -> None:
        expires, clock = reader.expires, self.clock
        now = clock.wall()
        if now not in clock.checked or not clock.is_accurate:  # at most once a second, unless the clock is wrong
            now = clock()
        if expires is not None and now >= expires * CLOCK_SECOND:
            raise Unauthenticated("The token has expired. Go on from the last cursor, with a new token.")

    async def admit(self, request: FeedRequest, page: Page, *, is_known: bool = False) -> None:
        """Check the right to a page with events and record it, before it is sent.

        A caller that already has the page (`is_known`) gets no events.
        """
        if not page.entries:
            return
        self._require_current(request.reader)
        if request.guard is not None:
            await request.guard.require()
            if not is_known:
                await request.guard.audit(page)

    def wait(self, request: FeedRequest, waiter: Waiter, *, past: int, until: float) -> Awaitable[int]:
        """See `Reader.wait_for_entry`. The wait lasts at most until the right ends."""
        right_ends = asyncio.get_running_loop().time() + self.seconds_left(request)
        return self.page_reader.wait_for_entry(request.feed, waiter, past=past, until=min(until, right_ends))

    def seconds_left(self, request: FeedRequest) -> float:
        """Return the time until the right ends (s): the token's, or that of the guard."""
        ends = [] if request.reader.expires is None else [request.reader.expires * CLOCK_SECOND]
        ends += [] if request.guard is None else [request.guard.valid_to * 1_000]
        return (min(ends) - self.clock()) / CLOCK_SECOND if ends else math.inf
