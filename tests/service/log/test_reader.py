"""The reader: pages that follow one another without a gap or a double, wherever they come from."""

import pytest

from eventfeed.domain.cloudevents import EVENT_BYTES_MAX
from eventfeed.domain.cursor import Bare, Cursor, EventId
from eventfeed.domain.errors import CursorExpired, CursorOfAnotherLog, InvalidCursor
from eventfeed.domain.feed import PAGE_BYTES_MAX, app_feed
from eventfeed.domain.ports import EventLog
from eventfeed.log import reader as reader_module
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import log as sqlite
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import TTD, entries, entry, event
from tests.support.faulty_log import FaultyLog
from tests.support.reading import read_page

KEEP = 1_000_000_000
FEED = app_feed(TTD)


async def reading(log: EventLog, watch: ManualClock) -> Reader:
    """A reader over what is in the log, which keeps entries for 1000 seconds."""
    tail = Tail(log)
    await tail.start()
    return Reader(
        log,
        tail,
        retention=Retention(log, clock=watch, keep=KEEP),
        decisions=StubDecisionPoint(),
        telemetry=Telemetry(),
    )


@pytest.fixture
def watch() -> ManualClock:
    """A clock that shows when entry 100 of `entries` is registered."""
    return ManualClock(100_000_000)


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_pages_of_any_size_give_every_entry_once(
    log: EventLog, watch: ManualClock, size: int, *, in_memory: bool
) -> None:
    """Following the cursors gives the log, from memory as from the store."""
    if in_memory:
        reader = await reading(log, watch)
        await log.append(entries(1, 99), after=0)
    else:
        await log.append(entries(1, 99), after=0)
        reader = await reading(log, watch)
    sequences, after = list[int](), Cursor(log=(await log.head()).log, position=0)
    while True:
        page = await read_page(reader, FEED, size=size, after=after)
        sequences += [each.sequence for each in page.entries]
        after = page.cursor
        if not page.more:
            break

    assert list(range(1, 100)) == sequences


async def test_the_cursor_passes_what_was_filtered_away(log: EventLog, watch: ManualClock) -> None:
    """A page without matches still moves its reader to the end."""
    await log.append(entries(1, 9), after=0)
    reader = await reading(log, watch)
    query = app_feed(TTD).where(*conditions(types=frozenset({"nothing"})))
    page = await read_page(reader, query, size=5)

    assert ([], 9, False) == (list(page.entries), page.cursor.position, page.more)


async def test_a_full_page_ends_at_its_last_entry(log: EventLog, watch: ManualClock) -> None:
    """The cursor of a full page is the last entry given, and there is more."""
    await log.append(entries(1, 9), after=0)
    page = await read_page(await reading(log, watch), FEED, size=5)

    assert ([1, 2, 3, 4, 5], 5, True) == ([each.sequence for each in page.entries], page.cursor.position, page.more)


async def test_times_bound_the_registration(log: EventLog, watch: ManualClock) -> None:
    """`since` is inclusive, `until` exclusive, and both hold beside a cursor."""
    await log.append(entries(1, 9), after=0)
    reader = await reading(log, watch)
    bounded = await read_page(reader, FEED, size=99, since=3_000_000, until=7_000_000)
    beside = await read_page(reader, FEED, size=99, since=3_000_000, until=7_000_000, after=Bare(position=4))

    assert [3, 4, 5, 6] == [each.sequence for each in bounded.entries]
    assert [5, 6] == [each.sequence for each in beside.entries]
    assert (6, False) == (bounded.cursor.position, bounded.more)


async def test_a_time_ahead_shows_nothing_and_keeps_filtering(log: EventLog, watch: ManualClock) -> None:
    """A `since` in the future passes what is there, and the page is empty."""
    await log.append(entries(1, 9), after=0)
    page = await read_page(await reading(log, watch), FEED, size=9, since=2**50)

    assert ([], 9) == (list(page.entries), page.cursor.position)


async def test_an_event_id_is_a_place(log: EventLog, watch: ManualClock) -> None:
    """Reading after an event's id begins right behind the event."""
    await log.append([entry(1), entry(2, of=event("here")), entry(3)], after=0)
    page = await read_page(await reading(log, watch), FEED, size=9, after=EventId(id="here"))

    assert [3] == [each.sequence for each in page.entries]


@pytest.mark.parametrize("after", [EventId(id="unknown"), EventId(id=""), Bare(position=10), Bare(position=10**30)])
async def test_a_place_that_does_not_exist_is_refused(log: EventLog, watch: ManualClock, after: Bare | EventId) -> None:
    """Unknown ids and places ahead of the log are told from empty pages."""
    await log.append(entries(1, 9), after=0)
    reader = await reading(log, watch)

    with pytest.raises(InvalidCursor):
        await read_page(reader, FEED, size=9, after=after)


async def test_a_cursor_of_another_log_is_refused(log: EventLog, watch: ManualClock) -> None:
    """A restored or other store never misreads a cursor."""
    with pytest.raises(CursorOfAnotherLog):
        await read_page(await reading(log, watch), FEED, size=9, after=Cursor(log="another00log", position=0))


async def test_a_cursor_at_the_end_is_always_good(log: EventLog, watch: ManualClock) -> None:
    """Also when everything before it is too old to be shown."""
    await log.append(entries(1, 9), after=0)
    watch.now += 2 * KEEP
    head = await log.head()
    page = await read_page(await reading(log, watch), FEED, size=9, after=Cursor(log=head.log, position=9))

    assert (9, False) == (page.cursor.position, page.more)


