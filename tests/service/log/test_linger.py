"""Batches that grow: a busy appender waits a moment for more publishes, an idle one never does."""

import asyncio
from collections.abc import Coroutine, Sequence

from eventfeed.domain.event import Entry
from eventfeed.domain.ports import EventLog
from eventfeed.log.appender import Appender
from tests.support.engines import ManualClock, running_appender
from tests.support.events import event, submission
from tests.support.faulty_log import FaultyLog

# Longer than any test: an appender that waited for this time would be noticed.
FOREVER = 3_600.0


class LingeringLog(FaultyLog):
    """A log with a linger time, whose appends wait until the test lets them end."""

    def __init__(self, log: EventLog, *, seconds: float) -> None:
        super().__init__(log)
        self.linger_seconds_max = seconds
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """Append when the test permits it."""
        self.append_started.set()
        await self.may_end.wait()
        await super().append(entries, after=after)

    @property
    def sizes(self) -> list[int]:
        """The number of entries of each append."""
        return [len(entries) for _, entries in self.appends]


async def publish(appender: Appender, count: int = 1) -> None:
    """Publish one event after the other."""
    for _ in range(count):
        await appender.publish(submission(event()))


async def gather_during_first(
    lingering: LingeringLog, appender: Appender, publishes: Sequence[Coroutine[None, None, None]]
) -> None:
    """Start the first publish, and the others during its append."""
    lingering.may_end.clear()
    first = asyncio.create_task(publishes[0])
    await lingering.append_started.wait()
    others = [asyncio.create_task(each) for each in publishes[1:]]
    await asyncio.sleep(0)
    assert len(others) == appender.depth
    lingering.may_end.set()
    await asyncio.gather(first, *others)


async def test_idle_appender_never_waits(log: EventLog, clock: ManualClock) -> None:
    """One publisher after the other causes an append each, at once."""
    lingering = LingeringLog(log, seconds=FOREVER)
    async with running_appender(lingering, clock=clock) as (appender, _):
        await publish(appender, 3)

    assert [1, 1, 1] == lingering.sizes


async def test_busy_appender_waits_for_the_publishers_of_the_last_batch(log: EventLog, clock: ManualClock) -> None:
    """Those that got receipts come again, and join those that have waited. Then the batch waits no longer."""
    lingering = LingeringLog(log, seconds=FOREVER)
    async with running_appender(lingering, clock=clock) as (appender, _):
        await gather_during_first(
            lingering, appender, [publish(appender, 3)] + [publish(appender, 2) for _ in range(3)]
        )

    assert [1, 4, 4] == lingering.sizes


async def test_full_batch_is_written_at_once(log: EventLog, clock: ManualClock) -> None:
    """The publishes that do not fit into it are left for the next one."""
    lingering = LingeringLog(log, seconds=FOREVER)
    lingering.batch_entries_max = 2
    async with running_appender(lingering, clock=clock) as (appender, _):
        await gather_during_first(lingering, appender, [publish(appender) for _ in range(5)])

    assert [1, 2, 2] == lingering.sizes


async def test_wait_ends_after_the_time_of_the_engine(log: EventLog, clock: ManualClock) -> None:
    """A publisher that does not come again delays the others by that time only."""
    lingering = LingeringLog(log, seconds=0.02)
    async with running_appender(lingering, clock=clock) as (appender, _):
        await asyncio.gather(*(publish(appender) for _ in range(4)))
        await publish(appender)
        await publish(appender)

    assert [4, 1, 1] == lingering.sizes


async def test_engine_without_a_linger_time_writes_what_waits(log: EventLog, clock: ManualClock) -> None:
    """Its next batch holds the publishes that came during the last one, and no others."""
    lingering = LingeringLog(log, seconds=0.0)
    async with running_appender(lingering, clock=clock) as (appender, _):
        await gather_during_first(lingering, appender, [publish(appender) for _ in range(4)])

    assert [1, 3] == lingering.sizes


async def test_wait_follows_the_linger_time_of_the_engine(log: EventLog, clock: ManualClock) -> None:
    """The engine sets it by the price of its last lookup: an append that became dear is followed by a longer wait."""
    lingering = LingeringLog(log, seconds=0.0)
    async with running_appender(lingering, clock=clock) as (appender, _):
        publishers = [publish(appender, 3)] + [publish(appender, 2) for _ in range(3)]
        lingering.linger_seconds_max = FOREVER
        await gather_during_first(lingering, appender, publishers)

    assert [1, 4, 4] == lingering.sizes
