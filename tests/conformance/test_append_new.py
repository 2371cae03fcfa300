"""`EventLog.append_new`: a lookup of events, and an append of those that are new, with no other entry between."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from eventfeed.domain.errors import TailMoved
from eventfeed.domain.event import App, Entry, Event
from eventfeed.domain.ports import EventLog, Head, Lookup, StoredEvent
from tests.emulator.running import new_database, open_log, skip_without_emulator
from tests.support.events import TTD, all_entries, entries, entry, event, look_up, new_entries

OTHER_APP = App(org="skd", name="tyveri")


async def test_lookup_has_position_and_content_of_an_identity(log: EventLog) -> None:
    """A second publish is compared with the position, the content and the write id of the first."""
    first, other = event("a"), event("b")
    await log.append([entry(1, of=first, write_id="try")], after=0)
    stored_event = StoredEvent(sequence=1, time=1_000_000, content=b"a", write_id="try")

    assert Lookup(identities={first.identity: stored_event}, owners={}) == await look_up(log, first, other)


async def test_same_id_of_another_source_is_not_found(log: EventLog) -> None:
    """`source` and `id` identify an event together."""
    await log.append([entry(1, of=event("a", instance=1))], after=0)

    assert {} == (await look_up(log, event("a", instance=2))).identities


async def test_owner_of_an_instance_is_its_first_publisher(log: EventLog) -> None:
    """Later entries of another app do not change the owner."""
    await log.append([entry(1, of=event(instance=7)), entry(2, of=event(instance=7, app=OTHER_APP))], after=0)
    lookup = await look_up(log, event(instance=7, app=OTHER_APP))

    assert [TTD] == list(lookup.owners.values())


async def test_repeated_identity_in_a_batch_finds_each_instance(log: EventLog) -> None:
    """The second event of an identity has no instance. The owner of the first one's instance is found all the same."""
    await log.append([entry(1, of=event(instance=7))], after=0)
    first = event("twice", instance=7, app=OTHER_APP)
    lookup = await look_up(log, first, msgspec.structs.replace(first, instance=None))

    assert [TTD] == list(lookup.owners.values())


async def test_plan_appends_after_the_end_that_it_gets(log: EventLog) -> None:
    """The end has the position, the time and the name of the log, and the entries are stored as they were planned."""
    await log.append(first := entries(1, 3), after=0)
    tail, ends, events = await log.head(), list[Head](), [event(), event()]

    def plan(lookup: Lookup, end: Head) -> Sequence[Entry]:
        ends.append(end)
        return new_entries(*events)(lookup, end)

    await log.append_new(events, tail=tail, plan=plan)

    assert [tail] == ends
    assert [*first, *(entry(4 + number, of=each, time=tail.time) for number, each in enumerate(events))] == list(
        await all_entries(log)
    )


async def test_plan_that_fails_appends_nothing(log: EventLog) -> None:
    """The caller gets the failure as it is, and the next append succeeds."""

    def fail(lookup: Lookup, end: Head) -> Sequence[Entry]:
        raise KeyError((lookup, end))

    with pytest.raises(KeyError):
        await log.append_new([event()], tail=await log.head(), plan=fail)
    await log.append_new([new := event()], tail=await log.head(), plan=new_entries(new))

    assert [new] == [each.event for each in await all_entries(log)]


async def test_plan_without_entries_appends_nothing(log: EventLog) -> None:
    """Every event was a repeat: the end of the log stays."""
    await log.append([entry(1, of=(same := event()))], after=0)
    before = await log.head()
    await log.append_new([same], tail=before, plan=new_entries(same))

    assert before == await log.head()


async def test_log_that_ends_before_the_tail_gets_no_entry(log: EventLog) -> None:
    """An older copy of the store was restored: what follows the tail would leave a gap, or take used numbers again."""
    await log.append(entries(1, 3), after=0)
    tail = msgspec.structs.replace(await log.head(), end_offset=5)
    with pytest.raises(TailMoved) as error:
        await log.append_new([event()], tail=tail, plan=new_entries(event()))

    assert (5, 3) == (error.value.expected, error.value.actual)
    assert 3 == len(await all_entries(log))


async def test_entry_that_came_after_the_tail_is_compared(log: EventLog) -> None:
    """The plan gets it in its lookup, or the append fails as a lost race. Nothing is stored twice, or in its place."""
    tail, other = await log.head(), event()
    await log.append([first := entry(1, of=other)], after=0)
    try:
        await log.append_new([other], tail=tail, plan=new_entries(other, event()))
        sequences = [1, 2]
    except TailMoved:
        sequences = [1]
    stored = await all_entries(log)

    assert first == stored[0]
    assert sequences == [each.sequence for each in stored]


async def test_one_of_many_racing_writers_stores_an_identity(log: EventLog) -> None:
    """Each finds the entry of the first one, or learns that the tail has moved."""
    tail, same = await log.head(), event()
    plans = [new_entries(same, write_id=str(number)) for number in range(20)]
    outcomes = await asyncio.gather(
        *(log.append_new([same], tail=tail, plan=plan) for plan in plans), return_exceptions=True
    )

    assert all(outcome is None or isinstance(outcome, TailMoved) for outcome in outcomes)
    assert [same] == [each.event for each in await all_entries(log)]


async def test_concurrent_appends_of_new_events_leave_no_gap(log: EventLog) -> None:
    """Writers that lose a race plan again for the new end; the numbers of all follow one another."""

    async def append() -> None:
        mine, is_in = event(), False
        while not is_in:
            try:
                await log.append_new([mine], tail=await log.head(), plan=new_entries(mine))
                is_in = True
            except TailMoved:
                await asyncio.sleep(0)

    await asyncio.gather(*(append() for _ in range(8)))

    assert list(range(1, 9)) == [each.sequence for each in await all_entries(log)]


async def test_entry_that_comes_after_the_lookup_on_cosmos_fails_the_append(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lookup and append use the same end of the log, so an equal event stored in between counts."""
    skip_without_emulator(emulator_url)
    async with new_database(emulator_url) as database:
        log, other = [await open_log(database, segment_entries=100) for _ in range(2)]
        same, find, tail = event(), log.find, await log.head()

        async def find_and_lose(events: Sequence[Event]) -> Lookup:
            lookup = await find(events)
            await other.append([entry(1, of=same)], after=0)
            return lookup

        monkeypatch.setattr(log, "find", find_and_lose)
        with pytest.raises(TailMoved) as error:
            await log.append_new([same], tail=tail, plan=new_entries(same))

        assert (0, 1) == (error.value.expected, error.value.actual)
        assert [same] == [each.event for each in await all_entries(log)]
