"""The engine on Azure Cosmos DB for NoSQL: a document an entry, a transactional batch as compare-and-swap.

What a verb costs, with documents of 1 KB (request units as the service's documentation gives them; requests as
`tests/conformance/test_cosmos_costs.py` holds them to):

verb     requests                                    request units
open     1, 3 where there is no log                  3, 11 for the write
head     1, and 1 more every 30 s                    3
append   1 for each 100 entries of one segment       7 to 9 an entry
follow   1 for each segment it touches               3, and 0.1 an entry
scan     1 for each segment it touches               3, and 0.1 an entry found
scan id  1                                           3, times the physical partitions
find     1 for each 100 events, and 1 for instances  3 each, times the physical partitions
         that this process has not asked for yet
seek     2, and log2(segments) the first time        3 each
expire   seek's, and 1 when the floor has moved      3 each, 11 for the write
rename   head's, and 1                               3, 11 for the write
approval, approve                1                   3, 11
withdraw, record                 2, 1                14, 8

What orders the documents of several physical partitions (scan id, instances) needs a plan on the service besides.

Partitions: `/segment` is the sequence divided by the segment's size, so a batch never crosses one, and the newest end
is one partition. To create entry N+1 its writer must have seen entry N: from its own batch, from following, or by
reading the end back, which an engine does at its first append and after every failure.

Consistency: Session, one client a process, and the end is read through the client that scans, so the session token
that comes with the end covers every entry up to it. But the SDK keeps no token of a batch, so what this process has
just written may meet a replica that lacks it. Therefore each answer proves itself: it holds the last entry that it must
reach, which a filtered query asks for beside what it looks for, or else it is asked for again.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from eventfeed.domain.errors import LogDamaged, TailMoved
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Query
from eventfeed.domain.ports import Head, Lookup, Scan, StoredEvent
from eventfeed.log.cosmos.containers import CONTROL, EVENTS
from eventfeed.log.cosmos.database import Calls, ConflictError, Database, Document, with_deadline
from eventfeed.log.cosmos.documents import COLUMNS, content_of, document_of, entry_of, identity_of
from eventfeed.log.cosmos.manifest import LogManifest, ManifestStore
from eventfeed.log.cosmos.queries import conditions, listing
from eventfeed.log.cosmos.segments import End, ScanBudget, Segments

# Half of what one logical partition holds (20 GB) at 10 KB an entry.
SEGMENT_ENTRIES = 1_000_000
# A transactional batch takes 100 operations and 2 MB; around each document there is some more.
BATCH_BYTES_MAX = 1_900_000
OPERATION_BYTES = 500
# How far one scan walks before it reports how far it came.
SCAN_SEGMENTS_MAX = 5
# One step of looking for the first events of instances.
FIRSTS_MAX = 1_000
OWNERS_MAX = 20_000


class Owner(NamedTuple):
    """The app of an instance's first event, and where that stands."""

    app: App
    sequence: int


