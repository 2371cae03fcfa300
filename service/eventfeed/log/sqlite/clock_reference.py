"""The reference of the clock, which the processes of a store share: a file beside the store.

SQLite has no clock of its own to compare with, but all its processes are on one machine, and so have one time since
boot. The first process takes the offset of its clock as the reference, and each later one that starts while another
one runs takes over that reference. The file is locked while a process runs: so the reference ends with the last one.
"""

import contextlib
import fcntl
import math
import os
from pathlib import Path
from typing import NamedTuple

from eventfeed.domain.ports import CLOCK_SECOND
from eventfeed.log.clock import CLOCK_SKEW_MAX, MachineClock
from eventfeed.log.sqlite.files import open_beside, try_lock

# Small steps, as time services make them, do not add up: the reference takes them over once in this time.
RENEW_TIME = 3_600 * CLOCK_SECOND
# A clock behind the newest entry is probably wrong, and soon corrected. After this time the entry is taken for wrong.
BEHIND_TIME_MAX = 600 * CLOCK_SECOND


class Reference(NamedTuple):
    """The content of the file: a range of offsets, and the time since boot when it was written (ns)."""

    earliest: float
    latest: float
    written: int


def is_held(path: Path) -> bool:
    """True if a process of the store runs: it holds the reference in this file."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(file)
    finally:
        os.close(file)


class ClockReference:
    """The shared reference of a store's clock. Every method may block.

    A process that uses the clock opens it, and refreshes it once a minute. A process that only starts such processes
    holds it, so that they find it after a crash; one that only looks adopts it.

    `store` is the database. Its owner also gets the file that root creates.
    """

    def __init__(self, path: Path, clock: MachineClock, *, store: Path | None = None) -> None:
        self._path, self._clock, self._store = path, clock, store
        self._file = -1
        self._opened = 0

    def open(self, *, newest: int) -> None:
        """Take over the reference of the processes that run; without any, make one.

        `newest` is the time of the newest entry (µs). It is never after the present: a clock behind it is wrong.
        """
        self._open_file()
        clock, self._opened = self._clock, self._clock.uptime()
        if self._is_alone() or not self._content():
            earliest = newest * 1_000 - self._opened
            is_behind = clock.offset < earliest - CLOCK_SKEW_MAX
            self._write(Reference(earliest, math.inf, self._opened) if is_behind else self._present())
        fcntl.flock(self._file, fcntl.LOCK_SH)  # waits for a process that is writing the file
        self.refresh()

    def hold(self) -> None:
        """Keep the reference of the processes that run, and of those that start from now on, until `close`."""
        self._open_file()
        self._is_alone()
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def adopt(self) -> bool:
        """Compare the clock with the processes that run, for a moment. False if none runs."""
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if self._is_alone():
                return False
            self._compare()
        finally:
            self.close()
        return True

    def refresh(self) -> None:
        """Take over a change of the reference. Replace a reference that is due for it by the present offset."""
        reference = self._compare()
        now = self._clock.uptime()
        is_due = reference.latest == math.inf or now - reference.written >= RENEW_TIME
        is_late = reference.latest == math.inf and now - self._opened >= BEHIND_TIME_MAX
        if (is_due and self._clock.is_accurate) or is_late:
            reference = self._present()
            self._write(reference)
            self._clock.set_reference(earliest=reference.earliest, latest=reference.latest)

    def close(self) -> None:
        """Release the file. The reference ends with its last process."""
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _open_file(self) -> None:
        self._file = open_beside(self._path, store=self._store)

    def _is_alone(self) -> bool:
        """Lock the file if no process holds it, and remove the reference of earlier processes."""
        if not try_lock(self._file):
            return False
        os.ftruncate(self._file, 0)
        return True

    def _compare(self) -> Reference:
        """Compare the clock with the reference in the file, and return it."""
        reference = self._read()
        self._clock.set_reference(earliest=reference.earliest, latest=reference.latest)
        self._clock.check()
        return reference

    def _present(self) -> Reference:
        offset = self._clock.offset
        return Reference(offset, offset, self._clock.uptime())

    def _read(self) -> Reference:
        content = self._content()
        if not content:  # another process has just removed the reference, and replaces it
            return Reference(-math.inf, math.inf, 0)
        earliest, latest, written = content
        return Reference(float(earliest), float(latest), int(written))

    def _content(self) -> list[bytes]:
        return os.pread(self._file, 100, 0).split()

    def _write(self, reference: Reference) -> None:
        # Of one length, so that no part of an earlier content stays.
        os.pwrite(self._file, " ".join(f"{each:>25}" for each in reference).encode(), 0)
