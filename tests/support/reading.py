"""Pages of a reader, and rights of a reader, for tests."""

import asyncio

from eventfeed.domain.cursor import After, BareSequence
from eventfeed.domain.feed import Feed, Page, PageBounds
from eventfeed.http.reading.rate_limit import Quota, ReadingLimits
from eventfeed.log.reader import Reader
from eventfeed.telemetry.telemetry import Telemetry

_BEGINNING = BareSequence(position=0)


async def read_page(
    reader: Reader,
    feed: Feed,
    *,
    size: int,
    after: After = _BEGINNING,
    since: int | None = None,
    until: int | None = None,
) -> Page:
    """Return the page of a feed after a cursor, by default after the beginning."""
    return await reader.read(feed, after=after, bounds=PageBounds(size=size, since=since, until=until))


def reading_limits(telemetry: Telemetry, *, caller_streams: int = 9) -> ReadingLimits:
    """Limits of nine waits and streams and 1 GiB for anyone, and of streams for each caller."""
    waits, streams = Quota(9, anonymous=9, each=9), Quota(9, anonymous=9, each=caller_streams)
    return ReadingLimits(
        waits=waits, streams=streams, memory=Quota(1 << 30, anonymous=1 << 30, each=1 << 30), telemetry=telemetry
    )


async def keep_connection(_: object) -> None:
    """Stand in for `Connections.reset` where every client takes what is sent."""
    raise AssertionError("the client took nothing")


class ManualGuard:
    """A right that a test ends: `require` raises `refusal`, `audit` raises `audit_failure`, else it keeps the page."""

    def __init__(self, *, valid_to: int) -> None:
        self.valid_to = valid_to
        self.refusal: Exception | None = None
        self.audit_failure: Exception | None = None
        self.pages, self.recorded = list[Page](), asyncio.Event()

    async def require(self) -> None:
        """See `Guard.require`."""
        if self.refusal:
            raise self.refusal

    async def audit(self, page: Page) -> None:
        """See `Guard.audit`."""
        if self.audit_failure:
            raise self.audit_failure
        self.pages.append(page)
        self.recorded.set()
