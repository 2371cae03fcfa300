"""The engine on Azure Cosmos DB for NoSQL: a document an entry, a transactional batch as compare-and-swap.

What a verb costs, with documents of 1 KB (request units as the service's documentation gives them; requests as
`tests/conformance/test_cosmos_costs.py` holds them to):

verb     requests                                   request units
head     1, and 1 more every 30 s                   3
append   1 for each 100 entries of one segment      7 to 9 an entry
follow   1 for each segment it touches              3, and 0.1 an entry
scan     1 for each segment it touches              3, and 0.1 an entry found
find     2 for each 100 events                      3 each, times the physical partitions
seek     1, and log2(segments) the first time       3 each
expire   seek's, and 2                              3 each, 11 for the write

Partitions: `/segment` is the sequence divided by the segment's size, so a batch never crosses one, and the newest end
is one partition. To create entry N+1 its writer must have seen entry N: from its own batch, from following, or by
reading the end back, which an engine does at its first append and after every failure.

Consistency: Session, one client a process, and the end is read through the client that scans. The session token that
comes with the end covers every entry up to it, so no replica behind it may answer. A filtered query proves it: it asks
for the last entry it must reach as well, and a page without that one is asked for again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from eventfeed.domain.errors import LogDamaged, TailMoved, Unavailable
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Query
from eventfeed.domain.ports import Found, Head, Known, Scan
from eventfeed.log.cosmos_client import Calls, ConflictError, Cost, Database, Document, no_costs
from eventfeed.log.cosmos_containers import CONTROL, EVENTS
from eventfeed.log.cosmos_documents import COLUMNS, content_of, document_of, entry_of, identity_of
from eventfeed.log.cosmos_queries import conditions, listing

# Half of what one logical partition holds (20 GB) at 10 KB an entry.
SEGMENT_ENTRIES = 1_000_000
# A transactional batch takes 100 operations and 2 MB, of which ids, names and escapes have their part.
BATCH_BYTES_MAX = 1_400_000
# How far one scan walks before it reports how far it came.
SCAN_SEGMENTS_MAX = 5
# The record of both ends changes once a minute; a new name is for services that start.
RECORD_SECONDS = 30.0
# A replica that lags behind the session is asked again; it catches up within milliseconds.
LAGGING_TRIES_MAX = 20
LAGGING_SECONDS = 0.05

# Several processes change the record; each change is small and seldom.
CHANGE_TRIES_MAX = 10

_LOG = "log"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What does not age: the log's name, the floor, an entry that was its end at some time, and how it is cut."""

    name: str
    floor: int
    position: int
    segment_entries: int
    etag: str = msgspec.field(name="_etag", default="")


class Room(NamedTuple):
    """What a scan may still take."""

    entries: int
    bytes: int


class Stretch(NamedTuple):
    """Matches in a part of a segment, and how far it was examined."""

    entries: Sequence[Entry]
    examined: int


