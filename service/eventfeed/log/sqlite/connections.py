"""SQLite connections in threads, transactions, and the meaning of SQLite's errors.

The event loop never waits for the disk. `synchronous=FULL`: a commit that returned is on the disk.
"""

import asyncio
import errno
import functools
import os
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from eventfeed.domain.errors import LogDamaged, NotDone, OutcomeUnknown, StoreUnusable, Unavailable
from eventfeed.log.sqlite.files import StoreFiles
from eventfeed.log.sqlite.writer_lock import WriterLock
from eventfeed.settings import SettingsError

# The first SQLite without the WAL-reset defect of 3.7.0 to 3.51.2: a commit during a checkpoint could be lost.
LIBRARY_MIN = "3.51.3"
# Time that a process waits for another one's commit and for that of another program, together (ms).
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


class StoreConnection(apsw.Connection):
    """A connection to a store's file that exists. It opens no other file than the earlier connections."""

    def __init__(self, files: StoreFiles, *, writes: bool, cache_kib: int) -> None:
        self.files = files
        self.lock = WriterLock(files.path.with_suffix(".lock"), store=files.path)
        # The time (ns) of the last write to the database file when this connection last examined it.
        self.written = 0
        files.require_in_place()
        super().__init__(str(files.path), flags=apsw.SQLITE_OPEN_READWRITE)
        files.require_in_place()
        # Otherwise SQLite compiles a statement again for each new value that it compares with a column of an index.
        self.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        self.set_busy_timeout(BUSY_MILLISECONDS)
        self.execute("PRAGMA synchronous = FULL")
        self.execute(f"PRAGMA cache_size = -{cache_kib}")
        if not writes:
            self.execute("PRAGMA query_only = ON")

    def require_in_place(self) -> None:
        """See `StoreFiles.require_in_place`. Pages in memory are read again if the file was written since.

        A checkpoint writes it, and so does an operator who copies an older file over it.
        """
        written = self.files.require_in_place(self)
        if written != self.written:
            self.release_memory()
            self.written = written


