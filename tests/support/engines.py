"""Engines and what stands on them, put together the way the service does."""

import asyncio
import random
import secrets
import string
import uuid
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path

from eventfeed.domain.cursor import LOG_NAME_LETTERS
from eventfeed.domain.feed import Question
from eventfeed.domain.ports import EventLog
from eventfeed.domain.principal import Principal
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.log.sqlite.log import SqliteLog


def new_name() -> str:
    """A name for a new log."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(LOG_NAME_LETTERS))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteLog]:
    """The SQLite log in this file."""
    log = SqliteLog(path, new_name=new_name)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def appending(log: EventLog, *, clock: Callable[[], int]) -> AsyncIterator[tuple[Appender, Tail]]:
    """A running appender, as one process has it, and its tail."""
    tail = Tail(log)
    await tail.start()
    appender = Appender(log, tail, clock=clock, new_write_id=lambda: uuid.uuid4().hex, random=random.random)
    running = asyncio.create_task(appender.run())
    try:
        yield appender, tail
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Allowing:
    """A decision point that allows what it is told to, and counts what it was asked."""

    def __init__(self, allows: Callable[[Question], bool] = lambda _: True) -> None:
        self.allows = allows
        self.asked: list[AbstractSet[Question]] = []

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        assert principal.token
        self.asked.append(questions)
        return {question for question in questions if self.allows(question)}


class Watch:
    """A clock that is set by hand (µs since 1970)."""

    def __init__(self, now: int = 1_700_000_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        """What it shows."""
        return self.now
