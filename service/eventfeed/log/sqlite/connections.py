"""SQLite connections in threads, transactions, and the meaning of SQLite's errors.

The event loop never waits for the disk. `synchronous=FULL`: a commit that returned is on the disk.
"""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from eventfeed.domain.errors import LogDamaged, OutcomeUnknown, Unavailable
from eventfeed.settings import SettingsError

# The first SQLite without the WAL-reset defect of 3.7.0 to 3.51.2: a commit during a checkpoint could be lost.
LIBRARY_MIN = "3.51.3"
# Time that a process waits for another one's commit (ms).
BUSY_MILLISECONDS = 5_000
# A connection's own cache. The operating system's holds the rest: a larger one makes no page faster.
CACHE_KIB = 256

P = ParamSpec("P")
T = TypeVar("T")


def require_sound_library(version: str) -> None:
    """Raise `SettingsError` if this version of SQLite can lose a commit."""
    if _numbers(version) < _numbers(LIBRARY_MIN):
        raise SettingsError(
            f"SQLite {version} can lose committed events (WAL-reset defect): the embedded store needs {LIBRARY_MIN} or "
            "newer. Install apsw from its wheel, which contains SQLite: "
            "pip install --force-reinstall --only-binary apsw apsw"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


class ConnectionPool:
    """Threads with a connection each. A function runs in one of them; SQLite errors become the product's own."""

    def __init__(self, path: Path, *, count: int, writes: bool, cache_kib: int = CACHE_KIB) -> None:
        self._path, self._writes, self._cache_kib = path, writes, cache_kib
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="sqlite")

    def bind(self, function: Callable[Concatenate[apsw.Connection, P], T]) -> Callable[P, Awaitable[T]]:
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

    def _call(self, function: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(self._connection(), *args, **kwargs)
        except apsw.Error as failure:
            raise translate_error(failure) from failure
        except UnicodeDecodeError as failure:
            raise LogDamaged(f"The store's file holds text that this service did not write: {failure}.") from failure

    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = apsw.Connection(str(self._path))
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{self._cache_kib}")
            if not self._writes:
                connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._connections.append(connection)
        return connection


def translate_error(failure: apsw.Error) -> Unavailable:
    """Return the failure for a SQLite error: `LogDamaged` for a damaged file, else `Unavailable`, which may pass."""
    match failure:
        case apsw.CorruptError() | apsw.NotADBError():
            return LogDamaged(f"The store's file is damaged: {failure}.")
        case _:
            return Unavailable(f"The store did not respond: {failure}.")


@contextmanager
def transaction(db: apsw.Connection, *, writes: bool) -> Iterator[None]:
    """Run the block on one snapshot; with `writes` as the only writer of this file, durable at the end."""
    db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
    except BaseException:
        _roll_back(db)
        raise
    try:
        db.execute("COMMIT")
    except apsw.Error as failure:
        _roll_back(db)
        raise OutcomeUnknown(f"The store did not confirm the commit: {failure}.") from failure


def _roll_back(db: apsw.Connection) -> None:
    """Roll back, unless SQLite has already done so, as it does on a full disk."""
    if db.in_transaction:
        db.execute("ROLLBACK")
