"""The reader: consecutive pages without gaps or duplicates, from memory and from the store."""

import pytest
from msgspec.structs import replace

from eventfeed.domain.cloudevents import EVENT_BYTES_MAX
from eventfeed.domain.cursor import PROOF_LENGTH, BareSequence, Cursor, EventId
from eventfeed.domain.errors import CursorExpired, CursorOfAnotherLog, InvalidCursor
from eventfeed.domain.feed import PAGE_BYTES_MAX, app_feed
from eventfeed.domain.ports import EventLog
from eventfeed.log import reader as reader_module
from eventfeed.log.cosmos import scans as cosmos
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import CONFIRM_TIME, Retention
from eventfeed.log.sqlite import scans as sqlite
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import TTD, entries, entry, event
from tests.support.faulty_log import FaultyLog
from tests.support.reading import read_page

KEEP = 1_000_000_000
FEED = app_feed(TTD)


async def new_reader(log: EventLog, clock: ManualClock) -> Reader:
    """A reader of this log, which keeps entries for 1000 seconds."""
    tail = Tail(log)
    await tail.start()
    return Reader(
        log,
        tail,
        retention=Retention(log, clock=clock, keep=KEEP),
        decisions=StubDecisionPoint(),
        telemetry=Telemetry(),
    )


async def reader_of_99(log: EventLog, clock: ManualClock, *, in_memory: bool) -> Reader:
    """A reader of a log with 99 entries, which its memory holds or not."""
    if in_memory:
        reader = await new_reader(log, clock)
        await log.append(entries(1, 99), after=0)
        return reader
    await log.append(entries(1, 99), after=0)
    return await new_reader(log, clock)


@pytest.fixture
def clock() -> ManualClock:
    """A clock at the time of entry 100 of `entries`."""
    return ManualClock(100_000_000)


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_pages_of_any_size_return_every_entry_once(
    log: EventLog, clock: ManualClock, size: int, *, in_memory: bool
) -> None:
    """The cursors lead through the whole log, in memory and in the store."""
    reader = await reader_of_99(log, clock, in_memory=in_memory)
    sequences, after = list[int](), Cursor(log=(await log.head()).log, position=0)
    while True:
        page = await read_page(reader, FEED, size=size, after=after)
        sequences += [each.sequence for each in page.entries]
        after = page.cursor
        if not page.more:
            break

    assert list(range(1, 100)) == sequences


async def test_cursor_of_a_page_without_matches_is_the_end(log: EventLog, clock: ManualClock) -> None:
    """Entries that do not match the filter are examined only once."""
    await log.append(entries(1, 9), after=0)
    reader = await new_reader(log, clock)
    query = app_feed(TTD).where(*conditions(types=frozenset({"nothing"})))
    page = await read_page(reader, query, size=5)

    assert ([], 9, False) == (list(page.entries), page.cursor.position, page.more)


async def test_cursor_of_a_full_page_is_its_last_entry(log: EventLog, clock: ManualClock) -> None:
    """`more` is true, and the next page follows the last returned entry."""
    await log.append(entries(1, 9), after=0)
    page = await read_page(await new_reader(log, clock), FEED, size=5)

    assert ([1, 2, 3, 4, 5], 5, True) == ([each.sequence for each in page.entries], page.cursor.position, page.more)


async def test_since_and_until_limit_the_registration_time(log: EventLog, clock: ManualClock) -> None:
    """`since` is inclusive, `until` exclusive. Both also apply to a page after a cursor."""
    await log.append(entries(1, 9), after=0)
    reader = await new_reader(log, clock)
    page = await read_page(reader, FEED, size=99, since=3_000_000, until=7_000_000)
    page_after = await read_page(
        reader, FEED, size=99, since=3_000_000, until=7_000_000, after=BareSequence(position=4)
    )

    assert [3, 4, 5, 6] == [each.sequence for each in page.entries]
    assert [5, 6] == [each.sequence for each in page_after.entries]
    assert (6, False) == (page.cursor.position, page.more)


async def test_since_in_the_future_returns_an_empty_page(log: EventLog, clock: ManualClock) -> None:
    """The cursor is the end of the log."""
    await log.append(entries(1, 9), after=0)
    page = await read_page(await new_reader(log, clock), FEED, size=9, since=2**50)

    assert ([], 9) == (list(page.entries), page.cursor.position)


async def test_page_after_an_event_id_begins_behind_the_event(log: EventLog, clock: ManualClock) -> None:
    """An event id is a valid value of `after`."""
    await log.append([entry(1), entry(2, of=event("here")), entry(3)], after=0)
    page = await read_page(await new_reader(log, clock), FEED, size=9, after=EventId(id="here"))

    assert [3] == [each.sequence for each in page.entries]


