"""Restores of older copies: no consumer that returns skips an event silently."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from eventfeed.domain.cursor import Cursor, cursor_at, parse_after
from eventfeed.domain.errors import CursorOfAnotherLog, InvalidCursor
from eventfeed.domain.event import App
from eventfeed.domain.feed import app_feed
from eventfeed.domain.page_entries import PageEntry
from eventfeed.domain.publishing import Receipt, Submission
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log, running_appender
from tests.support.events import event, submission
from tests.support.reading import read_page

APPS = [App(org="ttd", name="a"), App(org="skd", name="a")]
FEED = app_feed(APPS[0])
T = TypeVar("T")


class Consumer:
    """A consumer of one app's feed, which keeps its cursor as text, and the ids that it has read."""

    def __init__(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        """Forget everything, as a consumer does after 410."""
        self.text, self.ids = "0", list[str]()

    def take(self, entries: Sequence[PageEntry], cursor: Cursor) -> None:
        """Handle entries, and keep the cursor after them."""
        self.ids += [msgspec.json.decode(each.json)["id"] for each in entries]
        self.text = str(cursor)


class RestoreMachine(RuleBasedStateMachine):
    """One store that is copied and restored, with and without a new name, and consumers that come back."""

    def __init__(self) -> None:
        super().__init__()
        self.runner, self.clock = asyncio.Runner(), ManualClock()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "log.db"
        self.stack = AsyncExitStack()
        # The ids of the feed's events in the present log by position, and those of each copy.
        self.ids: dict[int, str] = {}
        self.copies: list[tuple[Path, dict[int, str]]] = []
        self.consumers = [Consumer() for _ in range(3)]

    def do(self, work: Coroutine[None, None, T]) -> T:
        """Run a coroutine of the service to its end."""
        return self.runner.run(work)

    async def open(self) -> None:
        """Start the parts of a process."""
        self.log: SqliteLog = await self.stack.enter_async_context(open_sqlite_log(self.path))
        self.appender: Appender
        self.appender, tail = await self.stack.enter_async_context(running_appender(self.log, clock=self.clock))
        retention = Retention(self.log, clock=self.clock, keep=10**15)
        self.reader = Reader(self.log, tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())

    @initialize()
    def start(self) -> None:
        """Start a process on an empty log, and copy it."""
        self.do(self.open())
        self.copy()

    @rule(apps=st.lists(st.sampled_from(APPS), min_size=1, max_size=6), seconds=st.integers(0, 1))
    def publish(self, apps: list[App], seconds: int) -> None:
        """Publish events of this feed and of another one."""
        self.clock.now += seconds * 1_000_000
        events = [event(app=app) for app in apps]
        for each, receipt in zip(events, self.do(self.append(submission(*events))), strict=True):
            if each.app == APPS[0]:
                self.ids[receipt.sequence] = each.identity.id

    async def append(self, events: Submission) -> Sequence[Receipt]:
        """Publish events and return their receipts."""
        return await self.appender.publish(events)

    @rule()
    def copy(self) -> None:
        """Copy the store while it is closed."""
        self.do(self.stack.aclose())
        target = self.path.with_name(f"copy-{len(self.copies)}.db")
        shutil.copy(self.path, target)
        self.copies.append((target, dict(self.ids)))
        self.do(self.open())

    @rule(choice=st.integers(0, 5), has_new_name=st.booleans(), apps=st.lists(st.sampled_from(APPS), max_size=12))
    def restore(self, *, choice: int, has_new_name: bool, apps: list[App]) -> None:
        """Put an older copy in the store's place, start again, and publish other events."""
        source, ids = self.copies[choice % len(self.copies)]
        self.do(self.stack.aclose())
        shutil.copy(source, self.path)
        self.ids = dict(ids)
        self.do(self.open())
        if has_new_name:
            self.do(self.log.rename())
        self.publish(apps or [APPS[0]], seconds=0)

    @rule(number=st.integers(0, 2), size=st.integers(1, 8), pages=st.integers(1, 4), keep=st.integers(1, 8))
    def read(self, number: int, *, size: int, pages: int, keep: int) -> None:
        """Read pages; keep the page's cursor, or that of the last event handled before the consumer stopped."""
        consumer = self.consumers[number]
        for _ in range(pages):
            try:
                page = self.do(read_page(self.reader, FEED, size=size, after=parse_after(consumer.text)))
            except (CursorOfAnotherLog, InvalidCursor):
                consumer.start_again()
                return
            entries = list(page.entries)[:keep]
            is_whole = len(entries) == len(page.entries)
            consumer.take(entries, page.cursor if is_whole else cursor_at(entries[-1], log=page.cursor.log))
            assert consumer.ids == self.ids_up_to(int(consumer.text.split(".")[1]))

    def ids_up_to(self, position: int) -> list[str]:
        """Return the ids of the feed's events up to a position of the present log."""
        return [id_ for sequence, id_ in sorted(self.ids.items()) if sequence <= position]

    def teardown(self) -> None:
        """Every consumer comes back once more."""
        for number in range(len(self.consumers)):
            self.read(number, size=1_000, pages=2, keep=1_000)
        self.do(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()


RestoreMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestRestore = RestoreMachine.TestCase
