"""Pages of a reader for tests."""

from eventfeed.domain.cursor import After, BareSequence
from eventfeed.domain.feed import Feed, Page, PageBounds
from eventfeed.log.reader import Reader

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
