"""Retention: how long events are shown, and when they are deleted.

An entry disappears for readers by its registration time alone. It is deleted only a margin later, so that no scan
that began while it was shown meets a hole.
"""

import functools

from eventfeed.domain.ports import Clock, EventLog, Head
from eventfeed.single_flight import SingleFlight

# Far longer than any request runs.
DELETE_MARGIN = 3_600 * 1_000_000
# Entries grow too old one by one; whoever reads need not see each of them go.
FLOOR_EVERY = 1_000_000


class Retention:
    """Shows entries of a log for `keep` microseconds, and at most `FLOOR_EVERY` longer."""

    def __init__(self, log: EventLog, *, clock: Clock, keep: int) -> None:
        self._log, self._clock, self._keep = log, clock, keep
        # The floor as last found, in which log, and until when (µs) nobody needs to look again.
        self._floor, self._of_log, self._good_until = 0, "", 0
        self._looking = SingleFlight()

    def age(self, time: int) -> float:
        """How long ago something was registered (s)."""
        return max(0, self._clock() - time) / 1_000_000

    def known(self, head: Head) -> Head | None:
        """What `applied` says, when nobody needs to be asked for it."""
        if head.log != self._of_log or self._clock() >= self._good_until:
            return None
        if head.log_start >= self._floor:
            return head
        return Head(log=head.log, log_start=self._floor, end_offset=head.end_offset, time=head.time)

    async def applied(self, head: Head) -> Head:
        """The head with its floor where retention has come to by now. Asks the store once in a while, if at all."""
        now = self._clock()
        if head.time < now - self._keep:
            return Head(log=head.log, log_start=head.end_offset, end_offset=head.end_offset, time=head.time)
        late = head.log != self._of_log or now >= self._good_until + FLOOR_EVERY
        if late or (now >= self._good_until and not self._looking.is_running):
            # One asks for all; while the floor is hardly old, the others go by the one they know.
            await self._looking.run(functools.partial(self._look, head, now=now))
            if head.log != self._of_log:
                await self._look(head, now=now)
        return Head(log=head.log, log_start=max(self._floor, head.log_start), end_offset=head.end_offset, time=head.time)

    async def _look(self, head: Head, *, now: int) -> None:
        """Find where the floor is, and until when that will do."""
        log_start = await self._log.seek(now - self._keep)
        first = await self._log.follow(after=log_start, limit=1)
        oldest = first[0].time if first else head.time
        self._floor, self._of_log = log_start, head.log
        self._good_until = max(now + FLOOR_EVERY, oldest + self._keep + 1)

    def end_is_old(self, head: Head) -> bool:
        """Whether the log's end has come half its way to the age at which the store would delete it."""
        return self._log.end_ages and 0 < head.time < self._clock() - self._keep // 2

    async def delete(self) -> None:
        """Delete what has long been out of sight, a bounded step at a time."""
        log_start = -1
        while (reached := await self._log.expire(before=self._clock() - self._keep - DELETE_MARGIN)) != log_start:
            log_start = reached
