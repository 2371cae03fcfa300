"""The log of two processes against a plain list: random publishes, reads, filters, page sizes, faults and crashes."""

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from eventfeed.domain.cursor import BareSequence, Cursor
from eventfeed.domain.event import App, Event
from eventfeed.domain.feed import Feed, app_feed
from eventfeed.domain.ports import EventLog
from eventfeed.domain.publishing import Receipt
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.running import (
    SEGMENT_ENTRIES,
    allow_slow_responses,
    new_database,
    open_database,
    open_log,
    skip_without_emulator,
)
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log, running_appender
from tests.support.events import entry, event, submission
from tests.support.faulty_log import Fault, FaultyLog
from tests.support.reading import read_page

APPS = [App(org="ttd", name="a"), App(org="skd", name="a")]
TYPES = ["created", "completed"]
FAULTS = st.sampled_from([Fault.NONE, Fault.RESPONSE_LOST, Fault.REQUEST_LOST, Fault.FIRST_ONLY])
PROCESSES = st.integers(0, 1)
CONSUMERS = st.integers(0, 3)
T = TypeVar("T")
OpenStore = Callable[[], AbstractAsyncContextManager[EventLog]]


class Process:
    """A process of the service, with its own store, tail, appender and reader."""

    def __init__(self, open_store: OpenStore, clock: ManualClock) -> None:
        self._open_store, self._clock = open_store, clock
        self._stack = AsyncExitStack()
        self.log: FaultyLog
        self.appender: Appender
        self.tail: Tail
        self.reader: Reader

    async def start(self) -> None:
        """Open the store and start its parts."""
        log = await self._stack.enter_async_context(self._open_store())
        self.log = FaultyLog(log)
        self.appender, self.tail = await self._stack.enter_async_context(running_appender(self.log, clock=self._clock))
        retention = Retention(log, clock=self._clock, keep=10**15)
        self.reader = Reader(log, self.tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())

    async def publish(self, *events: Event) -> Sequence[Receipt]:
        """Publish events and return their receipts."""
        return await self.appender.publish(submission(*events))

    async def crash(self) -> None:
        """Discard everything in memory, and start again."""
        await self._stack.aclose()
        await self.start()

    async def stop(self) -> None:
        """Stop the parts and close the store."""
        await self._stack.aclose()


class Consumer:
    """A consumer that follows a feed and keeps every event of its pages."""

    def __init__(self, query: Feed) -> None:
        self.query = query
        self.cursor: Cursor | BareSequence = BareSequence(position=0)
        self.sequences: list[tuple[int, bytes]] = []

    async def read(self, reader: Reader, size: int) -> bool:
        """Read a page, and return True if there are more."""
        page = await read_page(reader, self.query, size=size, after=self.cursor)
        assert len(page.entries) <= size
        self.sequences += [(each.sequence, each.json) for each in page.entries]
        self.cursor = page.cursor
        return page.more


