"""Retention: events disappear from feeds by age, and are deleted later.

The registration time alone decides on visibility. Deletion comes a margin later, so a scan that began before meets no
gap.

A clock may be wrong, and a deletion cannot be undone. So no entry is deleted by one reading of the clock: either this
process has compared its clock for a day, or an entry that was registered a day ago already shows that the other one
has expired.
"""

import functools
import logging

from msgspec.structs import replace

from eventfeed.domain.moment import DAY, format_moment
from eventfeed.domain.ports import EventLog, Head
from eventfeed.log.clock import MachineClock
from eventfeed.single_flight import SingleFlight

_log = logging.getLogger(__name__)

# Far longer than any request (µs).
DELETE_MARGIN = 3_600 * 1_000_000
# Readers need not see each entry expire: the log start moves once in this time (µs).
LOG_START_INTERVAL = 1_000_000
# The log start is read again after this time at the latest (µs), so that an error of the clock does not last.
LOG_START_INTERVAL_MAX = 60 * 1_000_000
# Two readings of the clock with this distance confirm each other (µs): time for a time service, or an operator.
CONFIRM_TIME = DAY


class Retention:
    """Keeps entries of a log visible for `keep` microseconds, and at most `LOG_START_INTERVAL` longer."""

    def __init__(self, log: EventLog, *, clock: MachineClock, keep: int) -> None:
        self._log, self._clock, self._keep = log, clock, keep
        # The log start as last read, the name of its log, and the readings of the clock (ns) for which it is valid.
        self._log_start, self._log_name, self._valid = 0, "", range(0)
        self._reading = SingleFlight[None]()
        # A sentence for operators while expired entries wait for a confirmation of the clock, else "".
        self.notice = ""

    def apply(self, head: Head) -> Head | None:
        """Return the head with its present log start; None if the store must be asked: see `refresh`."""
        if head.log != self._log_name or self._clock.wall() not in self._valid:
            return None
        return head if head.log_start >= self._log_start else replace(head, log_start=self._log_start)

    def apply_latest(self, head: Head) -> Head:
        """Return the head with its log start as last read: entries may have expired since."""
        return replace(head, log_start=max(self._log_start, head.log_start)) if head.log == self._log_name else head

    async def refresh(self, head: Head) -> Head:
        """Return the head with its present log start. Asks the store once in a while."""
        now, wall = self._clock() // 1_000, self._clock.wall()
        if head.time < now - self._keep:
            return replace(head, log_start=head.end_offset)
        valid = self._valid
        is_late = wall not in range(valid.start, valid.stop + LOG_START_INTERVAL * 1_000)
        overdue = head.log != self._log_name or is_late
        if overdue or (wall not in valid and not self._reading.is_running):
            # One caller asks for all; until the log start is overdue, the others use the last one.
            await self._reading.run(functools.partial(self._read, head, now=now))
            if head.log != self._log_name:
                await self._read(head, now=now)
        return replace(head, log_start=max(self._log_start, head.log_start))

    async def _read(self, head: Head, *, now: int) -> None:
        """Read the log start from the store, and compute how long it is valid."""
        wall = self._clock.wall()
        log_start = await self._log.seek(now - self._keep)
        first = await self._log.follow(after=log_start, limit=1)
        oldest = first[0].time if first else head.time
        self._log_start, self._log_name = log_start, head.log
        interval = min(max(LOG_START_INTERVAL, oldest + self._keep + 1 - now), LOG_START_INTERVAL_MAX)
        self._valid = range(wall, wall + interval * 1_000)

    def has_expired(self, time: int) -> bool:
        """True if entries of this time (µs) are older than the retention."""
        return time < self._clock() // 1_000 - self._keep

    def end_is_old(self, head: Head) -> bool:
        """True if the last entry has reached half the age at which the store would delete it."""
        return self._log.end_ages and 0 < head.time < self._clock() // 1_000 - self._keep // 2

    async def delete(self) -> None:
        """Delete entries that have long been invisible, in bounded steps. Deletes nothing by a clock that is wrong."""
        now = self._clock() // 1_000
        if not self._clock.is_accurate:
            return
        age = self._keep + DELETE_MARGIN
        log_start, before = -1, await self._confirmed_time(now) - age
        while (new_start := await self._log.expire(before=before)) != log_start:
            log_start = new_start
        next_entries = await self._log.follow(after=log_start, limit=2)
        # The last entry is never deleted, and a confirmation takes a day, in a quiet log two.
        is_overdue = len(next_entries) == 2 and next_entries[0].time < now - age - 2 * CONFIRM_TIME
        self._set_notice(now - age if is_overdue else None)

    async def _confirmed_time(self, now: int) -> int:
        """Return a time that has certainly come: the present, or the time of the last entry that is a day old."""
        if self._clock.steady_time >= CONFIRM_TIME * 1_000:
            return now
        position = await self._log.seek(now - CONFIRM_TIME)
        entries = await self._log.follow(after=max(position - 1, 0), limit=1)
        return entries[0].time if entries and entries[0].sequence == position else 0

    def _set_notice(self, before: int | None) -> None:
        """Set the notice that entries from before this time wait for a confirmation. Log each change of its state."""
        had_notice, self.notice = bool(self.notice), ""
        if before is not None:
            time = format_moment(before)
            self.notice = (
                f"By this machine's clock, events registered before {time} have expired, but no event of the last days "
                "confirms the clock. They are deleted when the clock has been steady for a day, or by the command "
                f"eventfeed store trim --before {time}."
            )
        if bool(self.notice) != had_notice:
            _log.warning("%s", self.notice or "Expired events no longer wait for their deletion.")
