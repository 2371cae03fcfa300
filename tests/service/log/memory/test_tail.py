"""The tail: the verified end of the log, one look for however many ask."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import app_feed
from eventfeed.domain.ports import EventLog, Head
from eventfeed.log.memory import recent_entries as recent
from eventfeed.log.memory import tail as module
from eventfeed.log.memory.tail import Tail
from tests.support.events import TTD, entries, entry
from tests.support.faulty_log import FaultyLog


class CountingLog(FaultyLog):
    """Counts the looks at the end of the log."""

    looks = 0

    async def head(self) -> Head:
        """Count, and pass on."""
        self.looks += 1
        return await super().head()


async def started(log: EventLog) -> Tail:
    """A tail that knows the end of the log as it is now."""
    tail = Tail(log)
    await tail.start()
    return tail


async def test_a_look_sees_what_another_process_appended(log: EventLog) -> None:
    """The end moves over entries that others wrote, and holds them."""
    tail = await started(log)
    new_entries = entries(1, 5)
    await log.append(new_entries, after=0)
    head = await tail.refresh(past=1)

    assert 5 == head.end_offset
    assert new_entries[3:] == list(tail.entries_after(3) or ())


async def test_however_many_ask_the_store_is_asked_once(log: EventLog) -> None:
    """A thousand readers within one interval cost one look."""
    counting = CountingLog(log)
    tail = await started(counting)
    await asyncio.gather(*(tail.refresh() for _ in range(1000)))

    assert 2 == counting.looks


async def test_within_the_interval_nobody_asks(log: EventLog) -> None:
    """A second look right after the first costs the store nothing."""
    counting = CountingLog(log)
    tail = await started(counting)
    await tail.refresh()
    await tail.refresh()

    assert 2 == counting.looks


async def test_a_place_ahead_forces_a_look(log: EventLog) -> None:
    """Another process may have been faster: a cursor ahead is looked up before it is called future."""
    tail = await started(log)
    await tail.refresh()
    await log.append(entries(1, 2), after=0)

    assert 2 == (await tail.refresh(past=2)).end_offset


async def test_a_look_under_way_is_not_trusted_for_a_place_ahead(log: EventLog) -> None:
    """A look that began before the entry was written proves nothing: another one is made."""
    request_began, release = asyncio.Event(), asyncio.Event()

    class Slow(FaultyLog):
        async def head(self) -> Head:
            head = await super().head()
            request_began.set()
            await release.wait()
            return head

    release.set()
    tail = await started(Slow(log))
    release.clear()
    request_began.clear()
    early = asyncio.create_task(tail.refresh())
    await request_began.wait()
    await log.append(entries(1, 2), after=0)
    late = asyncio.create_task(tail.refresh(past=2))
    release.set()
    await early

    assert 2 == (await late).end_offset


async def test_two_thousand_who_wait_cost_ten_looks_a_second(log: EventLog) -> None:
    """The log is followed once for all of them, and a look with nothing new is one read."""
    tail = await started(counting := CountingLog(log))
    with contextlib.ExitStack() as waits:
        for _ in range(2_000):
            waits.enter_context(tail.wait(app_feed(TTD), past=0))
        before = counting.looks
        await asyncio.sleep(1.0)
        looks = counting.looks - before
    await tail.stop()

    assert 1 <= looks <= 11


async def test_own_appends_reach_it_at_once(log: EventLog) -> None:
    """The tail moves over own entries without reading the store, and skips those before its end."""
    tail = await started(log)
    tail.learn(entries(1, 3))
    tail.learn(entries(2, 4))

    assert 4 == tail.head.end_offset
    assert [1, 2, 3, 4] == [each.sequence for each in tail.entries_after(0) or ()]


async def test_a_hole_stops_the_tail(log: EventLog) -> None:
    """A follower that meets a hole alarms, and shows nothing beyond it."""

    class GappyLog(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            return [each for each in await super().follow(after=after, limit=limit) if each.sequence != 3]

    tail = await started(GappyLog(log))
    await log.append(entries(1, 5), after=0)
    with pytest.raises(LogDamaged):
        await tail.refresh(past=1)

    assert 2 == tail.head.end_offset


async def test_an_end_before_the_verified_one_is_damage(log: EventLog) -> None:
    """A store restored from an older copy must not pass for the log it was."""
    tail = await started(log)
    tail.learn(entries(1, 3))

    with pytest.raises(LogDamaged, match="older copy"):
        await tail.refresh(past=4)


async def test_a_renamed_log_is_taken_up_anew(log: EventLog) -> None:
    """After `store new-log` the tail answers with the new name."""
    await log.append(entries(1, 2), after=0)
    tail = await started(log)
    name = await log.rename()

    assert name == (await tail.refresh(past=99)).log


async def test_an_append_while_the_log_is_renamed_is_kept(log: EventLog) -> None:
    """A look that began before an own append does not take its place away; the next one has the new name."""

    class Renaming(FaultyLog):
        async def head(self) -> Head:
            head = await super().head()
            if head.log == name and tail.head.end_offset == 0:
                await log.append([new_entries], after=0)
                tail.learn([new_entries])
            return head

    new_entries, name = entry(1), ""
    tail = await started(renaming := Renaming(log))
    name = await log.rename()
    await tail.refresh(past=1)

    assert (1, name) == (tail.head.end_offset, (await tail.refresh(past=2)).log)
    assert renaming.appends == []


async def test_memory_is_bounded_by_count(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entries are let go; a reader further back is sent to the store."""
    monkeypatch.setattr(recent, "ENTRIES_MAX", 40)
    monkeypatch.setattr(recent, "EVICTION_ENTRIES", 5)
    tail = await started(log)
    for place in range(1, 101):
        tail.learn([entry(place)])

    assert 30 <= len(tail.entries_after(70) or ()) <= 40
    assert tail.entries_after(50) is None