class CosmosLog:
    """An `EventLog` in one database. `open` it before anything else."""

    batch_entries_max = 100
    batch_bytes_max = 1_400_000
    engine = "cosmos"
    end_ages = True

    def __init__(
        self,
        database: Database,
        *,
        new_name: Callable[[], str],
        segment_entries: int = SEGMENT_ENTRIES,
    ) -> None:
        self._database, self._new_name = database, new_name
        self._events = Calls(database, EVENTS)
        self._manifest = ManifestStore(
            Calls(database, CONTROL), segment_entries=segment_entries, random=database.random
        )
        self._segments = Segments(self._events, self._manifest)
        # Whether the last entry seen may be built upon without looking.
        self._certain = False
        self._owners_known: dict[str, Owner] = {}

    @property
    def clock_skew(self) -> int:
        """See `EventLog.clock_skew`."""
        return self._database.clock_skew

    @with_deadline
    async def open(self) -> None:
        """Make the log where there is none."""
        await self._manifest.open(name=self._new_name())

    @with_deadline
    async def head(self) -> Head:
        """See `EventLog.head`."""
        manifest = await self._manifest.known()
        end = await self._segments.end(max(self._segments.seen.position, manifest.position))
        if end >= self._segments.seen:
            self._segments.saw(end)
            self._certain = True
        seen = self._segments.seen
        return Head(log=manifest.name, log_start=manifest.log_start, end_offset=seen.position, time=seen.time)

    @with_deadline
    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """See `EventLog.append`. All of what one transactional batch holds, then the next."""
        if not self._certain or after > self._segments.seen.position:
            head = await self.head()
            if head.end_offset != after:
                raise TailMoved(expected=after, actual=head.end_offset)
        self._certain = False
        for documents in self._batches(entries):
            first, last = documents[0], documents[-1]
            try:
                await self._events.create("append", documents, partition=first["segment"])
            except ConflictError:
                head = await self.head()
                raise TailMoved(expected=first["sequence"] - 1, actual=head.end_offset) from None
            self._segments.saw(End(last["sequence"], last["time"]))
        self._certain = True

    @with_deadline
    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """See `EventLog.follow`."""
        found, position = list[Entry](), max(after, (await self._manifest.known()).log_start)
        while len(found) < limit:
            part = await self._segments.part(after=position, limit=limit - len(found))
            found += part
            if not part or part[-1].sequence != self._segments.last_of(self._segments.of(position + 1)):
                break
            position = part[-1].sequence
        if found:
            self._segments.saw(End(found[-1].sequence, found[-1].time))
        return found

    @with_deadline
    async def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """See `EventLog.scan`."""
        if query.filter.id is not None:
            return await self._scan_id(query, after=after, through=through, limit=limit)
        found, examined, weight = list[Entry](), after, 0
        for _ in range(SCAN_SEGMENTS_MAX):
            if examined >= through or len(found) >= limit or weight >= PAGE_BYTES_MAX:
                break
            upto = min(through, self._segments.last_of(self._segments.of(examined + 1)))
            segment_slice = await self._segments.slice_segment(
                query, after=examined, upto=upto, room=ScanBudget(limit - len(found), PAGE_BYTES_MAX - weight)
            )
            found += segment_slice.entries
            examined = segment_slice.examined
            weight += sum(len(entry.event.body) for entry in segment_slice.entries)
        return Scan(entries=found, examined=examined, log_start=(await self._manifest.known()).log_start)

    @with_deadline
    async def find(self, events: Sequence[Event]) -> Lookup:
        """See `EventLog.find`."""
        wanted = {identity_of(event.identity): event.identity for event in events}
        instances = sorted({event.instance for event in events if event.instance is not None})
        known, owners = await asyncio.gather(self._known(wanted), self._owners(instances))
        unknown = {event.instance for event in events if event.identity not in known}
        return Lookup(identities=known, owners={name: app for name, app in owners.items() if name in unknown})

    @with_deadline
    async def seek(self, time: int) -> int:
        """See `EventLog.seek`."""
        return await self._seek(time, head=await self.head())

    @with_deadline
    async def expire(self, *, before: int) -> int:
        """See `EventLog.expire`. The container's time to live deletes, later than this."""
        head = await self.head()
        log_start = max(head.log_start, min(await self._seek(before, head=head), head.end_offset - 1))

        def passed(manifest: LogManifest) -> LogManifest:
            if log_start <= manifest.log_start:
                return manifest
            return replace(manifest, log_start=log_start, position=max(manifest.position, head.end_offset))

        await self._manifest.change("expire", passed)
        return log_start

    @with_deadline
    async def rename(self) -> str:
        """See `EventLog.rename`. The new log begins with what there is, also where the old one had lost its end."""
        name = self._new_name()
        try:
            end = (await self.head()).end_offset
        except LogDamaged:
            end = await self._segments.last()
        await self._manifest.change(
            "rename",
            lambda manifest: replace(manifest, name=name, log_start=min(manifest.log_start, end), position=end),
        )
        return name

    async def close(self) -> None:
        """See `EventLog.close`. The database is closed by whoever opened it."""

    async def _seek(self, time: int, *, head: Head) -> int:
        if head.end_offset == head.log_start or head.time < time:
            return head.end_offset
        return max(head.log_start, await self._segments.seek(time, log_start=head.log_start, end=head.end_offset) - 1)

    def _batches(self, entries: Sequence[Entry]) -> Iterator[Sequence[Document]]:
        """The entries' documents in batches: of one segment each, and no larger than the store takes."""
        batch, weight = list[Document](), 0
        for entry in entries:
            document = document_of(entry, segment=self._segments.of(entry.sequence))
            size = len(msgspec.json.encode(document)) + OPERATION_BYTES
            full = len(batch) == self.batch_entries_max or weight + size > BATCH_BYTES_MAX
            if batch and (full or document["segment"] != batch[0]["segment"]):
                yield batch
                batch, weight = [], 0
            batch.append(document)
            weight += size
        if batch:
            yield batch

    async def _known(self, wanted: Mapping[str, Identity]) -> Mapping[Identity, StoredEvent]:
        listed, values = listing("identity", list(wanted))
        documents = await self._segments.everywhere(
            "c.identity, c.sequence, c.time, c.content, c.mark", f"c.identity IN ({listed})", values=values
        )
        return {
            wanted[each["identity"]]: StoredEvent(
                sequence=each["sequence"], time=each["time"], content=content_of(each), write_id=each["mark"]
            )
            for each in documents
            if each.get("identity") in wanted
        }

    async def _owners(self, instances: Sequence[str]) -> Mapping[str, App]:
        """The app of the first event of each instance that has one. What was found once is remembered."""
        log_start, found = self._manifest.last.log_start, dict[str, Owner]()
        for name in instances:
            owner = self._owners_known.get(name)
            if owner is not None and owner.sequence > log_start:
                found[name] = owner
        while left := [name for name in instances if name not in found]:
            firsts, complete = await self._firsts(left)
            found |= firsts
            if complete:
                break
        self._owners_known |= found
        while len(self._owners_known) > OWNERS_MAX:
            del self._owners_known[next(iter(self._owners_known))]
        return {name: owner.app for name, owner in found.items()}

    async def _firsts(self, instances: Sequence[str]) -> tuple[Mapping[str, Owner], bool]:
        """The first owners among the oldest events of these instances, and whether those were all their events."""
        listed, values = listing("instance", instances)
        documents = await self._segments.everywhere(
            "c.instance, c.org, c.app, c.sequence",
            f"c.instance IN ({listed}) AND IS_STRING(c.app)",
            values=values,
            first=FIRSTS_MAX,
        )
        owners = {
            each["instance"]: Owner(App(org=each["org"], name=each["app"]), each["sequence"])
            for each in reversed(documents)
            if each.get("app") and each.get("instance") in instances
        }
        return owners, len(documents) < FIRSTS_MAX

    async def _scan_id(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """A scan for one event's id: it may be anywhere, so it is asked of all segments at once."""
        where, values = conditions(query)
        documents = await self._segments.everywhere(
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
        return Scan(entries=entries, examined=through, log_start=(await self._manifest.known()).log_start)