@pytest.mark.parametrize(
    "after", [EventId(id="unknown"), EventId(id=""), BareSequence(position=10), BareSequence(position=10**30)]
)
async def test_page_after_an_unknown_position_is_rejected(
    log: EventLog, clock: ManualClock, after: BareSequence | EventId
) -> None:
    """An unknown event id and a position beyond the end are errors, not empty pages."""
    await log.append(entries(1, 9), after=0)
    reader = await new_reader(log, clock)

    with pytest.raises(InvalidCursor):
        await read_page(reader, FEED, size=9, after=after)


async def test_cursor_of_another_log_is_rejected(log: EventLog, clock: ManualClock) -> None:
    """A restored store or another one never misreads a cursor."""
    with pytest.raises(CursorOfAnotherLog):
        await read_page(await new_reader(log, clock), FEED, size=9, after=Cursor(log="another00log", position=0))


async def test_cursor_of_another_log_waits_for_no_replica(log: EventLog, clock: ManualClock) -> None:
    """Its position says nothing about the end of this log."""
    lagging_log = FaultyLog(log)
    lagging_log.lag_seconds_max = 3_600.0
    reader = await new_reader(lagging_log, clock)
    with pytest.raises(CursorOfAnotherLog):
        await read_page(reader, FEED, size=9, after=Cursor(log="another00log", position=5, proof="aaaaaa"))


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("position", [1, 50, 99])
async def test_cursor_with_another_proof_is_of_another_log(
    log: EventLog, clock: ManualClock, position: int, *, in_memory: bool
) -> None:
    """An older copy was restored: other entries have taken the positions of those that were lost."""
    reader = await reader_of_99(log, clock, in_memory=in_memory)
    head = await log.head()
    proven = await reader.cursor_at(position, log=head.log)
    other = replace(proven, proof="aaaaaa" if proven.proof != "aaaaaa" else "bbbbbb")

    assert len(proven.proof) == PROOF_LENGTH
    assert (await read_page(reader, FEED, size=9, after=proven)).cursor.position >= position
    assert (await read_page(reader, FEED, size=9, after=replace(proven, proof=""))).cursor.position >= position
    with pytest.raises(CursorOfAnotherLog, match="older copy"):
        await read_page(reader, FEED, size=9, after=other)


@pytest.mark.parametrize("size", [9, 200])
async def test_cursor_of_every_page_has_a_proof(log: EventLog, clock: ManualClock, size: int) -> None:
    """The position is that of an entry on the page, of another feed, or of the end; position 0 has none."""
    reader = await new_reader(log, clock)
    empty = await read_page(reader, FEED, size=size)
    await log.append([*entries(1, 98), entry(99, of=event(app=None))], after=0)
    reader = await new_reader(log, clock)
    page = await read_page(reader, FEED, size=size)

    assert ("", PROOF_LENGTH) == (empty.cursor.proof, len(page.cursor.proof))


async def test_cursor_of_an_expired_entry_is_accepted(log: EventLog, clock: ManualClock) -> None:
    """Nothing is left that its proof could be compared with; the entries after it are all there."""
    await log.append(entries(1, 99), after=0)
    head = await log.head()
    cursor = await (await new_reader(log, clock)).cursor_at(50, log=head.log)
    while await log.expire(before=50_500_000) != 50:
        pass
    clock.now = KEEP + 50_500_000
    page = await read_page(await new_reader(log, clock), FEED, size=1, after=cursor)

    assert [51] == [each.sequence for each in page.entries]


async def test_cursors_outside_memory_cost_one_lookup(log: EventLog, clock: ManualClock) -> None:
    """A consumer that reads page after page, from the store, costs no lookup at all."""
    await log.append(entries(1, 99), after=0)
    faulty, head = FaultyLog(log), await log.head()
    reader = await new_reader(faulty, clock)
    after = await (await new_reader(log, clock)).cursor_at(10, log=head.log)
    await read_page(reader, FEED, size=9, after=BareSequence(position=0))
    lookups = list[int]()
    for _ in range(3):
        before = faulty.follows
        after = (await read_page(reader, FEED, size=9, after=after)).cursor
        lookups.append(faulty.follows - before)

    assert [1, 0, 0] == lookups


async def test_event_id_is_looked_up_in_the_store_once(log: EventLog, clock: ManualClock) -> None:
    """A poller that has caught up repeats it. Memory has no index of ids, so a search there would block others."""
    faulty = FaultyLog(log)
    reader, scans, sequences = await new_reader(faulty, clock), list[int](), list[list[int]]()
    await log.append([entry(1), entry(2, of=event("here")), entry(3)], after=0)
    for after in [EventId(id="here"), EventId(id="here")]:
        before = faulty.scans
        page = await read_page(reader, FEED, size=9, after=after)
        scans.append(faulty.scans - before)
        sequences.append([each.sequence for each in page.entries])

    assert [[3], [3]] == sequences
    assert [1, 0] == scans


