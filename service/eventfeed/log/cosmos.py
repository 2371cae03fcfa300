"""The engine on Azure Cosmos DB for NoSQL: a document an entry, a transactional batch as compare-and-swap.

What a verb costs, with documents of 1 KB (request units as the service's documentation gives them; requests as
`tests/conformance/test_cosmos_costs.py` holds them to):

verb     requests                                   request units
head     1, and 1 more every 30 s                   3
append   1 for each 100 entries of one segment      7 to 9 an entry
follow   1 for each segment it touches              3, and 0.1 an entry
scan     1 for each segment it touches              3, and 0.1 an entry found
scan id  1                                          3, times the physical partitions
find     2 for each 100 events                      3 each, times the physical partitions
seek     1, and log2(segments) the first time       3 each
expire   seek's, and 2                              3 each, 11 for the write

Partitions: `/segment` is the sequence divided by the segment's size, so a batch never crosses one, and the newest end
is one partition. To create entry N+1 its writer must have seen entry N: from its own batch, from following, or by
reading the end back, which an engine does at its first append and after every failure.

Consistency: Session, one client a process, and the end is read through the client that scans, so the session token
that comes with the end covers every entry up to it. But the SDK keeps no token of a batch, so what this process has
just written may meet a replica that lacks it. Therefore each answer proves itself: it holds the last entry that it must
reach, which a filtered query asks for beside what it looks for, or else it is asked for again.
"""

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from eventfeed.domain.errors import LogDamaged, TailMoved
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Query
from eventfeed.domain.ports import Found, Head, Known, Scan
from eventfeed.log.cosmos_client import Behind, Calls, ConflictError, Cost, Database, Document, caught_up, no_costs
from eventfeed.log.cosmos_containers import CONTROL, EVENTS
from eventfeed.log.cosmos_documents import COLUMNS, content_of, document_of, entry_of, identity_of
from eventfeed.log.cosmos_queries import Values, conditions, listing
from eventfeed.log.cosmos_record import Records

# Half of what one logical partition holds (20 GB) at 10 KB an entry.
SEGMENT_ENTRIES = 1_000_000
# A transactional batch takes 100 operations and 2 MB, of which ids, names and escapes have their part.
BATCH_BYTES_MAX = 1_400_000
# How far one scan walks before it reports how far it came.
SCAN_SEGMENTS_MAX = 5