async def test_memory_is_bounded_by_bytes(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large entries are let go sooner."""
    monkeypatch.setattr(recent, "BYTES_MAX", 1_000)
    monkeypatch.setattr(recent, "EVICTION_ENTRIES", 5)
    tail = await started(log)
    tail.learn(entries(1, 50))

    assert tail.entries_after(40) is None
    assert () == tail.entries_after(50)


@contextlib.asynccontextmanager
async def remembering(tail: Tail) -> AsyncIterator[None]:
    """A tail that fills its memory while the block lasts."""
    task = asyncio.create_task(tail.fill_memory())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def remembered(tail: Tail, *, after: int) -> Sequence[int]:
    """The places in memory after this one, as soon as memory reaches back to it."""
    async with remembering(tail):
        for _ in range(10_000):
            if (result := tail.entries_after(after)) is not None:
                return [each.sequence for each in result]
            await asyncio.sleep(0.001)
    raise AssertionError(f"memory does not reach back to {after}")


async def test_a_tail_far_behind_starts_again_at_the_end(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long sleep the end is taken as at the start, not followed entry by entry; memory fills up to it."""
    monkeypatch.setattr(module, "ENTRIES_MAX", 10)
    tail = await started(log)
    await log.append(entries(1, 30), after=0)

    assert 30 == (await tail.refresh(past=30)).end_offset
    assert tail.entries_after(29) is None
    assert list(range(21, 31)) == await remembered(tail, after=20)
    assert tail.entries_after(19) is None


async def test_a_tail_that_starts_remembers_what_was_there(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where more comes meanwhile; it is found by what it is looked up by."""
    monkeypatch.setattr(module, "FILL_ENTRIES_MAX", 10)
    await log.append(entries(1, 45), after=0)

    class Growing(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            if after == 15:
                tail.learn([entry(46)])
            return result

    tail = await started(Growing(log))

    assert list(range(1, 47)) == await remembered(tail, after=0)
    result = tail.recent.scan(app_feed(TTD), after=40, through=46, limit=50)
    assert result is not None
    assert list(range(41, 47)) == [each.sequence for each in result.entries]


async def test_no_more_is_read_than_memory_has_room_for(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large entries fill it sooner."""
    monkeypatch.setattr(module, "FILL_ENTRIES_MAX", 10)
    monkeypatch.setattr(module, "BYTES_MAX", 1)
    await log.append(entries(1, 45), after=0)
    tail = await started(log)

    assert list(range(36, 46)) == await remembered(tail, after=35)
    assert tail.entries_after(34) is None


async def test_so_much_comes_that_there_is_nothing_to_fill(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries read meanwhile would leave a gap."""
    monkeypatch.setattr(recent, "ENTRIES_MAX", 20)
    monkeypatch.setattr(recent, "EVICTION_ENTRIES", 5)
    await log.append(entries(1, 30), after=0)
    read = asyncio.Event()

    class Growing(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            tail.learn(entries(31, 60))
            read.set()
            return result

    tail = await started(Growing(log))
    async with remembering(tail):
        await read.wait()
        await asyncio.sleep(0.01)

    assert tail.entries_after(30) is None
    assert list(range(46, 61)) == [each.sequence for each in tail.entries_after(45) or ()]


@pytest.mark.parametrize(
    ("missing_entries", "remaining_entries"), [(range(1, 3), 2), (range(3, 4), 30), (range(1, 31), 30), (range(0), 30)]
)
async def test_memory_has_no_hole(log: EventLog, missing_entries: range, remaining_entries: int) -> None:
    """If the store lacks the entries or does not respond, readers ask it later."""
    await log.append(entries(1, 30), after=0)
    read = asyncio.Event()

    class GappyLog(FaultyLog):
        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            read.set()
            if not missing_entries:
                raise Unavailable("The store does not answer.")
            return [each for each in result if each.sequence not in missing_entries]

    tail = await started(GappyLog(log))
    async with remembering(tail):
        await read.wait()
        await asyncio.sleep(0.01)
        tail.learn([entry(31)])
        await asyncio.sleep(0.01)

    assert tail.entries_after(remaining_entries - 1) is None
    entries_after = tail.entries_after(remaining_entries) or ()
    assert list(range(remaining_entries + 1, 32)) == [each.sequence for each in entries_after]


async def test_what_was_read_of_another_log_is_not_remembered(log: EventLog) -> None:
    """The end is taken anew while memory fills: an older copy was restored, and ends before."""
    await log.append(entries(1, 30), after=0)
    read, go_on, restoration = asyncio.Event(), asyncio.Event(), False

    class RestoredLog(FaultyLog):
        async def head(self) -> Head:
            head = await super().head()
            return Head(log="restored", log_start=0, end_offset=3, time=head.time) if restoration else head

        async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
            result = await super().follow(after=after, limit=limit)
            read.set()
            await go_on.wait()
            return result

    tail = await started(RestoredLog(log))
    async with remembering(tail):
        await read.wait()
        restoration = True
        await tail.refresh(past=99)
        go_on.set()
        await asyncio.sleep(0.05)

    assert ("restored", 3) == (tail.head.log, tail.head.end_offset)
    assert [1, 2, 3] == [each.sequence for each in tail.entries_after(0) or ()]