async def test_what_is_too_old_is_not_shown_before_it_is_deleted(log: EventLog, watch: ManualClock) -> None:
    """Retention goes by registration time: the beginning moves on, and cursors before it are told where to start."""
    await log.append(entries(1, 9), after=0)
    watch.now = 5_000_000 + KEEP
    reader = await reading(log, watch)
    page = await read_page(reader, FEED, size=99)
    with pytest.raises(CursorExpired) as expired:
        await read_page(reader, FEED, size=99, after=Bare(position=3))

    assert [5, 6, 7, 8, 9] == [each.sequence for each in page.entries]
    assert (f"{page.cursor.log}.4", 5_000_000) == (expired.value.oldest, expired.value.oldest_time)


async def test_the_oldest_cursor_can_be_read_from(log: EventLog, watch: ManualClock) -> None:
    """The cursor that a 410 names is where nothing kept is missed."""
    await log.append(entries(1, 9), after=0)
    watch.now = 5_000_000 + KEEP
    reader = await reading(log, watch)
    page = await read_page(reader, FEED, size=1, after=Bare(position=4))

    assert [5] == [each.sequence for each in page.entries]


async def test_a_time_before_the_retention_starts_at_the_oldest(log: EventLog, watch: ManualClock) -> None:
    """An old `since` is no error."""
    await log.append(entries(1, 9), after=0)
    watch.now = 5_000_000 + KEEP
    page = await read_page(await reading(log, watch), FEED, size=1, since=1)

    assert [5] == [each.sequence for each in page.entries]


async def test_deletion_during_a_scan_is_noticed(log: EventLog, watch: ManualClock) -> None:
    """Entries that went while they were looked for are not silently missing."""
    await log.append(entries(1, 9), after=0)
    reader = await reading(log, watch)
    await read_page(reader, FEED, size=1)
    await log.expire(before=5_000_000)

    with pytest.raises(CursorExpired):
        await read_page(reader, FEED, size=9, after=Bare(position=2))


async def test_deletion_keeps_well_behind_what_is_shown(log: EventLog, watch: ManualClock) -> None:
    """Nothing is deleted before it has long been out of sight, and the sequence goes on."""
    await log.append(entries(1, 9), after=0)
    retention = Retention(log, clock=watch, keep=KEEP)
    watch.now = 9_000_000 + KEEP
    await retention.delete()
    remaining_entries = (await log.head()).log_start
    watch.now += 3_600_000_000
    await retention.delete()

    assert (0, 8) == (remaining_entries, (await log.head()).log_start)


async def test_a_page_is_bounded_in_bytes(log: EventLog, watch: ManualClock) -> None:
    """Large events make short pages, and following them still gives all."""
    for place in range(1, 201, 10):
        large = [entry(each, of=event(size=EVENT_BYTES_MAX)) for each in range(place, place + 10)]
        await log.append(large, after=place - 1)
    reader = await reading(log, watch)
    sequences, sizes, after = list[int](), list[int](), Bare(position=0)
    more = True
    while more:
        page = await read_page(reader, FEED, size=1000, after=after)
        sequences += [each.sequence for each in page.entries]
        sizes.append(len(b"[" + b",".join(each.json for each in page.entries) + b"]"))
        after, more = Bare(position=page.cursor.position), page.more

    assert list(range(1, 201)) == sequences
    assert max(sizes) <= PAGE_BYTES_MAX < sum(sizes)


async def test_a_sparse_feed_is_found_in_bounded_requests(
    log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its budget is spent a request returns what it has, a cursor that has moved on, and more."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 2)
    await log.append([*entries(1, 98), entry(99, of=event(instance=5))], after=0)
    reader = await reading(log, watch)
    rare = event(instance=5).identity.source
    pages, after = 0, Bare(position=0)
    while True:
        page = await read_page(reader, app_feed(TTD).where(*conditions(source=rare)), size=5, after=after)
        pages += 1
        assert page.cursor.position > after.position
        after = Bare(position=page.cursor.position)
        if page.entries:
            break

    assert 99 == page.entries[0].sequence
    assert 1 < pages < 10


async def test_a_slow_store_ends_a_page_early(
    log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one step that took too long the request returns how far it came."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 2)
    monkeypatch.setattr(reader_module, "SCANS_SECONDS_MAX", 0.0)
    await log.append(entries(1, 99), after=0)
    reader = await reading(log, watch)
    rare = app_feed(TTD).where(*conditions(source="https://nowhere"))
    page = await read_page(reader, rare, size=5, after=Bare(position=0))

    assert (0, True) == (len(page.entries), page.more)
    assert 0 < page.cursor.position < 99


async def test_an_empty_log_has_a_place(log: EventLog, watch: ManualClock) -> None:
    """The beginning of an empty log is its end."""
    page = await read_page(await reading(log, watch), FEED, size=5)

    assert (0, False) == (page.cursor.position, page.more)


async def test_retention_asks_the_store_once_in_a_while(log: EventLog, watch: ManualClock) -> None:
    """However many read, the floor is looked for when the oldest entry grows too old, at most once a second."""
    await log.append([entry(place, time=place) for place in range(1, 10)], after=0)

    class Counting(FaultyLog):
        seeks = 0

        async def seek(self, time: int) -> int:
            self.seeks += 1
            return await super().seek(time)

    counting = Counting(log)
    retention = Retention(counting, clock=watch, keep=KEEP)
    watch.now, floors, head = KEEP, [], await log.head()
    for _ in range(2_000_000 // 250_000):
        floors += [(await retention.refresh(head)).log_start for _ in range(3)]
        watch.now += 1
    few = counting.seeks
    watch.now += 1_000_000

    assert ([0, 0, 0], 1) == (floors[:3], few)
    assert 9 == (await retention.refresh(head)).log_start
