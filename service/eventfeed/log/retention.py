"""Retention: how long events are shown, and when they are deleted.

An entry disappears for readers by its registration time alone. It is deleted only a margin later, so that no scan
that began while it was shown meets a hole.
"""

from eventfeed.domain.ports import Clock, EventLog, Head

# Far longer than any request runs.
DELETE_MARGIN = 3_600 * 1_000_000


class Retention:
    """Shows entries of a log for `keep` microseconds."""

    def __init__(self, log: EventLog, *, clock: Clock, keep: int) -> None:
        self._log, self._clock, self._keep = log, clock, keep
        # Where the floor was found, and the time of the entry after it: until that one is too old, nothing changes.
        self._floor, self._next_time, self._of_log = 0, -1, ""

    async def applied(self, head: Head) -> Head:
        """The head with its floor where retention has come to by now. Asks the store only when that moved."""
        oldest = self._clock() - self._keep
        if head.time < oldest:
            return Head(log=head.log, floor=head.position, position=head.position, time=head.time)
        if head.log != self._of_log or self._next_time < oldest or self._floor < head.floor:
            floor = max(head.floor, await self._log.seek(oldest))
            first = await self._log.follow(after=floor, limit=1)
            self._floor, self._next_time, self._of_log = (
                floor,
                first[0].time if first else head.time,
                head.log,
            )
        return Head(log=head.log, floor=self._floor, position=head.position, time=head.time)

    async def delete(self) -> None:
        """Delete what has long been out of sight, a bounded step at a time."""
        floor = -1
        while (reached := await self._log.expire(before=self._clock() - self._keep - DELETE_MARGIN)) != floor:
            floor = reached
