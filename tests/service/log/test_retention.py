"""Retention: markers for a store that deletes by age alone, shared reads of the log start, and wrong clocks."""

import asyncio
import logging

import pytest

from eventfeed.domain.errors import Unavailable
from eventfeed.domain.ports import EventLog, Head
from eventfeed.log.retention import CONFIRM_TIME, LOG_START_INTERVAL, LOG_START_INTERVAL_MAX, Retention
from eventfeed.log.sqlite.log import SqliteLog
from tests.support.engines import ManualClock
from tests.support.events import entries, entry
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


HOUR = 3_600_000_000
DAY = 24 * HOUR
KEEP = 2 * DAY
# The age of an entry that may be deleted.
AGE = KEEP + HOUR


async def log_of_five_days(log: EventLog, clock: ManualClock) -> Retention:
    """Append an entry an hour for five days up to the present, and return the retention of a new process."""
    times = range(clock.now - 5 * DAY, clock.now + 1, HOUR)
    await log.append([entry(number, time=time) for number, time in enumerate(times, start=1)], after=0)
    offset = clock.offset
    clock.set_reference(earliest=offset, latest=offset)
    return Retention(log, clock=clock, keep=KEEP)


async def oldest_age(log: EventLog, clock: ManualClock) -> int:
    """Return the age of the oldest entry in the store by the right time."""
    head = await log.head()
    (oldest,) = await log.follow(after=head.log_start, limit=1)
    return clock.now - oldest.time


@pytest.mark.parametrize("step", [-5 * HOUR, 3 * HOUR, 60 * HOUR, 91 * DAY])
async def test_wrong_clock_deletes_and_hides_nothing(log: EventLog, clock: ManualClock, step: int) -> None:
    """A process that has run for long deletes no entry early, and its feeds start where they should."""
    retention = await log_of_five_days(log, clock)
    clock.check()
    clock.advance(CONFIRM_TIME)
    head = await log.head()
    expected = await retention.refresh(head)
    clock.now += step
    await retention.delete()
    corrected = await retention.refresh(head)
    applied = retention.apply(head)
    clock.now -= step

    assert (0, 5 * DAY + CONFIRM_TIME) == ((await log.head()).log_start, await oldest_age(log, clock))
    assert expected.log_start == corrected.log_start == (applied or head).log_start
    assert 0 < expected.log_start < head.end_offset


async def test_new_process_deletes_what_an_entry_of_yesterday_confirms(log: EventLog, clock: ManualClock) -> None:
    """The rest follows when the process has compared its clock for a day. Nothing is told: this is every start."""
    retention = await log_of_five_days(log, clock)
    await retention.delete()
    at_start = await oldest_age(log, clock)
    clock.advance(CONFIRM_TIME)
    await retention.delete()

    assert (AGE + DAY + HOUR, AGE) == (at_start, await oldest_age(log, clock))
    assert "" == retention.notice


@pytest.mark.parametrize("step", [60 * HOUR, 91 * DAY])
async def test_wrong_clock_of_a_first_process_deletes_nothing_early(
    log: EventLog, clock: ManualClock, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    """Nothing shows that its clock is wrong, but one reading is not enough. The notice names the command."""
    await log_of_five_days(log, clock)
    await log.expire(before=clock.now - AGE)
    wrong = ManualClock(clock.now + step)
    retention = Retention(log, clock=wrong, keep=KEEP)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await retention.delete()
            wrong.advance(60_000_000)

    assert AGE == await oldest_age(log, clock)
    assert "eventfeed store trim --before 20" in retention.notice
    assert 1 == len(caplog.records)


async def test_service_that_was_down_for_a_month_deletes_after_a_day(log: EventLog, clock: ManualClock) -> None:
    """It needs no operator, and the notice ends."""
    retention = await log_of_five_days(log, clock)
    later = ManualClock(clock.now + 30 * DAY)
    retention = Retention(log, clock=later, keep=KEEP)
    await retention.delete()
    notice, log_start = retention.notice, (await log.head()).log_start
    later.advance(CONFIRM_TIME)
    await retention.delete()
    head = await log.head()

    assert ("", True, head.end_offset - 1) == (retention.notice, bool(notice), head.log_start)
    assert log_start < head.end_offset - 1


async def test_events_after_a_pause_confirm_the_clock_within_a_day(log: EventLog, clock: ManualClock) -> None:
    """A service that starts every few hours deletes too: the log itself shows the time that has come."""
    await log_of_five_days(log, clock)
    end = (await log.head()).end_offset
    clock.advance(60 * HOUR)
    await log.append([entry(end + 1, time=clock.now)], after=end)
    clock.advance(DAY + 1)
    await log.append([entry(end + 2, time=clock.now)], after=end + 1)
    await Retention(log, clock=ManualClock(clock.now), keep=KEEP).delete()

    assert AGE + DAY + HOUR >= await oldest_age(log, clock)


async def test_error_of_the_clock_begins_the_day_again(log: EventLog, clock: ManualClock) -> None:
    """After the correction the log start moves as in a new process."""
    retention = await log_of_five_days(log, clock)
    clock.check()
    clock.advance(CONFIRM_TIME)
    for step in (60 * HOUR, -60 * HOUR):
        clock.now += step
        await retention.delete()

    assert await oldest_age(log, clock) > AGE + DAY


async def test_log_start_is_read_again_after_a_minute(log: SqliteLog) -> None:
    """A clock that was wrong at the last read does not count for long, although no entry expires."""
    await log.append(entries(1, 9), after=0)
    counting_log, clock = CountingLog(log), ManualClock(5_000_000)
    retention, head = Retention(counting_log, clock=clock, keep=10**15), await log.head()
    for pause in (0, LOG_START_INTERVAL_MAX - 1, 1):
        clock.advance(pause)
        await retention.refresh(head)

    assert 2 == counting_log.seeks
