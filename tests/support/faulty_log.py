"""A log between the appender and the engine that loses requests and responses, like a bad network."""

import asyncio
import enum
from collections import deque
from collections.abc import Mapping, Sequence

from eventfeed.domain.errors import NotDone, OutcomeUnknown
from eventfeed.domain.event import Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Feed
from eventfeed.domain.ports import EventLog, Head, ImportLog, Plan, Scan, StoredEvent
from tests.support.events import planned

# The time that the store asks for when it refuses an append.
RETRY_SECONDS = 30


class Fault(enum.Enum):
    """The outcome of one append."""

    NONE = enum.auto()
    RESPONSE_LOST = enum.auto()  # done, but the appender gets no response
    REQUEST_LOST = enum.auto()  # not done, and the appender gets no response
    FIRST_ONLY = enum.auto()  # only the first entry is written, as some emulators do
    LATE = enum.auto()  # not done now: the request arrives after the next one
    REFUSAL = enum.auto()  # certainly not done


class FaultyLog:
    """A log that forwards every call to `log`. Each append has the next fault of the plan, and none after its end.

    It plans and appends in two calls, so that a fault or another writer comes between.
    """

    def __init__(self, log: EventLog, *plan: Fault) -> None:
        self._log, self.plan = log, deque(plan)
        self.batch_entries_max, self.batch_bytes_max = log.batch_entries_max, log.batch_bytes_max
        self.engine = log.engine
        self.linger_seconds_max, self.end_ages = log.linger_seconds_max, log.end_ages
        self.lag_seconds_max = log.lag_seconds_max
        self.appends: list[tuple[int, Sequence[Entry]]] = []
        self.append_started = asyncio.Event()
        self.follows = self.scans = 0
        self._late: tuple[int, Sequence[Entry]] | None = None

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """Append, with the next fault of the plan."""
        self.appends.append((after, entries))
        self.append_started.set()
        match self.plan.popleft() if self.plan else Fault.NONE:
            case Fault.NONE:
                await self._log.append(entries, after=after)
            case Fault.RESPONSE_LOST:
                await self._log.append(entries, after=after)
                raise OutcomeUnknown("the response was lost")
            case Fault.REQUEST_LOST:
                raise OutcomeUnknown("the request was lost")
            case Fault.FIRST_ONLY:
                await self._log.append(entries[:1], after=after)
                raise OutcomeUnknown("the response was lost")
            case Fault.LATE:
                self._late = after, entries
                raise OutcomeUnknown("the request is late")
            case Fault.REFUSAL:
                raise NotDone("The store refused it: status 429.", retry_seconds=RETRY_SECONDS)

    async def append_new(self, events: Sequence[Event], *, tail: Head, plan: Plan) -> None:
        """Plan without an append, and append the result."""
        entries = await planned(self._log, events, tail=tail, plan=plan)
        if entries:
            await self.append(entries, after=entries[0].sequence - 1)

    async def deliver_late(self) -> None:
        """Execute the late request."""
        assert self._late is not None
        after, entries = self._late
        await self._log.append(entries, after=after)

    async def head(self) -> Head:
        """See `EventLog.head`."""
        return await self._log.head()

    async def probe(self) -> Head:
        """See `EventLog.probe`."""
        return await self._log.probe()

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """See `EventLog.follow`."""
        self.follows += 1
        return await self._log.follow(after=after, limit=limit)

    async def scan(self, feed: Feed, *, after: int, through: int, limit: int, bytes_max: int = PAGE_BYTES_MAX) -> Scan:
        """See `EventLog.scan`."""
        self.scans += 1
        return await self._log.scan(feed, after=after, through=through, limit=limit, bytes_max=bytes_max)

    async def seek(self, time: int) -> int:
        """See `EventLog.seek`."""
        return await self._log.seek(time)

    async def expire(self, *, before: int) -> int:
        """See `EventLog.expire`."""
        return await self._log.expire(before=before)

    async def rename(self) -> str:
        """See `EventLog.rename`."""
        return await self._log.rename()

    async def close(self) -> None:
        """See `EventLog.close`."""
        await self._log.close()


class FaultyImportLog(FaultyLog):
    """A log for imports that loses requests and responses."""

    def __init__(self, log: ImportLog, *plan: Fault) -> None:
        super().__init__(log, *plan)
        self._import_log, self.import_entries_max = log, log.import_entries_max

    async def find_identities(self, identities: Sequence[Identity]) -> Mapping[Identity, StoredEvent]:
        """See `ImportLog.find_identities`."""
        return await self._import_log.find_identities(identities)

    async def adopt(self, name: str, *, log_start: int) -> None:
        """See `ImportLog.adopt`."""
        await self._import_log.adopt(name, log_start=log_start)

    async def begin_import(self) -> None:
        """See `ImportLog.begin_import`."""
        await self._import_log.begin_import()

    async def end_import(self) -> None:
        """See `ImportLog.end_import`."""
        await self._import_log.end_import()
