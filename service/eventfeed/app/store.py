"""The store of a process: its engines, and the log's parts that use them."""

import asyncio
import base64
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, NamedTuple

import apsw

from eventfeed.app.ids import new_log_name, new_unique_id
from eventfeed.app.maintenance import Maintenance
from eventfeed.domain.errors import StoreAway, StoreUnusable, Unavailable
from eventfeed.domain.moment import DAY
from eventfeed.log.appender import Appender
from eventfeed.log.clock import MachineClock
from eventfeed.log.cosmos.containers import containers, description
from eventfeed.log.memory.tail import Tail
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite.clock_reference import ClockReference
from eventfeed.log.sqlite.connections import require_sound_library
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.log.usability import Usability
from eventfeed.records.sqlite import SqliteRecords
from eventfeed.settings import Settings, SettingsError
from eventfeed.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from eventfeed.log.cosmos.database import Database
    from eventfeed.log.cosmos.log import CosmosLog
    from eventfeed.records.cosmos import CosmosRecords

_log = logging.getLogger(__name__)

# A start tries again after this time (s) while the store is away.
WAIT_SECONDS = 1.0
# Emulators accept any key in base64.
EMULATOR_KEY = base64.b64encode(b"emulator").decode()


class Engines(NamedTuple):
    """The log, approvals with the audit log, and the Cosmos DB database of both, if any."""

    log: "SqliteLog | CosmosLog"
    records: "SqliteRecords | CosmosRecords"
    database: "Database | None"


class Store:
    """The engines that the settings name, and tail, retention and appender: one of each in a process."""

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        *,
        segment_entries: int | None = None,
        for_import: bool = False,
    ) -> None:
        clock = self.clock = MachineClock(time.time_ns)
        # Cosmos DB has a clock of its own.
        self._reference = None if settings.cosmos else _clock_reference(settings, clock)
        if settings.cosmos is None:
            engines = _sqlite_engines(settings, for_import=for_import)
        else:
            engines = _cosmos_engines(
                settings, telemetry, clock=self.clock, segment_entries=segment_entries, for_import=for_import
            )
        self.log, self.records, self.database = engines
        self.records_usability = Usability("the store of approvals and the audit log", self.records.probe)
        self.has_records = settings.cosmos is not None or settings.access_path.exists()
        self._telemetry = telemetry
        self.tail = Tail(self.log)
        keep = int(settings.retention_days * DAY)
        self._containers = containers(keep_seconds=keep // 1_000_000)
        self.retention = Retention(self.log, clock=clock, keep=keep)
        self.appender = Appender(
            self.log, self.tail, clock=clock, new_write_id=new_unique_id, random=random.random, telemetry=telemetry
        )

    async def create(self) -> None:
        """Create what is missing: in a Cosmos DB emulator the database and its containers, and the log."""
        if self.database is not None:
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(self.database.close)
                await self.database.open()
                await self.database.create(self._containers)
                await self.database.require(self._containers, indexes=True)
        async with self.open(create=True):
            pass

    @contextlib.asynccontextmanager
    async def open(self, *, create: bool = False) -> AsyncIterator[None]:
        """Keep the engines open during the block. Without `create`, a store that does not exist is an error."""
        async with self._open_database():
            for engine in (self.log, self.records):
                await (engine.create() if create else engine.open())
            yield

    @contextlib.asynccontextmanager
    async def open_to_read(self) -> AsyncIterator[None]:
        """Keep a store open that exists, without a change to it. Its records are open if it has any."""
        async with self._open_database():
            await self.log.open_to_read()
            if self.has_records:
                await self.records.open()
            yield

    @contextlib.asynccontextmanager
    async def _open_database(self) -> AsyncIterator[None]:
        """Keep the database open, and close it and the engines at the end."""
        async with contextlib.AsyncExitStack() as stack:
            if self.database is not None:
                stack.push_async_callback(self.database.close)
                await self.database.open()
                await self.database.require(self._containers, indexes=False)
            stack.push_async_callback(self.log.close)
            stack.push_async_callback(self.records.close)
            yield

    @contextlib.asynccontextmanager
    async def run(self, *, create: bool = False) -> AsyncIterator[None]:
        """Keep the engines open, append and maintain the log during the block. See `open`.

        A store that is away at the start is waited for. Raises `Unavailable` if waiting would not help.
        """
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack, create=create)
            if self._reference is not None:
                stack.callback(self._reference.close)
                await asyncio.to_thread(self._reference.open, newest=self.tail.head.time)
            self._telemetry.observe_queue(lambda: self.appender.depth)
            self._telemetry.observe_tail(lambda: self.tail.head.end_offset, staleness=lambda: self.tail.staleness)
            costs = None if self.database is None else self.database.costs
            maintenance = Maintenance(
                self.tail, self.retention, appender=self.appender, costs=costs, reference=self._reference
            )
            async with maintenance.run():
                yield

    async def _start(self, stack: contextlib.AsyncExitStack, *, create: bool) -> None:
        """Open the engines and read the end of the log, as soon as the store responds."""
        is_waiting = False
        while True:
            try:
                async with contextlib.AsyncExitStack() as attempt:
                    await attempt.enter_async_context(self.open(create=create))
                    await self.tail.start()
                    stack.push_async_exit(attempt.pop_all())
            except Unavailable as failure:
                if not may_pass(failure):
                    raise
                if not is_waiting:
                    _log.warning("the start waits for the store: %s", failure)
                is_waiting = True
            else:
                if is_waiting:
                    _log.warning("the store responds: the start continues")
                return
            await asyncio.sleep(WAIT_SECONDS)