async def test_event_id_of_an_expired_event_is_looked_up_again(log: EventLog, clock: ManualClock) -> None:
    """It means the first event with this id that is kept."""
    reader = await new_reader(log, clock)
    await log.append([entry(1, of=event("here")), entry(2), entry(3, of=event("here")), entry(4)], after=0)
    first = await read_page(reader, FEED, size=9, after=EventId(id="here"))
    clock.now = 2_500_000 + KEEP
    second = await read_page(reader, FEED, size=9, after=EventId(id="here"))

    assert [[2, 3, 4], [4]] == [[each.sequence for each in page.entries] for page in (first, second)]


async def test_cursor_at_the_end_does_not_expire(log: EventLog, clock: ManualClock) -> None:
    """The cursor is valid even if the retention period of every entry has ended."""
    await log.append(entries(1, 9), after=0)
    clock.now += 2 * KEEP
    head = await log.head()
    page = await read_page(await new_reader(log, clock), FEED, size=9, after=Cursor(log=head.log, position=9))

    assert (9, False) == (page.cursor.position, page.more)


async def test_entry_beyond_the_retention_is_not_returned(log: EventLog, clock: ManualClock) -> None:
    """This holds before the entry is deleted. The error for an expired cursor has the oldest cursor and its time."""
    await log.append(entries(1, 9), after=0)
    clock.now = 5_000_000 + KEEP
    reader = await new_reader(log, clock)
    page = await read_page(reader, FEED, size=99)
    with pytest.raises(CursorExpired) as error:
        await read_page(reader, FEED, size=99, after=BareSequence(position=3))

    assert [5, 6, 7, 8, 9] == [each.sequence for each in page.entries]
    assert (f"{page.cursor.log}.4", 5_000_000) == (error.value.oldest, error.value.oldest_time)


async def test_page_after_the_oldest_cursor_has_the_oldest_entry(log: EventLog, clock: ManualClock) -> None:
    """The cursor in a 410 response skips no entry that is kept."""
    await log.append(entries(1, 9), after=0)
    clock.now = 5_000_000 + KEEP
    reader = await new_reader(log, clock)
    page = await read_page(reader, FEED, size=1, after=BareSequence(position=4))

    assert [5] == [each.sequence for each in page.entries]


async def test_since_before_the_retention_starts_at_the_oldest_entry(log: EventLog, clock: ManualClock) -> None:
    """An old `since` is no error."""
    await log.append(entries(1, 9), after=0)
    clock.now = 5_000_000 + KEEP
    page = await read_page(await new_reader(log, clock), FEED, size=1, since=1)

    assert [5] == [each.sequence for each in page.entries]
    assert 5_000_000 == page.oldest_time


@pytest.mark.parametrize(
    ("since", "after", "oldest_time"),
    [
        (None, 0, None),
        (4_999_999, 0, 5_000_000),
        (4_999_999, 4, 5_000_000),
        (4_999_999, 5, None),
        (5_000_000, 0, None),
        (1, 9, None),
    ],
)
async def test_page_has_the_oldest_time_if_it_begins_there_instead_of_at_since(
    log: EventLog, clock: ManualClock, since: int | None, after: int, oldest_time: int | None
) -> None:
    """A page after a later cursor, or since a time within the retention, leaves nothing out."""
    await log.append(entries(1, 9), after=0)
    clock.now = 5_000_000 + KEEP
    page = await read_page(await new_reader(log, clock), FEED, size=9, after=BareSequence(position=after), since=since)

    assert oldest_time == page.oldest_time


async def test_page_without_entries_in_the_log_has_no_oldest_time(log: EventLog, clock: ManualClock) -> None:
    """Neither in an empty log, nor in one whose entries have all expired."""
    clock.now = KEEP + 100_000_000
    empty = await read_page(await new_reader(log, clock), FEED, size=9, since=1)
    await log.append(entries(1, 9), after=0)
    expired = await read_page(await new_reader(log, clock), FEED, size=9, since=1)

    assert [None, None] == [empty.oldest_time, expired.oldest_time]


@pytest.mark.parametrize("in_memory", [True, False])
async def test_cursor_of_a_page_has_the_time_of_the_last_position_examined(
    log: EventLog, clock: ManualClock, *, in_memory: bool
) -> None:
    """Of the last event of a full page, and of the end of the log after hidden entries."""
    reader = await reader_of_99(log, clock, in_memory=in_memory)
    full = await read_page(reader, FEED, size=7)
    empty = await read_page(reader, FEED.where(*conditions(types=["none"])), size=7)
    until = await read_page(reader, FEED, size=50, until=5_500_000)
    at_start = await read_page(reader, FEED, size=50, until=1)

    assert [7_000_000, 99_000_000, 5_000_000, 0] == [each.cursor.time for each in (full, empty, until, at_start)]