class LogMachine(RuleBasedStateMachine):
    """The log must return the same events as a plain list of the events with receipts.

    `new_store` makes an empty store; each process opens it.
    """

    def __init__(self, new_store: Callable[[], AbstractAsyncContextManager[OpenStore]]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = new_store()
        self.clock = ManualClock()
        open_store = self.do(self.store.__aenter__())
        self.processes = [Process(open_store, self.clock) for _ in range(2)]
        self.events_by_sequence: dict[int, Event] = {}
        self.consumers: list[Consumer] = []

    def do(self, work: Coroutine[None, None, T]) -> T:
        """Run a coroutine of the service to its end."""
        return self.runner.run(work)

    @initialize(
        filters=st.lists(st.tuples(st.sampled_from(APPS), st.sets(st.sampled_from(TYPES))), min_size=4, max_size=4)
    )
    def start(self, filters: list[tuple[App, set[str]]]) -> None:
        """Start two processes and four consumers."""
        for process in self.processes:
            self.do(process.start())
        for app, types in filters:
            self.consumers.append(Consumer(app_feed(app).where(*conditions(types=frozenset(types)))))

    @rule(
        number=PROCESSES,
        kinds=st.lists(st.tuples(st.sampled_from(APPS), st.sampled_from(TYPES)), min_size=1, max_size=5),
        faults=st.lists(FAULTS, max_size=3),
        clock_step=st.integers(-10, 10),
    )
    def publish(self, number: int, kinds: list[tuple[App, str]], faults: list[Fault], clock_step: int) -> None:
        """Publish new events to one process, with faults of its store and a changed clock."""
        self.clock.now += clock_step
        process = self.processes[number]
        process.log.plan.extend(faults)
        events = [event(app=app, type_=type_) for app, type_ in kinds]
        for each, receipt in zip(events, self.do(process.publish(*events)), strict=True):
            assert not receipt.duplicate
            assert receipt.sequence not in self.events_by_sequence
            self.events_by_sequence[receipt.sequence] = each

    @rule(publishers=st.lists(PROCESSES, min_size=2, max_size=8))
    def publish_concurrently(self, publishers: list[int]) -> None:
        """Publish concurrently to both processes."""
        events = [event(app=APPS[0], type_=TYPES[0]) for _ in publishers]

        async def publish_all() -> list[Receipt]:
            work = [
                self.processes[number].appender.publish(submission(each))
                for number, each in zip(publishers, events, strict=True)
            ]
            return [receipt for receipts in await asyncio.gather(*work) for receipt in receipts]

        for each, receipt in zip(events, self.do(publish_all()), strict=True):
            assert receipt.sequence not in self.events_by_sequence
            self.events_by_sequence[receipt.sequence] = each

    @rule(number=PROCESSES, choice=st.integers(0, 1000))
    def publish_again(self, number: int, choice: int) -> None:
        """Publish an event again to either process: the receipt is the first one, marked as a duplicate."""
        if not self.events_by_sequence:
            return
        sequence = sorted(self.events_by_sequence)[choice % len(self.events_by_sequence)]
        process = self.processes[number]
        (receipt,) = self.do(process.publish(self.events_by_sequence[sequence]))
        assert (receipt.sequence, receipt.duplicate) == (sequence, True)

    @rule(number=PROCESSES, consumer=CONSUMERS, size=st.integers(1, 20))
    def read(self, number: int, consumer: int, size: int) -> None:
        """Read a page of a consumer from either process."""
        self.do(self.consumers[consumer].read(self.processes[number].reader, size))

    @rule(number=PROCESSES)
    def crash(self, number: int) -> None:
        """Stop a process and start it again."""
        self.do(self.processes[number].crash())

    @invariant()
    def consumers_have_read_a_prefix(self) -> None:
        """The events of a consumer are the first ones of its feed, in order."""
        for consumer in self.consumers:
            expectation = self.expectation(consumer)
            assert consumer.sequences == expectation[: len(consumer.sequences)]

    def expectation(self, consumer: Consumer) -> list[tuple[int, bytes]]:
        """Return the events that the consumer must have at the end."""
        return [
            (sequence, entry(sequence, of=each).json)
            for sequence, each in sorted(self.events_by_sequence.items())
            if consumer.query.matches(each)
        ]

    def teardown(self) -> None:
        """Read every feed to its end: every event with a receipt is there, and the sequences are dense."""
        for consumer in self.consumers:
            while self.do(self.read_until_current(consumer)):
                pass
            assert consumer.sequences == self.expectation(consumer)
        assert sorted(self.events_by_sequence) == list(range(1, len(self.events_by_sequence) + 1))
        for process in self.processes:
            self.do(process.stop())
        self.do(self.store.__aexit__(None, None, None))
        self.runner.close()

    async def read_until_current(self, consumer: Consumer) -> bool:
        """Read a page of the consumer, after a refresh up to the last receipt. Return True if there are more."""
        reader = self.processes[0].reader
        await self.processes[0].tail.refresh(past=max(self.events_by_sequence, default=0))
        return await consumer.read(reader, 7)


@asynccontextmanager
async def new_sqlite_store() -> AsyncIterator[OpenStore]:
    """An empty SQLite store while the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        yield functools.partial(open_sqlite_log, Path(folder) / "log.db")


@asynccontextmanager
async def new_cosmos_store(url: str) -> AsyncIterator[OpenStore]:
    """An empty store in the emulator while the block lasts. Each process has a client of its own."""

    @asynccontextmanager
    async def open_store(name: str) -> AsyncIterator[EventLog]:
        async with open_database(url, name) as database:
            yield await open_log(database, segment_entries=SEGMENT_ENTRIES)

    async with new_database(url) as database:
        yield functools.partial(open_store, database.name)


def run_machine(new_store: Callable[[], AbstractAsyncContextManager[OpenStore]], options: settings) -> None:
    """Run the state machine on stores of one engine."""

    class Machine(LogMachine):
        def __init__(self) -> None:
            super().__init__(new_store)

    run_state_machine_as_test(Machine, settings=options)


def test_log_equals_a_plain_list_on_sqlite() -> None:
    """Two processes, their publishers, readers and faults change nothing."""
    run_machine(new_sqlite_store, settings(max_examples=40, stateful_step_count=25, deadline=None))


def test_log_equals_a_plain_list_on_cosmos_db(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few examples: the emulator is slow."""
    skip_without_emulator(emulator_url)
    allow_slow_responses(monkeypatch)
    options = settings(max_examples=6, stateful_step_count=20, deadline=None, phases=[Phase.generate])
    run_machine(functools.partial(new_cosmos_store, emulator_url), options)
