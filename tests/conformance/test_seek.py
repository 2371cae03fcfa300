"""`EventLog.seek`: the position of a time."""

import pytest

from eventfeed.domain.ports import EventLog
from tests.support.events import entries, entry


@pytest.mark.parametrize(("time", "position"), [(0, 0), (1_000_000, 0), (1_000_001, 1), (5_000_000, 4), (9_000_000, 5)])
async def test_seek_returns_the_last_position_before_a_time(log: EventLog, time: int, position: int) -> None:
    """Every time maps to one position."""
    await log.append(entries(1, 5), after=0)

    assert position == await log.seek(time)


async def test_seek_does_not_separate_entries_of_one_time(log: EventLog) -> None:
    """All entries of a time are before the position, or all are after it."""
    await log.append([entry(sequence, time=7) for sequence in range(1, 5)], after=0)

    assert [0, 4] == [await log.seek(7), await log.seek(8)]
