"""Appending: the next numbers, all or nothing, and only where the log ends."""

import asyncio

import pytest

from eventfeed.domain.errors import TailMoved
from eventfeed.domain.feed import AppFeed, Query
from eventfeed.domain.ports import EventLog, Head
from tests.support.events import TTD, entries, entry, event, everything


async def test_entries_come_back_as_they_were_appended(log: EventLog) -> None:
    """What is appended is what is followed, in order."""
    written = entries(1, 7)
    await log.append(written, after=0)

    assert written == await everything(log)


async def test_the_head_moves_with_the_append(log: EventLog) -> None:
    """The end of the log is the last entry appended, and its time."""
    before = await log.head()
    await log.append(entries(1, 3), after=0)

    assert Head(log=before.log, log_start=0, end_offset=3, time=3_000_000) == await log.head()


async def test_appends_of_any_size_follow_one_another(log: EventLog) -> None:
    """However many entries come at once, they are followed, scanned and counted as one run."""
    written = entries(1, 60)
    for first, last in ((0, 5), (5, 14), (14, 15), (15, 41), (41, 42), (42, 60)):
        await log.append(written[first:last], after=first)
    scan = await log.scan(Query(feed=AppFeed(app=TTD)), after=8, through=33, limit=99)

    assert written == await everything(log)
    assert 60 == (await log.head()).end_offset
    assert (written[8:33], 33) == (list(scan.entries), scan.examined)


async def test_a_stale_append_writes_nothing(log: EventLog) -> None:
    """The loser of a race learns where the log ends and leaves no trace."""
    first = entry(1)
    await log.append([first], after=0)

    with pytest.raises(TailMoved) as lost:
        await log.append(entries(1, 2), after=0)

    assert (0, 1) == (lost.value.expected, lost.value.actual)
    assert [first] == await everything(log)


async def test_an_append_past_the_end_writes_nothing(log: EventLog) -> None:
    """A hole cannot be made: N+1 is created only when N exists."""
    with pytest.raises(TailMoved):
        await log.append([entry(6)], after=5)

    assert [] == list(await everything(log))


async def test_of_many_racing_writers_one_wins_each_place(log: EventLog) -> None:
    """Twenty writers want the same place; one gets it, the others are told."""
    rivals = [[entry(1, write_id=str(number))] for number in range(20)]
    outcomes = await asyncio.gather(*(log.append(rival, after=0) for rival in rivals), return_exceptions=True)
    won = [rival for rival, outcome in zip(rivals, outcomes, strict=True) if outcome is None]

    assert 19 == sum(isinstance(outcome, TailMoved) for outcome in outcomes)
    assert won[0] == await everything(log)


async def test_an_event_of_no_app_is_kept_whole(log: EventLog) -> None:
    """An event without app, instance or resource comes back without them."""
    plain = entry(1, of=event(app=None))
    await log.append([plain], after=0)

    assert [plain] == await everything(log)


async def test_a_whole_batch_fits(log: EventLog) -> None:
    """An engine takes as many entries at once as it says."""
    await log.append(entries(1, log.batch_entries_max), after=0)

    assert log.batch_entries_max == (await log.head()).end_offset
