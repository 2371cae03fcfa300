"""The order in which processes write to a store: a lock on a file beside it.

SQLite lets a process that finds the store locked sleep for up to 100 ms before each attempt. Here the kernel wakes it
when the lock is free, and releases the lock of a process that ends. SQLite's own lock remains: it protects the file
also from programs that do not know this one.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw

from eventfeed.domain.errors import StoreUnusable
from eventfeed.log.sqlite.files import open_beside, try_lock


class WriterLock:
    """The lock of one connection. A reader needs none.

    `flock` has no timeout, so a thread of its own waits in it. If the lock comes too late, the thread releases it.
    `store` is the database. Its owner also gets the file that root creates.
    """

    def __init__(self, path: Path, *, store: Path | None = None) -> None:
        self._path, self._store, self._file = path, store, -1
        self._request = threading.Semaphore(0)
        # Thread and writer share one open file, and so one lock: they change it, and these states, one at a time.
        self._change = threading.Condition()
        self._has_thread = self._is_waiting = self._is_wanted = False
        self._failure: Exception | None = None
        self._is_held = False

    @contextlib.contextmanager
    def hold(self, *, seconds: float | None) -> Iterator[None]:
        """Hold the lock while the block runs, unless a block around it does so already.

        Raises `apsw.BusyError` if another process has it for so long, and `StoreUnusable` if the file cannot be locked.
        None: waits as long as it takes.
        """
        if self._is_held:
            yield
            return
        with self._change:
            if self._is_waiting or not self._try():
                self._wait(seconds)
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self._unlock()

    def close(self) -> None:
        """Close the file, and so release the lock. A thread that still waits ends with the process."""
        file, self._file = self._file, -1
        with contextlib.suppress(OSError):
            os.close(file)

    def _try(self) -> bool:
        try:
            if self._file < 0:
                self._file = open_beside(self._path, store=self._store)
        except OSError as failure:
            raise self._unusable("opened", failure) from failure
        try:
            return try_lock(self._file)
        except OSError as failure:
            raise self._unusable("locked", failure) from failure

    def _wait(self, seconds: float | None) -> None:
        """Let the thread wait, and take the lock from it."""
        if not self._has_thread:
            threading.Thread(target=self._run, name="writer lock", daemon=True).start()
            self._has_thread = True
        if not self._is_waiting:
            self._is_waiting = True
            self._request.release()
        self._is_wanted = True
        has_ended = self._change.wait_for(lambda: not self._is_waiting, seconds)
        self._is_wanted = False
        if not has_ended:
            raise apsw.BusyError("another process writes to the store")
        if self._failure is not None:
            raise self._unusable("locked", self._failure) from self._failure

    def _run(self) -> None:
        while True:
            self._request.acquire()
            failure = None
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            except (OSError, ValueError) as reason:  # `ValueError`: the file was closed
                failure = reason
            with self._change:
                if not self._is_wanted:
                    self._unlock()
                self._failure, self._is_waiting = failure, False
                self._change.notify()

    def _unlock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        except (OSError, ValueError):
            self.close()

    def _unusable(self, action: str, failure: Exception) -> StoreUnusable:
        reason = failure.strerror if isinstance(failure, OSError) else failure
        return StoreUnusable(f"The store's file {self._path.name} cannot be {action}: {reason}.")
