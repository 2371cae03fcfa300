"""Retention: markers for a store that deletes by age alone, and shared reads of the log start."""

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
    ("end_ages", "time", "is_old"), [(True, 499, True), (True, 500, False), (False, 499, False), (True, 0, False)]
)
async def test_end_is_old_after_half_of_the_retention(log: SqliteLog, end_ages: bool, time: int, is_old: bool) -> None:  # noqa: FBT001
    """An empty log needs no marker, nor does a store that keeps its last entry."""
    faulty_log = FaultyLog(log)
    faulty_log.end_ages = end_ages
    retention = Retention(faulty_log, clock=ManualClock(1_000), keep=1_000)

    assert is_old == retention.end_is_old(Head(log="x", log_start=0, end_offset=bool(time), time=time))


async def test_concurrent_readers_share_one_read_of_the_log_start(log: SqliteLog) -> None:
    """All of them get its result."""
    await log.append(entries(1, 9), after=0)
    counting_log = CountingLog(log)
    retention, head = Retention(counting_log, clock=ManualClock(5_000_000), keep=2_000_000), await log.head()
    heads = await asyncio.gather(*(retention.refresh(head) for _ in range(50)))

    assert ({2}, 1) == ({each.log_start for each in heads}, counting_log.seeks)


async def test_log_start_beyond_its_interval_is_read_again_once(log: SqliteLog) -> None:
    """Concurrent readers wait for the one read, and none of them uses the old value."""
    await log.append(entries(1, 9), after=0)
    counting_log, clock = CountingLog(log), ManualClock(5_000_000)
    retention, head = Retention(counting_log, clock=clock, keep=3_500_000), await log.head()
    await retention.refresh(head)
    clock.now += 5 * LOG_START_INTERVAL
    heads = await asyncio.gather(*(retention.refresh(head) for _ in range(50)))

    assert ({6}, 2) == ({each.log_start for each in heads}, counting_log.seeks)


class CountingLog(FaultyLog):
    """A log that counts seeks. Each takes 10 ms, and fails while `is_failing` is true."""

    seeks, is_failing = 0, False

    async def seek(self, time: int) -> int:
        """Count the call, then see `EventLog.seek`."""
        self.seeks += 1
        await asyncio.sleep(0.01)
        if self.is_failing:
            raise Unavailable("the store does not respond")
        return await super().seek(time)


async def test_failed_read_of_the_log_start_fails_all_readers_at_once(log: SqliteLog) -> None:
    """Concurrent readers share the failure, and the next reader reads the store again."""
    await log.append(entries(1, 9), after=0)
    counting_log = CountingLog(log)
    counting_log.is_failing = True
    retention, head = Retention(counting_log, clock=ManualClock(5_000_000), keep=2_000_000), await log.head()
    outcomes = await asyncio.gather(*(retention.refresh(head) for _ in range(50)), return_exceptions=True)
    counting_log.is_failing = False
    head = await retention.refresh(head)

    assert ({Unavailable}, 2, 2) == ({type(each) for each in outcomes}, counting_log.seeks, head.log_start)
