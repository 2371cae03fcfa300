"""`EventLog.append`: the next numbers, all or nothing, and only at the end of the log."""

import asyncio

import pytest

from eventfeed.domain.errors import TailMoved
from eventfeed.domain.feed import app_feed
from eventfeed.domain.ports import EventLog
from tests.support.events import TTD, all_entries, entries, entry, event, page_rows


async def test_entries_return_as_they_were_appended(log: EventLog) -> None:
    """A log returns the appended entries, in order."""
    batch = entries(1, 7)
    await log.append(batch, after=0)

    assert batch == await all_entries(log)


async def test_appends_of_any_size_make_one_sequence(log: EventLog) -> None:
    """Entries of batches of any size are followed, scanned and counted as one sequence."""
    population = entries(1, 60)
    for first, last in ((0, 5), (5, 14), (14, 15), (15, 41), (41, 42), (42, 60)):
        await log.append(population[first:last], after=first)
    scan = await log.scan(app_feed(TTD), after=8, through=33, limit=99)

    assert population == await all_entries(log)
    assert 60 == (await log.head()).end_offset
    assert (page_rows(population[8:33]), 33) == (page_rows(scan.entries), scan.examined)


async def test_append_behind_the_end_writes_nothing(log: EventLog) -> None:
    """The loser of a race learns the end of the log and leaves no trace."""
    first = entry(1)
    await log.append([first], after=0)

    with pytest.raises(TailMoved) as error:
        await log.append(entries(1, 2), after=0)

    assert (0, 1) == (error.value.expected, error.value.actual)
    assert [first] == await all_entries(log)


@pytest.mark.parametrize("after", range(1, 9))
async def test_append_after_any_earlier_position_writes_nothing(log: EventLog, after: int) -> None:
    """Also after one inside a batch, where a process may have stopped that reads the entries of another one."""
    await log.append(entries(1, 3), after=0)
    await log.append(entries(4, 9), after=3)
    head = await log.head()
    await log.follow(after=0, limit=after)
    with pytest.raises(TailMoved):
        await log.append([entry(after + 1)], after=after)

    assert head == await log.head()
    assert 9 == len(await all_entries(log))


async def test_append_past_the_end_writes_nothing(log: EventLog) -> None:
    """Sequences have no gaps: N+1 is created only if N exists."""
    with pytest.raises(TailMoved):
        await log.append([entry(6)], after=5)

    assert [] == list(await all_entries(log))


async def test_one_of_many_racing_writers_gets_a_position(log: EventLog) -> None:
    """Twenty writers append at one position: one succeeds, the others learn that the tail has moved."""
    batches = [[entry(1, write_id=str(number))] for number in range(20)]
    outcomes = await asyncio.gather(*(log.append(batch, after=0) for batch in batches), return_exceptions=True)
    winners = [batch for batch, outcome in zip(batches, outcomes, strict=True) if outcome is None]

    assert 19 == sum(isinstance(outcome, TailMoved) for outcome in outcomes)
    assert winners[0] == await all_entries(log)


async def test_event_without_an_app_returns_unchanged(log: EventLog) -> None:
    """An event without app, instance or resource returns without them."""
    entry_without_app = entry(1, of=event(app=None))
    await log.append([entry_without_app], after=0)

    assert [entry_without_app] == await all_entries(log)


async def test_batch_of_the_maximum_size_is_accepted(log: EventLog) -> None:
    """An engine accepts as many entries at once as it declares."""
    await log.append(entries(1, log.batch_entries_max), after=0)

    assert log.batch_entries_max == (await log.head()).end_offset