class ConnectionPool:
    """Up to `count` threads with a connection each. A function runs in one of them, with errors of the product's own.

    A thread hands its result to the event loop itself: futures of `concurrent.futures` take as long as a short query.
    """

    def __init__(self, files: StoreFiles, *, count: int, writes: bool, cache_kib: int = CACHE_KIB) -> None:
        self._connect = functools.partial(StoreConnection, files, writes=writes, cache_kib=cache_kib)
        self._local = threading.local()
        self._connections: list[StoreConnection] = []
        self._calls = queue.SimpleQueue[Callable[[], None] | None]()
        self._threads: list[threading.Thread] = []
        # Calls that have not returned, as the event loop knows. Each may need a thread of its own.
        self._count, self._pending, self._is_closed = count, 0, False

    def bind(self, function: Callable[Concatenate[StoreConnection, P], T]) -> Callable[P, Awaitable[T]]:
        """Return a function to await from the event loop: `function` runs in a thread, with the thread's connection.

        It raises `RuntimeError` if the pool is closed, or if no thread can start.
        """

        def run(*args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
            if self._is_closed:
                raise RuntimeError("the connections to the store are closed")
            future = asyncio.get_running_loop().create_future()
            if len(self._threads) < min(self._pending + 1, self._count):
                self._start_thread()
            self._pending += 1
            self._calls.put(functools.partial(self._run, future, lambda db: function(db, *args, **kwargs)))
            return future

        return run

    def _start_thread(self) -> None:
        """Start a thread. It does not outlive the process, which need not close the pool."""
        thread = threading.Thread(target=self._work, name="sqlite", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # with its result

    def _run(self, future: asyncio.Future[T], function: Callable[[StoreConnection], T]) -> None:
        """Call a function, unless its caller has been cancelled, and hand the result to the event loop."""
        finish: Callable[[], object] = future.cancel
        if not future.cancelled():
            try:
                finish = functools.partial(future.set_result, self._call(function))
            except BaseException as failure:  # noqa: BLE001  # the caller handles it
                finish = functools.partial(future.set_exception, failure)
        with suppress(RuntimeError):  # nobody waits: the event loop has been closed
            future.get_loop().call_soon_threadsafe(self._finish, future, finish)
        # An exception refers to this frame: it would keep itself and the arguments of the call.
        del finish, function, future

    def _finish(self, future: asyncio.Future[T], finish: Callable[[], object]) -> None:
        self._pending -= 1
        if not future.done():
            finish()

    async def close(self) -> None:
        """Refuse further calls, wait for those under way, then close the connections."""
        self._is_closed = True
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        for connection in self._connections:
            connection.close()
            connection.lock.close()

    def _call(self, function: Callable[[StoreConnection], T]) -> T:
        try:
            return function(self._connection())
        except apsw.Error as failure:
            raise translate_error(failure, self._system_errno()) from failure
        except UnicodeDecodeError as failure:
            raise LogDamaged(f"The store's file holds text that this service did not write: {failure}.") from failure

    def _connection(self) -> StoreConnection:
        connection: StoreConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            self._connections.append(connection)
        return connection

    def _system_errno(self) -> int:
        connection: StoreConnection | None = getattr(self._local, "connection", None)
        return 0 if connection is None else connection.system_errno


def translate_error(failure: apsw.Error, system_errno: int = 0) -> Unavailable:
    """Return the failure for a SQLite error, with the reason of the operating system if it has one.

    `LogDamaged` for a file that is damaged or cut off, or lacks a table; `StoreUnusable` for a disk or a file that
    takes no writes; any other error is `NotDone`, since it ends the transaction, and may pass.
    """
    match failure:
        case apsw.CorruptError() | apsw.NotADBError() | apsw.SQLError():
            return LogDamaged(f"The store's file is damaged: {failure}.")
        case apsw.IOError() if getattr(failure, "extendedresult", 0) == apsw.SQLITE_IOERR_SHORT_READ:
            return LogDamaged("The store's file was cut off.")
        case apsw.FullError():
            return StoreUnusable("The disk is full.")
        case apsw.ReadOnlyError():
            return StoreUnusable("The store's file is read-only.")
        case apsw.BusyError():
            return StoreUnusable("Another program has locked the store's file.")
        case apsw.IOError() | apsw.CantOpenError():
            if system_errno in (errno.ENOSPC, errno.EDQUOT):
                return StoreUnusable("The disk is full.")
            reason = os.strerror(system_errno) if system_errno else str(failure)
            return StoreUnusable(f"The store's file cannot be read or written: {reason}.")
        case _:
            return NotDone(f"The store did not respond: {failure}.")


@contextmanager
def transaction(db: StoreConnection, *, writes: bool) -> Iterator[None]:
    """Run the block on one snapshot; with `writes` as the only writer of this file, durable in it at the end."""
    began = time.monotonic()
    with db.lock.hold(seconds=BUSY_MILLISECONDS / 1_000) if writes else nullcontext():
        if writes:
            db.require_in_place()
            _begin_to_write(db, began)
        else:
            db.execute("BEGIN")
        try:
            yield
        except BaseException:
            _roll_back(db)
            raise
        try:
            db.execute("COMMIT")
        except apsw.Error as failure:
            reason = translate_error(failure, db.system_errno)
            _roll_back(db)
            if not writes or isinstance(reason, StoreUnusable | LogDamaged):
                raise reason from failure
            raise OutcomeUnknown(f"The store did not confirm the commit. {reason}") from failure
    if writes:
        db.require_in_place()


def _begin_to_write(db: StoreConnection, began: float) -> None:
    """Wait for other programs, but together with the wait for other processes no longer than for one of them."""
    waited = int(1_000 * (time.monotonic() - began))
    db.set_busy_timeout(max(0, BUSY_MILLISECONDS - waited))
    try:
        db.execute("BEGIN IMMEDIATE")
    finally:
        db.set_busy_timeout(BUSY_MILLISECONDS)


def _roll_back(db: StoreConnection) -> None:
    """Roll back, unless SQLite has already done so, as it does on a full disk."""
    if db.in_transaction:
        db.execute("ROLLBACK")
