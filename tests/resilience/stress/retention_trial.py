"""A trial of retention on Cosmos DB: readers at several places, while the log start moves and documents expire.

All processes run in this one, with a clock that the trial moves, also the clock by which the store deletes.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import NamedTuple
from uuid import uuid4

from eventfeed.domain.cursor import After, BareSequence
from eventfeed.domain.errors import CursorExpired, Unavailable
from eventfeed.domain.feed import PageBounds, app_feed
from eventfeed.domain.publishing import Submission
from eventfeed.log.appender import Appender
from eventfeed.log.cosmos.containers import containers
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.fault_proxy import network_to
from tests.emulator.rules.azure import Azure, Clock, Settings
from tests.emulator.rules.replicas import Lag
from tests.emulator.running import emulator, open_database, serve
from tests.support.engines import ManualClock, StubDecisionPoint, new_name, running_appender
from tests.support.events import TTD, event

HOUR = 3_600
KEEP_SECONDS = 10 * 24 * HOUR
STEP_HOURS_MAX = 6
EVENTS_A_STEP_MAX = 12
DELETE_STEPS = 4
SEGMENT_ENTRIES = 200
PROCESSES = 2
# Each consumer reads once in so many steps: some always follow, some come back when their cursor has expired.
READING_STEPS = (1, 2, 5, 20, 60, 110)
FEED = app_feed(TTD)
RULES = Settings(partitions=3, lag=Lag(writes=3, seconds=0.2))


class RetentionVerdict(NamedTuple):
    """The outcome: `missed` counts positions above the log start that a reader skipped, and must be 0."""

    events: int
    log_start: int
    expired_documents: int
    pages: int
    expired_cursors: int
    missed: int
    out_of_order: int

    @property
    def good(self) -> bool:
        """True if no reader missed an event, although documents expired and cursors too."""
        return not (self.missed or self.out_of_order) and self.expired_documents > 0 and self.expired_cursors > 0


class TrialClock(ManualClock):
    """A clock that the trial moves; the store's clock moves with it."""

    def __init__(self, store_clock: Clock) -> None:
        super().__init__()
        self._store_clock = store_clock

    def move(self, seconds: int) -> None:
        """Let time pass for the processes and the store."""
        self.advance(seconds * 1_000_000)
        self._store_clock.ahead += seconds

    def set_reference(self, *, earliest: float, latest: float) -> None:
        """Ignore the date of responses, which is the machine's."""


class Process(NamedTuple):
    """The parts of one process of the service."""

    log: CosmosLog
    appender: Appender
    reader: Reader
    retention: Retention


class Consumer:
    """A consumer that reads pages of any size, and begins again at the oldest event when its cursor has expired."""

    def __init__(self, processes: Sequence[Process], rng: random.Random) -> None:
        self._processes, self._rng = processes, rng
        self._after: After = BareSequence(position=0)
        self._position = 0
        self.pages = self.expired_cursors = self.missed = self.out_of_order = 0

    async def read(self) -> bool:
        """Read a page. Return True if more may follow."""
        process, size = self._rng.choice(self._processes), self._rng.choice([1, 7, 50, 1_000])
        try:
            log_start = (await process.reader.head()).log_start
            page = await process.reader.read(FEED, after=self._after, bounds=PageBounds(size=size))
        except CursorExpired:
            self.expired_cursors += 1
            self._after, self._position = BareSequence(position=0), 0
            return True
        except Unavailable:
            return True
        self._check(log_start, [each.sequence for each in page.entries])
        self._after, self._position = page.cursor, page.cursor.position
        self.pages += 1
        return page.more

    def _check(self, log_start: int, positions: Sequence[int]) -> None:
        """Compare a page with the dense log: it begins right after the cursor, or the log start."""
        chain = [self._position or log_start, *positions]
        self.missed += sum(max(0, after - before - 1) for before, after in pairwise(chain))
        self.out_of_order += sum(after <= before for before, after in pairwise(chain))


async def run_retention_trial(*, steps: int, seed: int = 1) -> RetentionVerdict:
    """Publish in steps of some hours, and read meanwhile."""
    rng = random.Random(seed)
    with emulator() as url:
        network, store_clock = network_to(url), Clock()
        azure, clock = Azure(RULES, clock=store_clock), TrialClock(store_clock)
        network.rules = azure.rules
        async with serve(network) as network_url, _processes(network_url, clock) as processes:
            consumers = [Consumer(processes, rng) for _ in READING_STEPS]
            for number in range(steps):
                await _publish(rng.choice(processes), rng.randint(1, EVENTS_A_STEP_MAX))
                clock.move(rng.randint(1, STEP_HOURS_MAX) * HOUR)
                due = [each for each, every in zip(consumers, READING_STEPS, strict=True) if number % every == 0]
                await asyncio.gather(*(each.read() for each in due))
                if number % DELETE_STEPS == 0:
                    with contextlib.suppress(Unavailable):
                        await rng.choice(processes).retention.delete()
            for consumer in consumers:
                while await consumer.read():
                    pass
            head = await processes[0].log.head()
    return RetentionVerdict(
        events=head.end_offset,
        log_start=head.log_start,
        expired_documents=azure.expiry.deleted,
        pages=sum(each.pages for each in consumers),
        expired_cursors=sum(each.expired_cursors for each in consumers),
        missed=sum(each.missed for each in consumers),
        out_of_order=sum(each.out_of_order for each in consumers),
    )


async def _publish(process: Process, count: int) -> None:
    events = [event(size=200) for _ in range(count)]
    submission = Submission(events=events, pointers=["/0"] * count, admin=True)
    while True:
        with contextlib.suppress(Unavailable):  # a busy emulator: publish again
            await process.appender.publish(submission)
            return


@contextlib.asynccontextmanager
async def _processes(url: str, clock: TrialClock) -> AsyncIterator[Sequence[Process]]:
    """Run the parts of some processes on a new log."""
    name, processes = f"retention-{uuid4().hex}", list[Process]()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(PROCESSES):
            database = await stack.enter_async_context(open_database(url, name))
            database.clock = clock
            await database.create(containers(keep_seconds=KEEP_SECONDS))
            keep = KEEP_SECONDS * 1_000_000
            log = CosmosLog(database, new_name=new_name, keep=keep, identity_keep=keep, segment_entries=SEGMENT_ENTRIES)
            await log.open()
            appender, tail = await stack.enter_async_context(running_appender(log, clock=clock))
            retention = Retention(log, clock=clock, keep=keep)
            decisions, telemetry = StubDecisionPoint(), Telemetry()
            reader = Reader(log, tail, retention=retention, decisions=decisions, telemetry=telemetry)
            processes.append(Process(log, appender, reader, retention))
        yield processes