def may_pass(failure: Unavailable) -> bool:
    """True if a start waits until this failure has passed, without an operator."""
    return isinstance(failure, StoreAway) or type(failure) is Unavailable


@contextlib.contextmanager
def hold_clock(settings: Settings) -> Iterator[None]:
    """Keep the reference of the clock during the block, while the processes that use it may crash and start again."""
    if settings.cosmos is not None:
        yield
        return
    with contextlib.closing(_clock_reference(settings, MachineClock(time.time_ns))) as reference:
        reference.hold()
        yield


def _clock_reference(settings: Settings, clock: MachineClock) -> ClockReference:
    return ClockReference(settings.clock_path, clock, store=settings.sqlite_path)


def require_no_lost_log(settings: Settings) -> None:
    """Raise `StoreUnusable` if a SQLite log is missing or empty beside the records of an earlier start."""
    log, records = settings.sqlite_path, settings.access_path
    has_log = log.exists() and log.stat().st_size > 0
    if settings.cosmos is None and records.exists() and not has_log:
        raise StoreUnusable(
            f"{log} is missing or empty, but {records.name} of an earlier start exists. Put the file back, restore a "
            "backup with `eventfeed store restore FILE`, or create an empty log with `eventfeed store create`."
        )


def _sqlite_engines(settings: Settings, *, for_import: bool) -> Engines:
    require_sound_library(apsw.sqlite_lib_version())
    log = SqliteLog(settings.sqlite_path, new_name=new_log_name, for_import=for_import)
    return Engines(log, SqliteRecords(settings.access_path), None)


def _cosmos_engines(
    settings: Settings, telemetry: Telemetry, *, clock: MachineClock, segment_entries: int | None, for_import: bool
) -> Engines:
    # Not at the top: 30 MB and half a second that the embedded store does without.
    from eventfeed.log.cosmos.database import Database  # noqa: PLC0415
    from eventfeed.log.cosmos.log import CosmosLog  # noqa: PLC0415
    from eventfeed.records.cosmos import CosmosRecords  # noqa: PLC0415

    if settings.cosmos is None:
        raise SettingsError("The store is not in Cosmos DB.")
    key = (settings.cosmos_key or EMULATOR_KEY) if settings.cosmos.emulator else None
    url, name = settings.cosmos.url, settings.cosmos.database
    database = Database(url, name, key=key, random=random.random, clock=clock, telemetry=telemetry)
    log = CosmosLog(
        database,
        new_name=new_log_name,
        keep=int(settings.retention_days * DAY),
        identity_keep=int(settings.identity_days * DAY),
        segment_entries=segment_entries or description().segment_entries,
        for_import=for_import,
    )
    return Engines(log, CosmosRecords(database, new_id=new_unique_id), database)
