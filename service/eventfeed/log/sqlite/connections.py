"""SQLite connections in threads, transactions, and the meaning of SQLite's errors.

The event loop never waits for the disk. `synchronous=FULL`: a commit that returned is on the disk.
"""

import asyncio
import functools
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from eventfeed.domain.errors import LogDamaged, OutcomeUnknown, Unavailable

# Time that a process waits for another one's commit (s).
BUSY_SECONDS = 5.0
# Reads use the operating system's page cache without a copy.
MAP_BYTES = 1 << 30
# A connection's own cache holds the newest pages, which are not in the mapped file yet and few.
CACHE_KIB = 256

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionPool:
    """Threads with a connection each. A function runs in one of them; SQLite errors become the product's own."""

    def __init__(self, path: Path, *, count: int, writes: bool, cache_kib: int = CACHE_KIB) -> None:
        self._path, self._writes, self._cache_kib = path, writes, cache_kib
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="sqlite")

    def bind(self, function: Callable[Concatenate[sqlite3.Connection, P], T]) -> Callable[P, Awaitable[T]]:
        """Return a function to await from the event loop: `function` runs in a thread, with the thread's connection."""

        def run(*args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
            call = functools.partial(self._call, function, *args, **kwargs)
            return asyncio.get_running_loop().run_in_executor(self._pool, call)

        return run

    async def close(self) -> None:
        """Wait for the functions under way, then close the connections."""
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()

    def _call(self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(self._connection(), *args, **kwargs)
        except sqlite3.Error as failure:
            raise translate_error(failure) from failure

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA mmap_size = {MAP_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{self._cache_kib}")
            if not self._writes:
                connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._connections.append(connection)
        return connection


def translate_error(failure: sqlite3.Error) -> Unavailable:
    """Return the failure for a SQLite error: `LogDamaged` for a damaged file, else `Unavailable`, which may pass."""
    match failure.sqlite_errorcode & 0xFF if hasattr(failure, "sqlite_errorcode") else 0:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LogDamaged(f"The store's file is damaged: {failure}.")
        case _:
            return Unavailable(f"The store did not respond: {failure}.")


@contextmanager
def transaction(db: sqlite3.Connection, *, writes: bool) -> Iterator[None]:
    """Run the block on one snapshot; with `writes` as the only writer of this file, durable at the end."""
    db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
    except BaseException:
        _roll_back(db)
        raise
    try:
        db.execute("COMMIT")
    except sqlite3.Error as failure:
        _roll_back(db)
        raise OutcomeUnknown(f"The store did not confirm the commit: {failure}.") from failure


def _roll_back(db: sqlite3.Connection) -> None:
    """Roll back, unless SQLite has already done so, as it does on a full disk."""
    if db.in_transaction:
        db.execute("ROLLBACK")
