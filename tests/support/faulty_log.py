"""A real log whose answers can be lost: between the appender and the engine, where a network would be."""

import asyncio
import enum
from collections import deque
from collections.abc import Sequence

from eventfeed.domain.errors import OutcomeUnknown
from eventfeed.domain.event import Entry, Event
from eventfeed.domain.feed import Query
from eventfeed.domain.ports import EventLog, Head, Lookup, Scan


class Fault(enum.Enum):
    """What happens to one append."""

    NONE = enum.auto()
    ANSWER_LOST = enum.auto()  # done, but the appender is not told
    REQUEST_LOST = enum.auto()  # not done, and the appender is not told
    FIRST_ONLY = enum.auto()  # the first entry is in, the rest is not: no store should, some emulators do
    LATE = enum.auto()  # not done now: the request arrives after the next one


class FaultyLog:
    """Passes everything on to `log`; each append meets the next fault of the plan, or none when it is used up."""

    def __init__(self, log: EventLog, *plan: Fault) -> None:
        self._log, self.plan = log, deque(plan)
        self.batch_entries_max, self.batch_bytes_max = log.batch_entries_max, log.batch_bytes_max
        self.engine = log.engine
        self.end_ages, self.clock_skew = log.end_ages, log.clock_skew
        self.appends: list[tuple[int, Sequence[Entry]]] = []
        self.tried = asyncio.Event()
        self._late: tuple[int, Sequence[Entry]] | None = None

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """Append, with the next fault."""
        self.appends.append((after, entries))
        self.tried.set()
        match self.plan.popleft() if self.plan else Fault.NONE:
            case Fault.NONE:
                await self._log.append(entries, after=after)
            case Fault.ANSWER_LOST:
                await self._log.append(entries, after=after)
                raise OutcomeUnknown("the answer was lost")
            case Fault.REQUEST_LOST:
                raise OutcomeUnknown("the request was lost")
            case Fault.FIRST_ONLY:
                await self._log.append(entries[:1], after=after)
                raise OutcomeUnknown("the answer was lost")
            case Fault.LATE:
                self._late = after, entries
                raise OutcomeUnknown("the request is late")

    async def deliver_late(self) -> None:
        """Let the late request arrive."""
        assert self._late is not None
        after, entries = self._late
        await self._log.append(entries, after=after)

    async def head(self) -> Head:
        """Pass on."""
        return await self._log.head()

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Pass on."""
        return await self._log.follow(after=after, limit=limit)

    async def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """Pass on."""
        return await self._log.scan(query, after=after, through=through, limit=limit)

    async def find(self, events: Sequence[Event]) -> Lookup:
        """Pass on."""
        return await self._log.find(events)

    async def seek(self, time: int) -> int:
        """Pass on."""
        return await self._log.seek(time)

    async def expire(self, *, before: int) -> int:
        """Pass on."""
        return await self._log.expire(before=before)

    async def rename(self) -> str:
        """Pass on."""
        return await self._log.rename()

    async def close(self) -> None:
        """Pass on."""
        await self._log.close()
