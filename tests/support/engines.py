"""Engines, and an appender and a decision point for them, assembled as the service assembles them."""

import asyncio
import random
import secrets
import string
import uuid
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path

from eventfeed.domain.cursor import LOG_NAME_LENGTH
from eventfeed.domain.decision import Question
from eventfeed.domain.ports import EventLog
from eventfeed.domain.principal import Principal
from eventfeed.log.appender import Appender
from eventfeed.log.clock import MachineClock
from eventfeed.log.memory.tail import Tail
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.telemetry.telemetry import Telemetry


def new_name() -> str:
    """Return a random name for a new log."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(LOG_NAME_LENGTH))


@asynccontextmanager
async def open_sqlite_log(path: Path) -> AsyncIterator[SqliteLog]:
    """Open the SQLite log in this file while the block lasts."""
    log = SqliteLog(path, new_name=new_name)
    await log.create()
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def running_appender(log: EventLog, *, clock: MachineClock) -> AsyncIterator[tuple[Appender, Tail]]:
    """Run an appender and its tail, as one process has them, while the block lasts."""
    tail = Tail(log)
    await tail.start()
    appender = Appender(
        log, tail, clock=clock, new_write_id=lambda: uuid.uuid4().hex, random=random.random, telemetry=Telemetry()
    )
    task = asyncio.create_task(appender.run())
    try:
        yield appender, tail
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class StubDecisionPoint:
    """A decision point that permits the questions for which `allows` is true, and records every request."""

    def __init__(self, allows: Callable[[Question], bool] = lambda _: True) -> None:
        self.allows = allows
        self.requests: list[AbstractSet[Question]] = []

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        assert principal.token
        self.requests.append(questions)
        return {question for question in questions if self.allows(question)}


class ManualClock(MachineClock):
    """A clock that a test sets by `now` (µs since 1970). `elapsed` (µs) is the time since boot."""

    def __init__(self, now: int = 1_700_000_000_000_000) -> None:
        self.now, self.elapsed = now, 0
        super().__init__(lambda: self.now * 1_000, uptime=lambda: self.elapsed * 1_000)

    def advance(self, microseconds: int) -> None:
        """Let time pass, for the clock and since boot."""
        self.now += microseconds
        self.elapsed += microseconds
