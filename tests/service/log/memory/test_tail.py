"""The tail: the verified end of the log, with one shared read of the store for all readers, and bounded memory."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import app_feed
from eventfeed.domain.ports import EventLog, Head
from eventfeed.log.memory import recent_entries as recent
from eventfeed.log.memory import tail as module
from eventfeed.log.memory.tail import Tail
from eventfeed.log.memory.waiters import Waiter
from tests.support.events import TTD, entries, entry
from tests.support.faulty_log import FaultyLog


class CountingLog(FaultyLog):
    """A log that counts the reads of its head."""

    head_reads = 0

    async def head(self) -> Head:
        """Count the call, then see `EventLog.head`."""
        self.head_reads += 1
        return await super().head()


async def start_tail(log: EventLog) -> Tail:
    """Start a tail at the present end of the log, and return it."""
    tail = Tail(log)
    await tail.start()
    return tail


async def test_refresh_reads_entries_of_another_process(log: EventLog) -> None:
    """The end offset moves past the new entries, and the tail has them in memory."""
    tail = await start_tail(log)
    new_entries = entries(1, 5)
    await log.append(new_entries, after=0)
    head = await tail.refresh(past=1)

    assert 5 == head.end_offset
    assert new_entries[3:] == list(tail.entries_after(3) or ())


async def test_concurrent_refreshes_share_one_read(log: EventLog) -> None:
    """A thousand readers within one interval cost one read of the head."""
    counting_log = CountingLog(log)
    tail = await start_tail(counting_log)
    await asyncio.gather(*(tail.refresh() for _ in range(1000)))

    assert 2 == counting_log.head_reads


class LaggingLog(CountingLog):
    """A log of a store with replicas: the first reads of its head see an older end."""

    def __init__(self, log: EventLog, *, reads: int) -> None:
        super().__init__(log)
        self.lag_seconds_max, self._stale_reads = 60.0, reads
        self._older_head: Head | None = None

    async def head(self) -> Head:
        """See `EventLog.head`."""
        head = await super().head()
        self._older_head = self._older_head or head
        return self._older_head if self.head_reads <= self._stale_reads else head


async def test_position_of_another_process_is_reached_when_the_replica_has_caught_up(log: EventLog) -> None:
    """The first reads after the start of the tail see the end of before."""
    lagging_log = LaggingLog(log, reads=4)
    tail = await start_tail(lagging_log)
    await log.append(entries(1, 5), after=0)
    await tail.refresh(past=5)
    before = tail.head.end_offset
    await tail.reach(5)

    assert (0, 5, 5) == (before, tail.head.end_offset, lagging_log.head_reads)


async def test_position_beyond_the_log_is_given_up_when_no_replica_can_lag_so_long(log: EventLog) -> None:
    """A store without replicas is not asked again."""
    counting_log = CountingLog(log)
    counting_log.lag_seconds_max = 0.0
    tail = await start_tail(counting_log)
    await tail.reach(1)
    once = counting_log.head_reads
    counting_log.lag_seconds_max = 3 * module.REFRESH_SECONDS
    await tail.reach(1)

    assert 1 == once
    assert 2 <= counting_log.head_reads <= 4


async def test_position_that_no_process_can_have_written_is_given_up_at_once(log: EventLog) -> None:
    """A forged cursor costs its client nothing, so it must not cost a wait."""
    lagging_log = LaggingLog(log, reads=1_000)
    tail = await start_tail(lagging_log)
    await tail.reach(module.REACH_ENTRIES_MAX + 1)

    assert 1 == lagging_log.head_reads


async def test_bounded_number_of_callers_wait_for_a_position(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others come again in a second. When the callers have ended, the next one may wait."""
    monkeypatch.setattr(module, "REACH_CALLERS_MAX", 2)
    tail = await start_tail(LaggingLog(log, reads=1_000))
    callers = [asyncio.create_task(tail.reach(1)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refusal:
        await tail.reach(1)
    for each in callers:
        each.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    next_caller = asyncio.create_task(tail.reach(1))
    await asyncio.sleep(0)
    is_waiting = not next_caller.done()
    next_caller.cancel()

    assert (1, True) == (refusal.value.retry_seconds, is_waiting)


async def test_refresh_within_the_interval_reads_nothing(log: EventLog) -> None:
    """A second refresh right after the first uses its result."""
    counting_log = CountingLog(log)
    tail = await start_tail(counting_log)
    await tail.refresh()
    tail.fresh_until = float("inf")  # the interval does not end while the test runs
    await tail.refresh()

    assert 2 == counting_log.head_reads


async def test_position_beyond_the_end_forces_a_read(log: EventLog) -> None:
    """Another process may have appended: the end is read again before a cursor is rejected."""
    tail = await start_tail(log)
    await tail.refresh()
    await log.append(entries(1, 2), after=0)

    assert 2 == (await tail.refresh(past=2)).end_offset


async def test_position_beyond_the_end_is_not_answered_by_an_earlier_read(log: EventLog) -> None:
    """A read that began before the append cannot see the entry, so a second read follows."""
    read_began, release = asyncio.Event(), asyncio.Event()

    class SlowLog(FaultyLog):
        async def head(self) -> Head:
            head = await super().head()
            read_began.set()
            await release.wait()
            return head

    release.set()
    tail = await start_tail(SlowLog(log))
    release.clear()
    read_began.clear()
    early = asyncio.create_task(tail.refresh())
    await read_began.wait()
    await log.append(entries(1, 2), after=0)
    late = asyncio.create_task(tail.refresh(past=2))
    release.set()
    await early

    assert 2 == (await late).end_offset


async def test_two_thousand_waiters_cost_ten_reads_a_second(log: EventLog) -> None:
    """The tail reads the head once for all waiters, and reads no entries while there are no new ones."""
    tail = await start_tail(counting_log := CountingLog(log))
    waits = [asyncio.ensure_future(tail.wait(app_feed(TTD), Waiter(), past=0, until=1e12)) for _ in range(2_000)]
    before = counting_log.head_reads
    await asyncio.sleep(1.0)
    head_reads = counting_log.head_reads - before
    await tail.stop()
    await asyncio.gather(*waits)

    assert 1 <= head_reads <= 11


async def test_own_append_moves_the_end_without_a_read(log: EventLog) -> None:
    """Entries before the end are skipped."""
    tail = await start_tail(log)
    tail.advance(entries(1, 3))
    tail.advance(entries(2, 4))

    assert 4 == tail.head.end_offset
    assert [1, 2, 3, 4] == [each.sequence for each in tail.entries_after(0) or ()]


async def test_tail_at_a_gap_is_damage(log: EventLog) -> None:
    """The end offset stays before the gap."""

    class GappyLog(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            return [each for each in await super().follow(after=after, limit=limit) if each.sequence != 3]

    tail = await start_tail(GappyLog(log))
    await log.append(entries(1, 5), after=0)
    with pytest.raises(LogDamaged):
        await tail.refresh(past=1)

    assert 2 == tail.head.end_offset


async def test_end_before_the_verified_end_is_damage(log: EventLog) -> None:
    """A store restored from an older copy is not accepted as the same log."""
    tail = await start_tail(log)
    tail.advance(entries(1, 3))

    with pytest.raises(LogDamaged, match="older copy"):
        await tail.refresh(past=4)


async def test_refresh_of_a_renamed_log_returns_the_new_name(log: EventLog) -> None:
    """`eventfeed store new-log` renames a log while services run."""
    await log.append(entries(1, 2), after=0)
    tail = await start_tail(log)
    name = await log.rename()

    assert name == (await tail.refresh(past=99)).log


async def test_append_during_a_rename_is_kept(log: EventLog) -> None:
    """A read that began before an own append does not move the end back. The next read returns the new name."""

    class RenamingLog(FaultyLog):
        async def head(self) -> Head:
            head = await super().head()
            if head.log == name and tail.head.end_offset == 0:
                await log.append([new_entry], after=0)
                tail.advance([new_entry])
            return head

    new_entry, name = entry(1), ""
    tail = await start_tail(renaming_log := RenamingLog(log))
    name = await log.rename()
    await tail.refresh(past=1)

    assert (1, name) == (tail.head.end_offset, (await tail.refresh(past=2)).log)
    assert renaming_log.appends == []


async def test_entries_in_memory_are_bounded_by_count(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entries are evicted, and a reader before them uses the store."""
    monkeypatch.setattr(recent, "ENTRIES_MAX", 40)
    monkeypatch.setattr(recent, "EVICTION_ENTRIES", 5)
    tail = await start_tail(log)
    for sequence in range(1, 101):
        tail.advance([entry(sequence)])

    assert 30 <= len(tail.entries_after(70) or ()) <= 40
    assert tail.entries_after(50) is None


async def test_entries_in_memory_are_bounded_by_bytes(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large entries are evicted sooner."""
    monkeypatch.setattr(recent, "BYTES_MAX", 1_000)
    monkeypatch.setattr(recent, "EVICTION_ENTRIES", 5)
    tail = await start_tail(log)
    tail.advance(entries(1, 50))

    assert tail.entries_after(40) is None
    assert () == tail.entries_after(50)


@contextlib.asynccontextmanager
async def fill_memory_of(tail: Tail) -> AsyncIterator[None]:
    """Fill the memory of a tail while the block lasts."""
    task = asyncio.create_task(tail.fill_memory())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def sequences_in_memory(tail: Tail, *, after: int) -> Sequence[int]:
    """The sequences in memory after this position, as soon as memory reaches back to it."""
    async with fill_memory_of(tail):
        for _ in range(10_000):
            if (result := tail.entries_after(after)) is not None:
                return [each.sequence for each in result]
            await asyncio.sleep(0.001)
    raise AssertionError(f"memory does not reach back to {after}")


async def test_tail_far_behind_is_reset_to_the_end(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tail does not follow every entry up to the end. Memory is filled with the newest entries."""
    monkeypatch.setattr(module, "ENTRIES_MAX", 10)
    tail = await start_tail(log)
    await log.append(entries(1, 30), after=0)

    assert 30 == (await tail.refresh(past=30)).end_offset
    assert tail.entries_after(29) is None
    assert list(range(21, 31)) == await sequences_in_memory(tail, after=20)
    assert tail.entries_after(19) is None


async def test_new_tail_fills_memory_with_earlier_entries(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that arrive meanwhile are kept too, and all of them are in the index."""
    monkeypatch.setattr(module, "FILL_ENTRIES_MAX", 10)
    await log.append(entries(1, 45), after=0)

    class GrowingLog(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            if after == 15:
                tail.advance([entry(46)])
            return result

    tail = await start_tail(GrowingLog(log))

    assert list(range(1, 47)) == await sequences_in_memory(tail, after=0)
    result = tail.recent.scan(app_feed(TTD), after=40, through=46, limit=50)
    assert result is not None
    assert list(range(41, 47)) == [each.sequence for each in result.entries]


async def test_filling_of_memory_stops_at_its_limit(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large entries reach the limit sooner."""
    monkeypatch.setattr(module, "FILL_ENTRIES_MAX", 10)
    monkeypatch.setattr(module, "BYTES_MAX", 1)
    await log.append(entries(1, 45), after=0)
    tail = await start_tail(log)

    assert list(range(36, 46)) == await sequences_in_memory(tail, after=35)
    assert tail.entries_after(34) is None


async def test_entries_read_for_a_full_memory_are_discarded(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is already full of newer entries, so the older ones would leave a gap."""
    monkeypatch.setattr(recent, "ENTRIES_MAX", 20)
    monkeypatch.setattr(recent, "EVICTION_ENTRIES", 5)
    await log.append(entries(1, 30), after=0)
    read = asyncio.Event()

    class GrowingLog(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            tail.advance(entries(31, 60))
            read.set()
            return result

    tail = await start_tail(GrowingLog(log))
    async with fill_memory_of(tail):
        await read.wait()
        await asyncio.sleep(0.01)

    assert tail.entries_after(30) is None
    assert list(range(46, 61)) == [each.sequence for each in tail.entries_after(45) or ()]


@pytest.mark.parametrize(("missing_entries", "last_absent"), [(range(1, 3), 2), (range(1, 31), 30), (range(0), 30)])
async def test_memory_has_no_gap_after_a_failed_read(log: EventLog, missing_entries: range, last_absent: int) -> None:
    """If the store lacks entries or does not respond, readers of these entries use the store."""
    await log.append(entries(1, 30), after=0)
    read = asyncio.Event()

    class GappyLog(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            read.set()
            if not missing_entries:
                raise Unavailable("The store does not respond.")
            return [each for each in result if each.sequence not in missing_entries]

    tail = await start_tail(GappyLog(log))
    async with fill_memory_of(tail):
        await read.wait()
        tail.advance([entry(31)])
        for _ in range(10_000):
            if len(tail.entries_after(last_absent) or ()) == 31 - last_absent:
                break
            await asyncio.sleep(0.001)

    assert tail.entries_after(last_absent - 1) is None
    entries_after = tail.entries_after(last_absent) or ()
    assert list(range(last_absent + 1, 32)) == [each.sequence for each in entries_after]


@pytest.mark.parametrize("position", [2, 17, 29, 30])
async def test_hole_before_the_start_ends_reads_until_it_is_repaired(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, position: int
) -> None:
    """The tail finds it while it fills memory, and reads nothing as long as it is there."""
    monkeypatch.setattr(module, "REPAIR_SECONDS", 0.01)
    monkeypatch.setattr(module, "FILL_ENTRIES_MAX", 10)
    await log.append(entries(1, 30), after=0)
    is_repaired = False

    class HoleLog(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            return result if is_repaired else [each for each in result if each.sequence != position]

    tail = await start_tail(HoleLog(log))
    async with fill_memory_of(tail):
        while tail._damage is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        with pytest.raises(LogDamaged, match=str(position)):
            await tail.refresh()
        is_repaired = True
        assert list(range(1, 31)) == await sequences_in_memory(tail, after=0)
        while tail._damage is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    assert 30 == (await tail.refresh()).end_offset
    assert ["the log is not served", "the log is served again"] == [
        each.getMessage().split(":")[0] for each in caplog.records if "served" in each.getMessage()
    ]


async def test_entries_read_before_a_reset_are_discarded(log: EventLog) -> None:
    """An older copy is restored while memory fills, and the log ends earlier."""
    await log.append(entries(1, 30), after=0)
    read, go_on, is_restored = asyncio.Event(), asyncio.Event(), False

    class RestoredLog(FaultyLog):
        async def head(self) -> Head:
            head = await super().head()
            return Head(log="restored", log_start=0, end_offset=3, time=head.time) if is_restored else head

        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            read.set()
            await go_on.wait()
            return result

    tail = await start_tail(RestoredLog(log))
    async with fill_memory_of(tail):
        await read.wait()
        is_restored = True
        await tail.refresh(past=99)
        go_on.set()
        await asyncio.sleep(0.05)

    assert ("restored", 3) == (tail.head.log, tail.head.end_offset)
    assert [1, 2, 3] == [each.sequence for each in tail.entries_after(0) or ()]


class UnreadableLog(FaultyLog):
    """A log whose head cannot be read while `broken`."""

    broken = False

    async def head(self) -> Head:
        """See `EventLog.head`."""
        if self.broken:
            raise Unavailable("the store does not respond")
        return await super().head()


async def test_only_reads_that_fail_make_the_tail_stale(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle process is not stale. After a failure the staleness grows until a read succeeds."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    unreadable_log = UnreadableLog(log)
    tail = await start_tail(unreadable_log)
    await tail.refresh()
    clock[0] += 60
    idle = tail.staleness
    unreadable_log.broken = True
    with pytest.raises(Unavailable):
        await tail.refresh()
    clock[0] += 5
    failing = tail.staleness
    unreadable_log.broken = False
    await tail.refresh()

    assert [0.0, 5.0, 0.0] == [idle, failing, tail.staleness]
