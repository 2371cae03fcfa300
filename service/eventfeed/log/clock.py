"""The clock of a process, compared with the time since boot.

A machine's clock may step by hours: when the machine resumes, when its battery is empty, by mistake. The time since
boot does not step. So the difference of both, the offset, shows a step, and the processes of a machine can agree on
one. A range of offsets that an accurate clock can have comes from the store: see `MachineClock.set_reference`.
"""

import functools
import logging
import math
import os
import time
from pathlib import Path

from eventfeed.domain.errors import NotDone
from eventfeed.domain.ports import CLOCK_SECOND, Clock

_log = logging.getLogger(__name__)

# The most that a clock may differ (ns). An entry far in the future would force its time on all later ones.
CLOCK_SKEW_MAX = 5 * CLOCK_SECOND
_UPTIME_FILE = Path("/proc/uptime")
# The time since boot (ns) as the C library has it, at a tenth of the cost of `time_since_boot`. A library that fakes
# the clocks of this process may change it.
BOOT_TIMER: Clock = functools.partial(time.clock_gettime_ns, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class MachineClock:
    """The time (ns since 1970) that this machine's clock shows, corrected while the clock is known to be wrong.

    `wall` is the machine's clock, `uptime` counts nanoseconds since boot, also those asleep. A reading of `wall` in
    `checked` needs no new comparison: see `check`.
    """

    def __init__(self, wall: Clock, *, uptime: Clock | None = None) -> None:
        self.wall = wall
        self.uptime = uptime or time_since_boot
        self.checked = range(0)
        # How far the clock is ahead (ns), as far as that is certain; negative if it is behind.
        self.skew = 0
        # True unless the last comparison showed a skew of more than `CLOCK_SKEW_MAX`.
        self.is_accurate = True
        self._reference: tuple[float, float] = (-math.inf, math.inf)
        self._steady_since: int | None = None

    def __call__(self) -> int:
        """Return the time."""
        now = self.wall()
        if now not in self.checked:
            self.check()
        return now if self.is_accurate else now - self.skew

    @property
    def offset(self) -> int:
        """The present difference of clock and time since boot (ns)."""
        return self.wall() - self.uptime()

    @property
    def steady_time(self) -> int:
        """Time since the first comparison (ns), or since the last one that changed `is_accurate`."""
        return 0 if self._steady_since is None else self.uptime() - self._steady_since

    def set_reference(self, *, earliest: float, latest: float) -> None:
        """Set the range in which the offset of an accurate clock is (ns)."""
        self._reference, self.checked = (earliest, latest), range(0)

    def check(self) -> None:
        """Compare the clock with the reference. It is due once a second, and after each step of the clock."""
        wall, uptime, was_accurate = self.wall(), self.uptime(), self.is_accurate
        earliest, latest = self._reference
        offset = wall - uptime
        self.skew = int(offset - latest) if offset > latest else int(offset - earliest) if offset < earliest else 0
        self.is_accurate = abs(self.skew) <= CLOCK_SKEW_MAX
        if self._steady_since is None or self.is_accurate != was_accurate:
            self._steady_since = uptime
        if self.is_accurate != was_accurate:
            _log.warning("%s", self.describe())
        self.checked = range(wall, wall + CLOCK_SECOND)

    def require_accurate(self) -> None:
        """Raise `NotDone` while the clock is known to be wrong."""
        if self.wall() not in self.checked:
            self.check()
        if not self.is_accurate:
            raise NotDone(self.describe(), retry_seconds=5)

    def describe(self) -> str:
        """Return a sentence on the last comparison, for operators."""
        if self.is_accurate:
            return "The clock of this machine is right."
        seconds, side = round(abs(self.skew) / CLOCK_SECOND), "ahead of" if self.skew > 0 else "behind"
        return f"The clock of this machine is {seconds} s {side} the store's, so this process appends nothing."


def time_since_boot() -> int:
    """Return the time since boot (ns, in steps of 10 ms), with the time that the machine was asleep.

    Linux has it in a file, which also has the true time if a library fakes the clocks of this process.
    """
    file = _uptime_file()
    return time.monotonic_ns() if file is None else int(float(os.pread(file, 32, 0).split()[0]) * CLOCK_SECOND)


@functools.cache
def _uptime_file() -> int | None:
    """Return the descriptor of the file, which stays open; None if the system has none."""
    try:
        return os.open(_UPTIME_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
