"""The whole log against a plain list: random publishers, readers, filters, sizes and crashes, over two processes."""

import asyncio
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventfeed.domain.cursor import Bare, Cursor
from eventfeed.domain.event import App, Event
from eventfeed.domain.feed import Feed, app_feed
from eventfeed.domain.publishing import Receipt
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log, running_appender
from tests.support.events import event, submission
from tests.support.faulty_log import Fault, FaultyLog
from tests.support.reading import read_page

APPS = [App(org="ttd", name="a"), App(org="skd", name="a")]
TYPES = ["created", "completed"]
FAULTS = st.sampled_from([Fault.NONE, Fault.RESPONSE_LOST, Fault.REQUEST_LOST, Fault.FIRST_ONLY])
PROCESSES = st.integers(0, 1)
CONSUMERS = st.integers(0, 3)
T = TypeVar("T")


class Process:
    """A serving process: a store, a tail, an appender and a reader of its own."""

    def __init__(self, path: Path, watch: ManualClock) -> None:
        self._path, self._watch = path, watch
        self._stack = AsyncExitStack()
        self.log: FaultyLog
        self.appender: Appender
        self.tail: Tail
        self.reader: Reader

    async def start(self) -> None:
        """Open everything."""
        log: SqliteLog = await self._stack.enter_async_context(open_sqlite_log(self._path))
        self.log = FaultyLog(log)
        self.appender, self.tail = await self._stack.enter_async_context(running_appender(self.log, clock=self._watch))
        retention = Retention(log, clock=self._watch, keep=10**15)
        self.reader = Reader(log, self.tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())

    async def publish(self, *events: Event) -> Sequence[Receipt]:
        """Publish events and return their receipts."""
        return await self.appender.publish(submission(*events))

    async def crash(self) -> None:
        """Drop everything in memory, and start again."""
        await self._stack.aclose()
        await self.start()

    async def stop(self) -> None:
        """Close everything."""
        await self._stack.aclose()


class Consumer:
    """Follows a feed and remembers what it was given."""

    def __init__(self, query: Feed) -> None:
        self.query = query
        self.cursor: Cursor | Bare = Bare(position=0)
        self.sequences: list[tuple[int, Event]] = []

    async def read(self, reader: Reader, size: int) -> bool:
        """Take a page; whether there is more."""
        page = await read_page(reader, self.query, size=size, after=self.cursor)
        assert len(page.entries) <= size
        self.sequences += [(each.sequence, each.event) for each in page.entries]
        self.cursor = page.cursor
        return page.more


class LogMachine(RuleBasedStateMachine):
    """The log may do nothing that a plain list of acknowledged events would not."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.watch = ManualClock()
        self.processes = [Process(Path(self.folder.name) / "log.db", self.watch) for _ in range(2)]
        self.acknowledged: dict[int, Event] = {}
        self.consumers: list[Consumer] = []

    def do(self, work: Coroutine[None, None, T]) -> T:
        """Run something of the service."""
        return self.runner.run(work)

    @initialize(
        filters=st.lists(st.tuples(st.sampled_from(APPS), st.sets(st.sampled_from(TYPES))), min_size=4, max_size=4)
    )
    def start(self, filters: list[tuple[App, set[str]]]) -> None:
        """Two processes, four consumers."""
        for process in self.processes:
            self.do(process.start())
        for app, types in filters:
            self.consumers.append(Consumer(app_feed(app).where(*conditions(types=frozenset(types)))))

    @rule(
        number=PROCESSES,
        kinds=st.lists(st.tuples(st.sampled_from(APPS), st.sampled_from(TYPES)), min_size=1, max_size=5),
        faults=st.lists(FAULTS, max_size=3),
        shifted_entries=st.integers(-10, 10),
    )
    def publish(self, number: int, kinds: list[tuple[App, str]], faults: list[Fault], shifted_entries: int) -> None:
        """New events through one process, whatever its store answers and its clock shows."""
        self.watch.now += shifted_entries
        process = self.processes[number]
        process.log.plan.extend(faults)
        events = [event(app=app, type_=type_) for app, type_ in kinds]
        for sent, receipt in zip(events, self.do(process.publish(*events)), strict=True):
            assert not receipt.duplicate
            assert receipt.sequence not in self.acknowledged
            self.acknowledged[receipt.sequence] = sent

    @rule(publishers=st.lists(PROCESSES, min_size=2, max_size=8))
    def publish_at_once(self, publishers: list[int]) -> None:
        """Many publishers through both processes at the same time."""
        events = [event(app=APPS[0], type_=TYPES[0]) for _ in publishers]

        async def all_at_once() -> list[Receipt]:
            work = [
                self.processes[number].appender.publish(submission(each))
                for number, each in zip(publishers, events, strict=True)
            ]
            return [receipt for receipts in await asyncio.gather(*work) for receipt in receipts]

        for sent, receipt in zip(events, self.do(all_at_once()), strict=True):
            assert receipt.sequence not in self.acknowledged
            self.acknowledged[receipt.sequence] = sent

    @rule(number=PROCESSES, which=st.integers(0, 1000))
    def publish_again(self, number: int, which: int) -> None:
        """A repeat gives the first receipt, through either process."""
        if not self.acknowledged:
            return
        place = sorted(self.acknowledged)[which % len(self.acknowledged)]
        process = self.processes[number]
        (receipt,) = self.do(process.publish(self.acknowledged[place]))
        assert (receipt.sequence, receipt.duplicate) == (place, True)

    @rule(number=PROCESSES, consumer=CONSUMERS, size=st.integers(1, 20))
    def read(self, number: int, consumer: int, size: int) -> None:
        """A consumer takes a page from either process."""
        self.do(self.consumers[consumer].read(self.processes[number].reader, size))

    @rule(number=PROCESSES)
    def crash(self, number: int) -> None:
        """A process dies and comes back."""
        self.do(self.processes[number].crash())

    @invariant()
    def consumers_have_seen_a_first_part(self) -> None:
        """A consumer's events are exactly the first ones that it may see, in order."""
        for consumer in self.consumers:
            expectation = self.expectation(consumer)
            assert consumer.sequences == expectation[: len(consumer.sequences)]

    def expectation(self, consumer: Consumer) -> list[tuple[int, Event]]:
        """Return the events that the consumer must have at the end."""
        return [
            each
            for each in sorted(self.acknowledged.items(), key=lambda item: item[0])
            if consumer.query.matches(each[1])
        ]

    def teardown(self) -> None:
        """In the end everybody catches up, and everything acknowledged is there, densely."""
        for consumer in self.consumers:
            while self.do(self.read_until_current(consumer)):
                pass
            assert consumer.sequences == self.expectation(consumer)
        assert sorted(self.acknowledged) == list(range(1, len(self.acknowledged) + 1))
        for process in self.processes:
            self.do(process.stop())
        self.runner.close()
        self.folder.cleanup()

    async def read_until_current(self, consumer: Consumer) -> bool:
        """Read on, having seen everything that is acknowledged."""
        reader = self.processes[0].reader
        await self.processes[0].tail.refresh(past=max(self.acknowledged, default=0))
        return await consumer.read(reader, 7)


LogMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLog = LogMachine.TestCase
