"""Retention: events disappear from feeds by age, and are deleted later.

The registration time alone decides on visibility. Deletion comes a margin later, so a scan that began before meets no
gap.
"""

import functools

from msgspec.structs import replace

from eventfeed.domain.ports import Clock, EventLog, Head
from eventfeed.single_flight import SingleFlight

# Far longer than any request (µs).
DELETE_MARGIN = 3_600 * 1_000_000
# Readers need not see each entry expire: the log start moves once in this time (µs).
LOG_START_INTERVAL = 1_000_000


class Retention:
    """Keeps entries of a log visible for `keep` microseconds, and at most `LOG_START_INTERVAL` longer."""

    def __init__(self, log: EventLog, *, clock: Clock, keep: int) -> None:
        self._log, self._clock, self._keep = log, clock, keep
        # The log start as last read, the name of its log, and the time (µs) until which it is valid.
        self._log_start, self._log_name, self._valid_until = 0, "", 0
        self._reading = SingleFlight()

    def apply(self, head: Head) -> Head | None:
        """Return the head with its present log start; None if the store must be asked: see `refresh`."""
        if head.log != self._log_name or self._clock() // 1_000 >= self._valid_until:
            return None
        return head if head.log_start >= self._log_start else replace(head, log_start=self._log_start)

    async def refresh(self, head: Head) -> Head:
        """Return the head with its present log start. Asks the store once in a while."""
        now = self._clock() // 1_000
        if head.time < now - self._keep:
            return replace(head, log_start=head.end_offset)
        overdue = head.log != self._log_name or now >= self._valid_until + LOG_START_INTERVAL
        if overdue or (now >= self._valid_until and not self._reading.is_running):
            # One caller asks for all; until the log start is overdue, the others use the last one.
            await self._reading.run(functools.partial(self._read, head, now=now))
            if head.log != self._log_name:
                await self._read(head, now=now)
        return replace(head, log_start=max(self._log_start, head.log_start))

    async def _read(self, head: Head, *, now: int) -> None:
        """Read the log start from the store, and compute how long it is valid."""
        log_start = await self._log.seek(now - self._keep)
        first = await self._log.follow(after=log_start, limit=1)
        oldest = first[0].time if first else head.time
        self._log_start, self._log_name = log_start, head.log
        self._valid_until = max(now + LOG_START_INTERVAL, oldest + self._keep + 1)

    def end_is_old(self, head: Head) -> bool:
        """True if the last entry has reached half the age at which the store would delete it."""
        return self._log.end_ages and 0 < head.time < self._clock() // 1_000 - self._keep // 2

    async def delete(self) -> None:
        """Delete entries that have long been invisible, in bounded steps."""
        before, log_start = self._clock() // 1_000 - self._keep - DELETE_MARGIN, -1
        while (new_start := await self._log.expire(before=before)) != log_start:
            log_start = new_start