async def test_deletion_during_a_scan_is_an_expired_cursor(log: EventLog, clock: ManualClock) -> None:
    """A page never lacks deleted entries without an error. The reader does not know the new log start yet."""
    await log.append(entries(1, 9), after=0)
    reader = await new_reader(log, clock)
    await read_page(reader, FEED, size=1)
    await log.expire(before=5_000_000)
    reader._tail.fresh_until = float("inf")

    with pytest.raises(CursorExpired):
        await read_page(reader, FEED, size=9, after=BareSequence(position=2))


async def test_entries_are_deleted_an_hour_after_their_retention(log: EventLog, clock: ManualClock) -> None:
    """Until then an entry is in the store but not in pages. The last entry is never deleted."""
    await log.append(entries(1, 9), after=0)
    retention = Retention(log, clock=clock, keep=KEEP)
    clock.check()
    clock.advance(CONFIRM_TIME)
    clock.now = 9_000_000 + KEEP
    await retention.delete()
    log_start = (await log.head()).log_start
    clock.advance(3_600_000_000)
    await retention.delete()

    assert (0, 8) == (log_start, (await log.head()).log_start)


async def test_page_of_large_events_ends_at_the_limit_of_bytes(log: EventLog, clock: ManualClock) -> None:
    """The following pages return the rest."""
    for first in range(1, 201, 10):
        large = [entry(each, of=event(size=EVENT_BYTES_MAX)) for each in range(first, first + 10)]
        await log.append(large, after=first - 1)
    reader = await new_reader(log, clock)
    sequences, sizes, after = list[int](), list[int](), BareSequence(position=0)
    more = True
    while more:
        page = await read_page(reader, FEED, size=1000, after=after)
        sequences += [each.sequence for each in page.entries]
        sizes.append(len(b"[" + b",".join(each.json for each in page.entries) + b"]"))
        after, more = BareSequence(position=page.cursor.position), page.more

    assert list(range(1, 201)) == sequences
    assert max(sizes) <= PAGE_BYTES_MAX < sum(sizes)


async def test_sparse_feed_is_read_in_bounded_requests(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose scan budget is spent returns its entries, an advanced cursor and `more`."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 2)
    await log.append([*entries(1, 98), entry(99, of=event(instance=5))], after=0)
    reader = await new_reader(log, clock)
    source = event(instance=5).identity.source
    pages, after = 0, BareSequence(position=0)
    while True:
        page = await read_page(reader, app_feed(TTD).where(*conditions(source=source)), size=5, after=after)
        pages += 1
        assert page.cursor.position > after.position
        after = BareSequence(position=page.cursor.position)
        if page.entries:
            break

    assert 99 == page.entries[0].sequence
    assert 1 < pages < 10


async def test_slow_store_ends_a_page_early(log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one slow scan the request returns the position it has examined."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 2)
    monkeypatch.setattr(cosmos, "SCAN_COMMITS_MAX", 2)
    monkeypatch.setattr(reader_module, "SCANS_SECONDS_MAX", 0.0)
    await log.append(entries(1, 99), after=0)
    reader = await new_reader(log, clock)
    feed = app_feed(TTD).where(*conditions(source="https://nowhere"))
    page = await read_page(reader, feed, size=5, after=BareSequence(position=0))

    assert (0, True) == (len(page.entries), page.more)
    assert 0 < page.cursor.position < 99


async def test_page_of_an_empty_log_has_a_cursor(log: EventLog, clock: ManualClock) -> None:
    """Both ends of an empty log are position 0."""
    page = await read_page(await new_reader(log, clock), FEED, size=5)

    assert (0, False) == (page.cursor.position, page.more)


async def test_retention_reads_the_log_start_at_most_once_a_second(log: EventLog, clock: ManualClock) -> None:
    """The number of readers does not matter. The store is read again when the oldest entry is too old."""
    await log.append([entry(sequence, time=sequence) for sequence in range(1, 10)], after=0)

    class CountingLog(FaultyLog):
        seeks = 0

        async def seek(self, time: int) -> int:
            self.seeks += 1
            return await super().seek(time)

    counting_log = CountingLog(log)
    retention = Retention(counting_log, clock=clock, keep=KEEP)
    clock.now, log_starts, head = KEEP, [], await log.head()
    for _ in range(2_000_000 // 250_000):
        log_starts += [(await retention.refresh(head)).log_start for _ in range(3)]
        clock.now += 1
    early_seeks = counting_log.seeks
    clock.now += 1_000_000

    assert ([0, 0, 0], 1) == (log_starts[:3], early_seeks)
    assert 9 == (await retention.refresh(head)).log_start
