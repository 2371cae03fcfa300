"""The reader while the store is away: pages from memory up to the last verified end, and failures at once."""

from collections.abc import Sequence

import pytest

from eventfeed.domain.conditions import AnyOf
from eventfeed.domain.cursor import After, BareSequence, Cursor, EventId
from eventfeed.domain.errors import NotDone, StoreAway, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import PAGE_BYTES_MAX, Feed, app_feed
from eventfeed.domain.ports import EventLog, Head, Scan
from eventfeed.log.memory import tail as tail_module
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import TTD, entries
from tests.support.faulty_log import FaultyLog
from tests.support.reading import read_page

KEEP = 1_000_000_000
FEED = app_feed(TTD)


class AwayLog(FaultyLog):
    """A log whose reads fail with `failure`, if there is one."""

    failure: Unavailable | None = None

    async def head(self) -> Head:
        """Fail, or return the ends."""
        self._fail()
        return await super().head()

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Fail, or follow."""
        self._fail()
        return await super().follow(after=after, limit=limit)

    async def scan(self, feed: Feed, *, after: int, through: int, limit: int, bytes_max: int = PAGE_BYTES_MAX) -> Scan:
        """Fail, or scan."""
        self._fail()
        return await super().scan(feed, after=after, through=through, limit=limit, bytes_max=bytes_max)

    async def seek(self, time: int) -> int:
        """Fail, or seek."""
        self._fail()
        return await super().seek(time)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def clock() -> ManualClock:
    """A clock at the time of entry 100 of `entries`."""
    return ManualClock(100_000_000)


@pytest.fixture
async def away_log(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> AwayLog:
    """A log with ten entries."""
    monkeypatch.setattr(tail_module, "REFRESH_SECONDS", 0)
    await log.append(entries(1, 10), after=0)
    return AwayLog(log)


@pytest.fixture
async def reader(away_log: AwayLog, log: EventLog, clock: ManualClock) -> Reader:
    """A reader that holds entries 11 to 20 in memory, of a store that is away."""
    tail = Tail(away_log)
    await tail.start()
    retention = Retention(away_log, clock=clock, keep=KEEP)
    reader = Reader(away_log, tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())
    await log.append(entries(11, 20), after=10)
    await reader.head()
    away_log.failure = StoreAway("It is away.", retry_seconds=7)
    return reader


def cursor(position: int) -> BareSequence:
    """A cursor without a proof."""
    return BareSequence(position=position)


async def test_page_in_memory_is_served_while_the_store_is_away(reader: Reader) -> None:
    """Also the last one, which is shorter. Its cursor has the proof of its entry."""
    first = await read_page(reader, FEED, size=6, after=cursor(10))
    second = await read_page(reader, FEED, size=6, after=first.cursor)

    assert [[*range(11, 17)], [*range(17, 21)]] == [
        [each.sequence for each in page.entries] for page in (first, second)
    ]
    assert [(True, 16), (False, 20)] == [(page.more, page.cursor.position) for page in (first, second)]
    assert second.cursor.proof


@pytest.mark.parametrize(
    "after",
    [cursor(20), cursor(21), cursor(9), cursor(0), EventId(id="unknown"), Cursor(log="log", position=0)],
    ids=["end", "beyond", "before memory", "start", "event id", "other log"],
)
async def test_any_other_page_fails_at_once(reader: Reader, after: After) -> None:
    """It needs the store, or shows nothing: an end that may be old is no answer to a consumer that has caught up."""
    if isinstance(after, Cursor):
        after = Cursor(log=(await read_page(reader, FEED, size=1, after=cursor(10))).cursor.log, position=0)
    with pytest.raises(StoreAway) as failure:
        await read_page(reader, FEED, size=6, after=after)

    assert 7 == failure.value.retry_seconds


async def test_page_without_matches_in_memory_fails(reader: Reader) -> None:
    """A matching event may have come since the last verified end."""
    feed = FEED.where(AnyOf("type", frozenset({"nothing"})))
    with pytest.raises(StoreAway):
        await read_page(reader, feed, size=6, after=cursor(10))


async def test_page_that_has_expired_meanwhile_fails(reader: Reader, clock: ManualClock) -> None:
    """Memory does not make an event visible beyond its retention."""
    clock.advance(KEEP - 100_000_000 + 11_000_001)
    with pytest.raises(StoreAway):
        await read_page(reader, FEED, size=6, after=cursor(10))
    page = await read_page(reader, FEED, size=6, after=cursor(11))

    assert 12 == page.entries[0].sequence


@pytest.mark.parametrize("failure", [Unavailable("slow"), NotDone("status 403")])
async def test_other_failures_serve_nothing(reader: Reader, away_log: AwayLog, failure: Unavailable) -> None:
    """A store that refuses the service may have a reason."""
    away_log.failure = failure
    with pytest.raises(type(failure)):
        await read_page(reader, FEED, size=6, after=cursor(10))


async def test_new_events_are_served_as_soon_as_the_store_is_back(reader: Reader, away_log: AwayLog) -> None:
    """No event is missed or repeated."""
    page = await read_page(reader, FEED, size=99, after=cursor(10))
    away_log.failure = None
    await away_log.append(entries(21, 22), after=20)
    next_page = await read_page(reader, FEED, size=99, after=page.cursor)

    assert [21, 22] == [each.sequence for each in next_page.entries]