class End(NamedTuple):
    """The last entry of the log or of a segment, and its registration time; 0 when there is none."""

    position: int = 0
    time: int = 0


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
        self._new_name = new_name
        self._records = Records(Calls(database, CONTROL, costs=self.costs), segment_entries=segment_entries)
        # The last entry this engine knows to exist, and whether it may be built upon without looking.
        self._seen, self._certain = End(), False
        # The ends of full segments: they do not change.
        self._ends: dict[int, End] = {}

    async def open(self) -> None:
        """Make the log where there is none. Raises `LogDamaged` when its ends contradict each other."""
        await self._records.open(name=self._new_name())
        await self.head()

    async def head(self) -> Head:
        """See `EventLog.head`."""
        record = await self._records.known()
        end = await self._end(max(self._seen.position, record.position))
        if end >= self._seen:
            self._seen, self._certain = end, True
        return Head(log=record.name, floor=record.floor, position=self._seen.position, time=self._seen.time)

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """See `EventLog.append`. All of what one transactional batch holds, then the next."""
        if not self._certain or after > self._seen.position:
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
            self._seen = max(self._seen, End(chunk[-1].sequence, chunk[-1].time))
        self._certain = True

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """See `EventLog.follow`."""
        found, position = list[Entry](), max(after, (await self._records.known()).floor)
        while len(found) < limit:
            segment = self._segment(position + 1)
            part = await caught_up(functools.partial(self._part, segment, after=position, limit=limit - len(found)))
            found += part
            if not part or part[-1].sequence != self._last_of(segment):
                break
            position = part[-1].sequence
        if found:
            self._seen = max(self._seen, End(found[-1].sequence, found[-1].time))
        return found

    async def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """See `EventLog.scan`."""
        if query.filter.id is not None:
            return await self._scan_id(query, after=after, through=through, limit=limit)
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
        return Scan(entries=found, examined=examined, floor=(await self._records.known()).floor)

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
        if head.position == head.floor or head.time < time:
            return head.position
        place = await self._first_ending_at(
            time, first=self._segment(head.floor + 1), last=self._segment(head.position)
        )

        async def ask() -> Sequence[Document] | None:
            found = await self._events.query(
                "seek",
                "SELECT TOP 1 c.sequence FROM c WHERE c.segment = @segment AND c.time >= @time "
                "ORDER BY c.time, c.sequence",
                partition=place,
                values={"segment": place, "time": time},
            )
            return found or None

        (found,) = await caught_up(ask)
        return max(head.floor, int(found["sequence"]) - 1)

    async def expire(self, *, before: int) -> int:
        """See `EventLog.expire`. The container's time to live deletes, later than this."""
        floor, head = await self.seek(before), await self.head()
        floor = max(head.floor, min(floor, head.position - 1))
        await self._records.change("expire", floor=floor, position=head.position)
        return floor

    async def rename(self) -> str:
        """See `EventLog.rename`."""
        name = self._new_name()
        await self._records.change("rename", name=name)
        return name

    async def close(self) -> None:
        """See `EventLog.close`. The database is closed by whoever opened it."""

    def _segment(self, sequence: int) -> int:
        return sequence // self._records.last.segment_entries

    def _last_of(self, segment: int) -> int:
        return (segment + 1) * self._records.last.segment_entries - 1

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

    async def _end(self, known: int) -> End:
        """The last entry, which is `known` or comes after it."""
        segment = self._segment(known)
        try:
            end = await self._newest(segment, least=known)
        except Behind:
            raise LogDamaged(f"The log has reached {known}; no such entry is there, nor one after it.") from None
        while end.position == self._last_of(segment):
            segment += 1
            end = max(end, await self._newest(segment))
        return end

    async def _newest(self, segment: int, *, least: int = 0) -> End:
        """A segment's last entry, which is `least` or comes after it. Raises `Behind`."""

        async def ask() -> End | None:
            found = await self._events.query(
                "head",
                "SELECT TOP 1 c.sequence, c.time FROM c WHERE c.segment = @segment ORDER BY c.sequence DESC",
                partition=segment,
                values={"segment": segment},
            )
            end = End(found[0]["sequence"], found[0]["time"]) if found else End()
            return end if end.position >= least else None

        return await caught_up(ask)

    async def _part(self, segment: int, *, after: int, limit: int) -> Sequence[Entry] | None:
        """Entries of a segment that come right after `after`; None from a replica without all that is known to be."""
        known = min(self._seen.position, self._last_of(segment))
        documents = await self._events.query(
            "follow",
            f"SELECT TOP {limit} {COLUMNS} FROM c "  # noqa: S608  # a number and constants
            "WHERE c.segment = @segment AND c.sequence > @after ORDER BY c.sequence",
            partition=segment,
            values={"segment": segment, "after": after},
        )
        reached = documents[-1]["sequence"] if documents else after
        return None if len(documents) < limit and reached < known else [entry_of(each) for each in documents]

    async def _stretch(self, query: Query, *, after: int, upto: int, room: Room) -> Stretch:
        """The matches in a part of one segment, from a replica that has all of it."""
        segment, (where, values) = self._segment(upto), conditions(query)

        async def ask() -> Stretch | None:
            documents = await self._events.query(
                "scan",
                f"SELECT TOP {room.entries + 1} {COLUMNS} FROM c WHERE c.segment = @segment "  # noqa: S608  # constants
                f"AND c.sequence > @after AND c.sequence <= @upto AND (({where}) OR c.sequence = @upto) "
                "ORDER BY c.sequence",
                partition=segment,
                values={"segment": segment, "after": after, "upto": upto, **values},
            )
            return _taken(documents, query, upto=upto, room=room)

        return await caught_up(ask)

    async def _known(self, wanted: Mapping[str, Identity]) -> Mapping[Identity, Known]:
        listed, values = listing("identity", list(wanted))
        documents = await self._everywhere(
            "c.identity, c.sequence, c.time, c.content, c.mark", f"c.identity IN ({listed})", values=values
        )
        return {
            wanted[each["identity"]]: Known(
                sequence=each["sequence"], time=each["time"], content=content_of(each), mark=each["mark"]
            )
            for each in documents
            if each.get("identity") in wanted
        }

    async def _owners(self, instances: Sequence[str]) -> Mapping[str, App]:
        """The app of the first event of each instance that has one."""
        if not instances:
            return {}
        listed, values = listing("instance", instances)
        documents = await self._everywhere(
            "c.instance, c.org, c.app, c.sequence", f"c.instance IN ({listed}) AND IS_STRING(c.app)", values=values
        )
        newest_first = sorted(documents, key=lambda each: int(each["sequence"]), reverse=True)
        return {
            each["instance"]: App(org=each["org"], name=each["app"])
            for each in newest_first
            if each.get("app") and each.get("instance") in instances
        }

    async def _scan_id(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """A scan for one event's id: it may be anywhere, so it is asked of all segments at once."""
        where, values = conditions(query)
        documents = await self._everywhere(
            COLUMNS,
            f"{where} AND c.sequence > @after AND c.sequence <= @through",
            values={**values, "after": after, "through": through},
            first=limit,
        )
        entries, weight = list[Entry](), 0
        for entry in map(entry_of, documents):
            if after < entry.sequence <= through and query.matches(entry.event):
                weight += len(entry.event.body)
                if entries and weight > PAGE_BYTES_MAX:
                    through = entries[-1].sequence
                    break
                entries.append(entry)
                if len(entries) == limit:
                    through = entry.sequence
                    break
        return Scan(entries=entries, examined=through, floor=(await self._records.known()).floor)

    async def _everywhere(
        self, columns: str, where: str, *, values: Values, first: int | None = None
    ) -> Sequence[Document]:
        """Documents of all segments, and the proofs that each replica had what is known to be; `first` ones in order.

        Proof is the last known entry, and of the segment before, which may be in another partition, the last one.
        """
        ends = self._seen.position, self._segment(self._seen.position) * self._records.last.segment_entries - 1
        proofs = [each for each in ends if each > self._records.last.floor]
        most = None if first is None else first + len(proofs) + 1
        top, order = ("", "") if most is None else (f"TOP {most}", "ORDER BY c.sequence")
        if proofs:
            listed, proving = listing("proof", proofs)
            where, values = f"({where}) OR c.sequence IN ({listed})", {**values, **proving}

        async def ask() -> Sequence[Document] | None:
            documents = await self._events.query(
                "find",
                f"SELECT {top} {columns} FROM c WHERE c.segment >= @first AND ({where}) {order}",  # noqa: S608  # constants
                values={"first": self._segment(self._records.last.floor), **values},
            )
            whole = len(documents) == most or {each["sequence"] for each in documents}.issuperset(proofs)
            return documents if whole else None

        return await caught_up(ask)

    async def _first_ending_at(self, time: int, *, first: int, last: int) -> int:
        """The first segment from `first` to `last` with an entry at `time` or later; `last` when none before has."""
        while first < last:
            middle = (first + last) // 2
            if middle not in self._ends:
                self._ends[middle] = await self._newest(middle, least=self._last_of(middle))
            if self._ends[middle].time < time:
                first = middle + 1
            else:
                last = middle
        return first


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
