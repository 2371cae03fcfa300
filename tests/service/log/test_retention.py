"""A store that deletes by age alone keeps its end: a marker comes before the last entry is old."""

import asyncio

import pytest

from eventfeed.domain.errors import Unavailable
from eventfeed.domain.ports import Head
from eventfeed.log.retention import LOG_START_INTERVAL, Retention
from eventfeed.log.sqlite.log import SqliteLog
from tests.support.engines import ManualClock
from tests.support.events import entries
from tests.support.faulty_log import FaultyLog


@pytest.mark.parametrize(
    ("ages", "time", "old"), [(True, 499, True), (True, 500, False), (False, 499, False), (True, 0, False)]
)
async def test_the_end_is_old_at_half_its_life(log: SqliteLog, ages: bool, time: int, old: bool) -> None:  # noqa: FBT001
    """An empty log has no end, and a store that keeps its end needs no marker."""
    double = FaultyLog(log)
    double.end_ages = ages
    retention = Retention(double, clock=ManualClock(1_000), keep=1_000)

    assert old == retention.end_is_old(Head(log="x", log_start=0, end_offset=bool(time), time=time))


async def test_many_readers_ask_for_the_floor_once(log: SqliteLog) -> None:
    """However many come while it is being found."""
    await log.append(entries(1, 9), after=0)
    request_began = Counting(log)
    retention, head = Retention(request_began, clock=ManualClock(5_000_000), keep=2_000_000), await log.head()
    floors = await asyncio.gather(*(retention.refresh(head) for _ in range(50)))

    assert ({2}, 1) == ({each.log_start for each in floors}, request_began.seeks)


async def test_a_floor_that_is_old_is_nobodys(log: SqliteLog) -> None:
    """After a quiet time all wait for the one that asks."""
    await log.append(entries(1, 9), after=0)
    request_began, watch = Counting(log), ManualClock(5_000_000)
    retention, head = Retention(request_began, clock=watch, keep=3_500_000), await log.head()
    await retention.refresh(head)
    watch.now += 5 * LOG_START_INTERVAL
    floors = await asyncio.gather(*(retention.refresh(head) for _ in range(50)))

    assert ({6}, 2) == ({each.log_start for each in floors}, request_began.seeks)


class Counting(FaultyLog):
    """Counts how often a place in time is asked for."""

    seeks, failing = 0, False

    async def seek(self, time: int) -> int:
        """Count and pass on."""
        self.seeks += 1
        await asyncio.sleep(0.01)
        if self.failing:
            raise Unavailable("the store is away")
        return await super().seek(time)


async def test_a_floor_that_cannot_be_found_fails_once_for_all(log: SqliteLog) -> None:
    """Nobody waits for another to fail first, and the next one asks again."""
    await log.append(entries(1, 9), after=0)
    request_began = Counting(log)
    request_began.failing = True
    retention, head = Retention(request_began, clock=ManualClock(5_000_000), keep=2_000_000), await log.head()
    failed = await asyncio.gather(*(retention.refresh(head) for _ in range(50)), return_exceptions=True)
    request_began.failing = False
    result = await retention.refresh(head)

    assert ({Unavailable}, 2, 2) == ({type(each) for each in failed}, request_began.seeks, result.log_start)
