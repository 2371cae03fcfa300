"""Both ends: a time is a place, old entries go, the sequence goes on, and the last entry stays."""

import pytest

from eventfeed.domain.ports import EventLog
from tests.support.events import entries, entry


@pytest.mark.parametrize(("time", "place"), [(0, 0), (1_000_000, 0), (1_000_001, 1), (5_000_000, 4), (9_000_000, 5)])
async def test_a_time_is_a_place_in_the_log(log: EventLog, time: int, place: int) -> None:
    """Seeking gives the last position registered before a time."""
    await log.append(entries(1, 5), after=0)

    assert place == await log.seek(time)


async def test_entries_of_one_moment_are_on_one_side(log: EventLog) -> None:
    """Equal times are never split."""
    await log.append([entry(place, time=7) for place in range(1, 5)], after=0)

    assert [0, 4] == [await log.seek(7), await log.seek(8)]


async def test_old_entries_go_and_the_sequence_goes_on(log: EventLog) -> None:
    """The floor rises to the last entry before the time; the next append has the next number."""
    await log.append(entries(1, 5), after=0)
    log_start = await log.expire(before=3_000_000)
    await log.append([entry(6)], after=5)
    left = [each.sequence for each in await log.follow(after=log_start, limit=9)]

    assert (2, [3, 4, 5, 6]) == (log_start, left)


async def test_the_last_entry_never_goes(log: EventLog) -> None:
    """However old everything is, the end of the log stays, and with it the next number."""
    await log.append(entries(1, 5), after=0)
    log_start = await log.expire(before=2**60)
    head = await log.head()

    assert (4, 4, 5) == (log_start, head.log_start, head.end_offset)
    assert [5] == [each.sequence for each in await log.follow(after=4, limit=9)]


async def test_expiring_an_empty_log_changes_nothing(log: EventLog) -> None:
    """There is nothing to take."""
    assert 0 == await log.expire(before=2**60)


async def test_a_renamed_log_keeps_its_entries(log: EventLog) -> None:
    """Only the name changes, so that old cursors are refused."""
    await log.append(entries(1, 2), after=0)
    before = await log.head()
    name = await log.rename()
    after = await log.head()

    assert name == after.log != before.log
    assert (2, 0) == (after.end_offset, after.log_start)