class CosmosLog:
    """An `EventLog` in one database. `open` it before anything else."""

    batch_entries_max = 100
    batch_bytes_max = BATCH_BYTES_MAX
    end_ages = True

    def __init__(
        self,
        database: Database,
        *,
        new_name: Callable[[], str],
        segment_entries: int = SEGMENT_ENTRIES,
    ) -> None:
        self.costs: dict[str, Cost] = no_costs()
        self._events = Calls(database, EVENTS, costs=self.costs)
        self._control = Calls(database, CONTROL, costs=self.costs)
        self._new_name = new_name
        self._record = Record(name="", floor=0, position=0, segment_entries=segment_entries)
        self._record_read = float("-inf")
        # The last entry this engine knows to exist, and whether it may be built upon without looking.
        self._seen, self._seen_time, self._certain = 0, 0, False
        # When each full segment ends: it does not change.
        self._ends: dict[int, int] = {}

    async def open(self) -> None:
        """Make the log where there is none. Raises `LogDamaged` when its ends contradict each other."""
        if await self._read_record() is None:
            record = msgspec.structs.replace(self._record, name=self._new_name())
            with contextlib.suppress(ConflictError):  # another process was faster
                await self._control.create("open", [_document(record)], partition=_LOG, whosever=True)
        await self.head()

    async def head(self) -> Head:
        """See `EventLog.head`."""
        record = await self._known_record()
        position, time = await self._end(max(self._seen, record.position))
        if position >= self._seen:
            self._seen, self._seen_time, self._certain = position, time, True
        return Head(log=record.name, floor=record.floor, position=self._seen, time=self._seen_time)

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """See `EventLog.append`. All of what one transactional batch holds, then the next."""
        if not self._certain or after > self._seen:
            head = await self.head()
            if head.position != after:
                raise TailMoved(expected=after, actual=head.position)
        self._certain = False
        for chunk in self._chunks(entries):
            segment = self._segment(chunk[0].sequence)
            documents = [document_of(entry, segment=segment) for entry in chunk]
            try:
                await self._events.create("append", documents, partition=segment)
            except ConflictError:
                head = await self.head()
                raise TailMoved(expected=chunk[0].sequence - 1, actual=head.position) from None
            self._seen, self._seen_time = max((self._seen, self._seen_time), (chunk[-1].sequence, chunk[-1].time))
        self._certain = True

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """See `EventLog.follow`."""
        found, position = list[Entry](), max(after, (await self._known_record()).floor)
        while len(found) < limit:
            segment = self._segment(position + 1)
            documents = await self._events.query(
                "follow",
                f"SELECT TOP {limit - len(found)} {COLUMNS} FROM c "  # noqa: S608  # a number and constants
                "WHERE c.segment = @segment AND c.sequence > @after ORDER BY c.sequence",
                partition=segment,
                values={"segment": segment, "after": position},
            )
            found += map(entry_of, documents)
            if not documents or found[-1].sequence != self._last_of(segment):
                break
            position = found[-1].sequence
        return found

    async def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """See `EventLog.scan`."""
        found, examined, weight = list[Entry](), after, 0
        for _ in range(SCAN_SEGMENTS_MAX):
            if examined >= through or len(found) >= limit or weight >= PAGE_BYTES_MAX:
                break
            upto = min(through, self._last_of(self._segment(examined + 1)))
            stretch = await self._stretch(
                query, after=examined, upto=upto, room=Room(limit - len(found), PAGE_BYTES_MAX - weight)
            )
            found += stretch.entries
            examined = stretch.examined
            weight += sum(len(entry.event.body) for entry in stretch.entries)
        return Scan(entries=found, examined=examined, floor=(await self._known_record()).floor)

    async def find(self, events: Sequence[Event]) -> Found:
        """See `EventLog.find`."""
        wanted = {identity_of(event.identity): event.identity for event in events}
        instances = sorted({event.instance for event in events if event.instance is not None})
        known, owners = await asyncio.gather(self._known(wanted), self._owners(instances))
        unknown = {event.instance for event in events if event.identity not in known}
        return Found(identities=known, owners={name: app for name, app in owners.items() if name in unknown})

    async def seek(self, time: int) -> int:
        """See `EventLog.seek`."""
        head = await self.head()
        if head.position == head.floor:
            return head.floor
        first, last = self._segment(head.floor + 1), self._segment(head.position)
        place = await self._first_ending_at(time, first=first, last=last)
        found = await self._events.query(
            "seek",
            "SELECT TOP 1 VALUE c.sequence FROM c WHERE c.segment = @segment AND c.time >= @time "
            "ORDER BY c.time, c.sequence",
            partition=place,
            values={"segment": place, "time": time},
        )
        return max(head.floor, int(str(found[0])) - 1 if found else head.position)

    async def expire(self, *, before: int) -> int:
        """See `EventLog.expire`. The container's time to live deletes, later than this."""
        floor, head = await self.seek(before), await self.head()
        floor = max(head.floor, min(floor, head.position - 1))
        await self._change("expire", floor=floor, position=head.position)
        return floor

    async def rename(self) -> str:
        """See `EventLog.rename`."""
        name = self._new_name()
        await self._change("rename", name=name)
        return name

    async def close(self) -> None:
        """See `EventLog.close`. The database is closed by whoever opened it."""

    def _segment(self, sequence: int) -> int:
        return sequence // self._record.segment_entries

    def _last_of(self, segment: int) -> int:
        return (segment + 1) * self._record.segment_entries - 1

    def _chunks(self, entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
        """The entries in batches: of one segment each, and no larger than the store takes."""
        chunk, weight = list[Entry](), 0
        for entry in entries:
            weight += len(entry.event.body)
            full = len(chunk) == self.batch_entries_max or weight > BATCH_BYTES_MAX
            if chunk and (full or self._segment(entry.sequence) != self._segment(chunk[0].sequence)):
                yield chunk
                chunk, weight = [], len(entry.event.body)
            chunk.append(entry)
        if chunk:
            yield chunk

    async def _end(self, known: int) -> tuple[int, int]:
        """Position and time of the last entry, which is `known` or comes after it."""
        segment, end = self._segment(known + 1), (known, self._seen_time if known == self._seen else None)
        while True:
            newest = await self._newest(segment)
            if newest is None:
                break
            end = newest
            if newest[0] != self._last_of(segment):
                break
            segment += 1
        if end[1] is None:
            # Nothing in the segment after the known entry: then the known one itself must be there.
            found = await self._newest(self._segment(known)) if known else (0, 0)
            if found is None or found[0] < known:
                raise LogDamaged(f"The log's record says that it ended at {known}; that entry is not there.")
            end = found
        if end[0] < known:
            raise LogDamaged(f"The log's record says that it ended at {known}; its last entry is {end[0]}.")
        return end[0], end[1] or 0

    async def _newest(self, segment: int) -> tuple[int, int] | None:
        """Position and time of a segment's last entry."""
        found = await self._events.query(
            "head",
            "SELECT TOP 1 c.sequence, c.time FROM c WHERE c.segment = @segment ORDER BY c.sequence DESC",
            partition=segment,
            values={"segment": segment},
        )
        return (found[0]["sequence"], found[0]["time"]) if found else None

    async def _stretch(self, query: Query, *, after: int, upto: int, room: Room) -> Stretch:
        """The matches in a part of one segment, from a replica that has all of it."""
        segment, (where, values) = self._segment(upto), conditions(query)
        for _ in range(LAGGING_TRIES_MAX):
            documents = await self._events.query(
                "scan",
                f"SELECT TOP {room.entries + 1} {COLUMNS} FROM c WHERE c.segment = @segment "  # noqa: S608  # constants
                f"AND c.sequence > @after AND c.sequence <= @upto AND (({where}) OR c.sequence = @upto) "
                "ORDER BY c.sequence",
                partition=segment,
                values={"segment": segment, "after": after, "upto": upto, **values},
            )
            taken = _taken(documents, query, upto=upto, room=room)
            if taken is not None:
                return taken
            await asyncio.sleep(LAGGING_SECONDS)
        raise Unavailable("The store's replica does not catch up.")

    async def _known(self, wanted: Mapping[str, Identity]) -> Mapping[Identity, Known]:
        listed, values = listing("identity", list(wanted))
        documents = await self._events.query(
            "find",
            "SELECT c.identity, c.sequence, c.time, c.content, c.mark FROM c "  # noqa: S608  # constants
            f"WHERE c.segment >= @first AND c.identity IN ({listed})",
            values={"first": self._segment(self._record.floor), **values},
        )
        return {
            wanted[each["identity"]]: Known(
                sequence=each["sequence"], time=each["time"], content=content_of(each), mark=each["mark"]
            )
            for each in documents
        }

    async def _owners(self, instances: Sequence[str]) -> Mapping[str, App]:
        """The app of the first event of each instance that has one."""
        if not instances:
            return {}
        listed, values = listing("instance", instances)
        documents = await self._events.query(
            "find",
            "SELECT c.instance, c.org, c.app, c.sequence FROM c "  # noqa: S608  # constants
            f"WHERE c.segment >= @first AND c.instance IN ({listed}) AND IS_STRING(c.app)",
            values={"first": self._segment(self._record.floor), **values},
        )
        newest_first = sorted(documents, key=lambda each: int(each["sequence"]), reverse=True)
        return {each["instance"]: App(org=each["org"], name=each["app"]) for each in newest_first}

    async def _first_ending_at(self, time: int, *, first: int, last: int) -> int:
        """The first segment from `first` to `last` with an entry at `time` or later; `last` when none before has."""
        while first < last:
            middle = (first + last) // 2
            if middle not in self._ends:
                newest = await self._newest(middle)
                self._ends[middle] = newest[1] if newest else -1
            if self._ends[middle] < time:
                first = middle + 1
            else:
                last = middle
        return first

    async def _known_record(self) -> Record:
        """The record, some time old."""
        if asyncio.get_running_loop().time() - self._record_read > RECORD_SECONDS:
            await self._read_record()
        return self._record

    async def _read_record(self) -> Record | None:
        """The record as it is now; None when there is no log yet."""
        now = asyncio.get_running_loop().time()
        found = await self._control.query(
            "record",
            "SELECT c.name, c.floor, c.position, c.segment_entries, c._etag FROM c "
            "WHERE c.kind = @kind AND c.id = @kind",
            partition=_LOG,
            values={"kind": _LOG},
        )
        if not found:
            return None
        self._record, self._record_read = msgspec.convert(found[0], Record), now
        return self._record

    async def _change(self, verb: str, **changes: object) -> None:
        """Change the record, whoever else does; the floor and the position never go back."""
        for _ in range(CHANGE_TRIES_MAX):
            record = await self._read_record()
            if record is None:
                break
            changed = msgspec.structs.replace(record, **changes)
            floor, position = max(changed.floor, record.floor), max(changed.position, record.position)
            document = _document(msgspec.structs.replace(changed, floor=floor, position=position))
            with contextlib.suppress(ConflictError):
                await self._control.replace(verb, document, etag=record.etag)
                await self._read_record()
                return
        raise LogDamaged("The store has lost the record of its log's ends.")


def _document(record: Record) -> Document:
    members = {name: value for name, value in msgspec.structs.asdict(record).items() if name != "etag"}
    return {"id": _LOG, "kind": _LOG, **members}


def _taken(documents: Sequence[Document], query: Query, *, upto: int, room: Room) -> Stretch | None:
    """What of an answer fits; None when it came from a replica that is behind."""
    if len(documents) <= room.entries and (not documents or documents[-1]["sequence"] != upto):
        return None
    entries, weight = list[Entry](), 0
    for document in documents:
        entry = entry_of(document)
        if entry.sequence == upto and not query.matches(entry.event):
            break
        weight += len(entry.event.body)
        if len(entries) == room.entries or (entries and weight > room.bytes):
            return Stretch(entries, entries[-1].sequence)
        entries.append(entry)
    return Stretch(entries, entries[-1].sequence if len(entries) == room.entries else upto)
