"""Visits to a SQLite file: threads with a connection each, transactions, and what SQLite's errors mean to a caller.

The event loop never waits for the disk. `synchronous=FULL`: a commit that returned is on the disk.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from eventfeed.domain.errors import LogDamaged, OutcomeUnknown, Unavailable

# How long a process waits for another one's commit.
BUSY_SECONDS = 5.0
# Reads go through the page cache of the operating system without a copy.
MAP_BYTES = 1 << 30
# What a connection keeps of its own: the newest pages, which are not in the mapped file yet, are few.
CACHE_KIB = 256

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Threads with a connection each. A verb runs in one of them and its errors come out as the product's own."""

    def __init__(self, path: Path, *, count: int, writes: bool, cache_kib: int = CACHE_KIB) -> None:
        self._path, self._writes, self._cache_kib = path, writes, cache_kib
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="sqlite")

    async def run(
        self,
        verb: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `verb(connection, …)` in a thread of this pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: self._visit(verb, *args, **kwargs))

    async def close(self) -> None:
        """Wait for what is under way, then close the connections."""
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()

    def _visit(
        self,
        verb: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            return verb(self._connection(), *args, **kwargs)
        except sqlite3.Error as failure:
            raise translated(failure) from failure

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA mmap_size = {MAP_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{self._cache_kib}")
            if not self._writes:
                connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._connections.append(connection)
        return connection


def translated(failure: sqlite3.Error) -> Unavailable:
    """What a SQLite error means to a caller: a damaged file stays damaged, everything else may pass."""
    match failure.sqlite_errorcode & 0xFF if hasattr(failure, "sqlite_errorcode") else 0:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LogDamaged(f"The store's file is damaged: {failure}.")
        case _:
            return Unavailable(f"The store did not answer: {failure}.")


@contextmanager
def transaction(db: sqlite3.Connection, *, writes: bool) -> Iterator[None]:
    """One snapshot for all reads in it; with `writes` also the only writer on this file, and durable at the end."""
    db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
    except BaseException:
        _undo(db)
        raise
    try:
        db.execute("COMMIT")
    except sqlite3.Error as failure:
        _undo(db)
        raise OutcomeUnknown(f"The store did not say whether it committed: {failure}.") from failure


def _undo(db: sqlite3.Connection) -> None:
    """Take back what is not committed; a full disk makes SQLite do it by itself."""
    if db.in_transaction:
        db.execute("ROLLBACK")
