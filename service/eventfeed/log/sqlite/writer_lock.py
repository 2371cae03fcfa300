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


class WriterLock:
    """The lock of one connection. A reader needs none.

    `flock` has no timeout, so a thread of its own waits in it. If the lock comes too late, the thread releases it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, -1
        self._request = threading.Semaphore(0)
        self._change = threading.Condition()
        self._has_thread = self._is_waiting = self._is_wanted = self._is_mine = False
        self._is_held = False

    @contextlib.contextmanager
    def hold(self, *, seconds: float | None) -> Iterator[None]:
        """Hold the lock while the block runs, unless a block around it does so already.

        Raises `apsw.BusyError` if another process has it for so long. None: waits as long as it takes.
        """
        if self._is_held:
            yield
            return
        if self._file < 0:
            self._open()
        if self._is_waiting or not self._try():
            self._wait(seconds)
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file. A thread that still waits ends with the process."""
        file, self._file = self._file, -1
        with contextlib.suppress(OSError):
            os.close(file)

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise StoreUnusable(
                f"The store's file {self._path.name} cannot be opened: {failure.strerror}."
            ) from failure

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self, seconds: float | None) -> None:
        """Let the thread wait, and take the lock from it."""
        if not self._has_thread:
            threading.Thread(target=self._run, name="writer lock", daemon=True).start()
            self._has_thread = True
        with self._change:
            self._is_wanted = True
            if not self._is_waiting:
                self._is_waiting = True
                self._request.release()
            is_mine = self._change.wait_for(lambda: self._is_mine, seconds)
            self._is_wanted = self._is_mine = False
        if not is_mine:
            raise apsw.BusyError("another process writes to the store")

    def _run(self) -> None:
        while True:
            self._request.acquire()
            with contextlib.suppress(OSError):  # the file was closed
                fcntl.flock(self._file, fcntl.LOCK_EX)
            with self._change:
                self._is_waiting, self._is_mine = False, self._is_wanted
                if self._is_mine:
                    self._change.notify()
                else:
                    with contextlib.suppress(OSError):
                        fcntl.flock(self._file, fcntl.LOCK_UN)
