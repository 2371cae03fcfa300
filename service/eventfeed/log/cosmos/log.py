"""The engine on Azure Cosmos DB for NoSQL: one document for each entry, a transactional batch as compare-and-swap.

The cost of each verb, with documents of 1 KB. Request units are the documentation's of the service; requests are
checked by `tests/conformance/test_cosmos_costs.py`.

verb     requests                                    request units
open     1, 3 if there is no log                     3, 11 for the write
head     1, and 1 more every 30 s                    3
append   1 for each 100 entries of one segment       7 to 9 an entry
follow   1 for each segment                          3, and 0.1 an entry
scan     1 for each segment                          3, and 0.1 a match
scan id  1                                           3, times the physical partitions
find     1 for each 100 events, and 1 for instances  3 each, times the physical partitions
         that are not in the cache
seek     2, and log2(segments) the first time        3 each
expire   seek's, and 1 if the log start moves        3 each, 11 for the write
rename   head's, and 1                               3, 11 for the write
approval, approve                1                   3, 11
withdraw, record                 2, 1                14, 8

Queries that order the documents of several physical partitions (scan id, instances) also need a query plan.

Partitions: `/segment` is the sequence divided by the segment size, so a batch never crosses a segment, and the newest
end is in one partition. To create entry N+1 its writer must know that entry N exists: from its own batch, from
following, or by reading the end, which an engine does at its first append and after every failure.

Consistency: Session, with one client a process. The client that scans also reads the end, so the session token of that
response covers every entry up to it. But the SDK stores no token for a batch, so a replica may lack the entries that
this process has just written. Therefore each response must prove that it is current; see `segments`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from cachetools import FIFOCache
from msgspec.structs import replace

from eventfeed.domain.conditions import Equal
from eventfeed.domain.errors import LogDamaged, TailMoved
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Feed
from eventfeed.domain.ports import Head, Lookup, Scan, StoredEvent
from eventfeed.log.cosmos.containers import CONTROL, EVENTS
from eventfeed.log.cosmos.database import Calls, Database, Document
from eventfeed.log.cosmos.documents import COLUMNS, content_of, document_of, entry_of, identity_of
from eventfeed.log.cosmos.manifest import LogManifest, ManifestStore
from eventfeed.log.cosmos.queries import feed_clause, value_list
from eventfeed.log.cosmos.retry import ConflictError, with_deadline
from eventfeed.log.cosmos.segments import End, ScanBudget, Segments, fill

# Half of one logical partition (20 GB) at 10 KB an entry.
SEGMENT_ENTRIES = 1_000_000
# A transactional batch has at most 100 operations and 2 MB, with some overhead for each document.
BATCH_BYTES_MAX = 1_900_000
OPERATION_BYTES = 500
# The most segments that one scan reads.
SCAN_SEGMENTS_MAX = 5
# The most events that one query for the first events of instances returns.
FIRST_EVENTS_MAX = 1_000
OWNERS_MAX = 20_000


class Owner(NamedTuple):
    """The app of an instance's first event, and the position of that event."""

    app: App
    sequence: int


class CosmosLog:
    """An `EventLog` in one database. `open` it before anything else."""

    batch_entries_max = 100
    batch_bytes_max = 1_400_000
    import_entries_max = 100
    engine = "cosmos"
    linger_seconds_max = 0.02
    end_ages = True

    def __init__(
        self,
        database: Database,
        *,
        new_name: Callable[[], str],
        identity_keep: int,
        segment_entries: int = SEGMENT_ENTRIES,
    ) -> None:
        self._database, self._new_name = database, new_name
        # An identity may occur again after this time (µs).
        self._identity_keep = identity_keep
        self._events = Calls(database, EVENTS)
        self._manifest = ManifestStore(
            Calls(database, CONTROL), segment_entries=segment_entries, random=database.random
        )
        self._segments = Segments(self._events, self._manifest)
        # True if an append may follow the newest known entry without reading the end first.
        self._can_append = False
        self._owners = FIFOCache[str, Owner](OWNERS_MAX)

    @with_deadline
    async def open(self) -> None:
        """Create the log if there is none."""
        await self._manifest.open(name=self._new_name())

    async def create(self) -> None:
        """Open the log, which creates it."""
        await self.open()

    async def probe(self) -> Head:
        """Return both ends: a write that changes nothing would cost request units."""
        return await self.head()

    @with_deadline
    async def head(self) -> Head:
        """See `EventLog.head`."""
        manifest = await self._manifest.recent()
        end = await self._segments.read_end(least=max(self._segments.newest.position, manifest.position))
        if end >= self._segments.newest:
            self._segments.observe(end)
            self._can_append = True
        newest = self._segments.newest
        return Head(log=manifest.name, log_start=manifest.log_start, end_offset=newest.position, time=newest.time)

    @with_deadline
    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """See `EventLog.append`. Each transactional batch is written whole or not at all."""
        if not self._can_append or after > self._segments.newest.position:
            head = await self.head()
            if head.end_offset != after:
                raise TailMoved(expected=after, actual=head.end_offset)
        self._can_append = False
        for documents in self._batches(entries):
            first, last = documents[0], documents[-1]
            try:
                await self._events.create("append", documents, partition=first["segment"])
            except ConflictError:
                head = await self.head()
                raise TailMoved(expected=first["sequence"] - 1, actual=head.end_offset) from None
            self._segments.observe(End(last["sequence"], last["time"]))
        self._can_append = True

    @with_deadline
    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """See `EventLog.follow`."""
        entries, position = list[Entry](), max(after, (await self._manifest.recent()).log_start)
        while len(entries) < limit:
            part = await self._segments.follow(after=position, limit=limit - len(entries))
            entries += part
            if not part or part[-1].sequence != self._segments.last_position(self._segments.of(position + 1)):
                break
            position = part[-1].sequence
        if entries:
            self._segments.observe(End(entries[-1].sequence, entries[-1].time))
        return entries

    @with_deadline
    async def scan(self, feed: Feed, *, after: int, through: int, limit: int) -> Scan:
        """See `EventLog.scan`."""
        if any(isinstance(each, Equal) and each.field == "id" for each in feed.filters):
            return await self._scan_by_id(feed, after=after, through=through, limit=limit)
        entries, position, size = list[Entry](), after, 0
        for _ in range(SCAN_SEGMENTS_MAX):
            if position >= through or len(entries) >= limit or size >= PAGE_BYTES_MAX:
                break
            last = min(through, self._segments.last_position(self._segments.of(position + 1)))
            budget = ScanBudget(limit - len(entries), PAGE_BYTES_MAX - size)
            part = await self._segments.scan(feed, after=position, through=last, budget=budget)
            entries += part.entries
            position = part.through
            size += sum(len(entry.event.body) for entry in part.entries)
        return Scan(entries=entries, examined=position, log_start=(await self._manifest.recent()).log_start)

    @with_deadline
    async def find(self, events: Sequence[Event]) -> Lookup:
        """See `EventLog.find`."""
        identities = {identity_of(event.identity): event.identity for event in events}
        instances = sorted({event.instance for event in events if event.instance is not None})
        since = self._database.clock() // 1_000 - self._identity_keep
        stored_events, owners = await asyncio.gather(
            self._find_identities(identities, since=since), self._find_owners(instances)
        )
        new = {event.instance for event in events if event.identity not in stored_events}
        return Lookup(identities=stored_events, owners={name: app for name, app in owners.items() if name in new})

    @with_deadline
    async def find_identities(self, identities: Sequence[Identity]) -> Mapping[Identity, StoredEvent]:
        """See `EventLog.find_identities`."""
        return await self._find_identities({identity_of(each): each for each in identities}, since=0)

    async def begin_import(self) -> None:
        """Do nothing: Cosmos DB needs no preparation, and a service may read meanwhile."""

    async def end_import(self) -> None:
        """Do nothing: see `begin_import`."""

    @with_deadline
    async def seek(self, time: int) -> int:
        """See `EventLog.seek`."""
        return await self._seek(time, head=await self.head())

    @with_deadline
    async def expire(self, *, before: int) -> int:
        """See `EventLog.expire`. The container's time to live deletes the documents later."""
        head = await self.head()
        log_start = max(head.log_start, min(await self._seek(before, head=head), head.end_offset - 1))

        def move_log_start(manifest: LogManifest) -> LogManifest:
            if log_start <= manifest.log_start:
                return manifest
            return replace(manifest, log_start=log_start, position=max(manifest.position, head.end_offset))

        await self._manifest.change("expire", move_log_start)
        return log_start

    @with_deadline
    async def rename(self) -> str:
        """See `EventLog.rename`. The new log begins with the remaining entries, also if the old end was lost."""
        name = self._new_name()
        try:
            end = (await self.head()).end_offset
        except LogDamaged:
            end = await self._segments.read_last_position()
        await self._manifest.change(
            "rename",
            lambda manifest: replace(manifest, name=name, log_start=min(manifest.log_start, end), position=end),
        )
        return name

    async def close(self) -> None:
        """See `EventLog.close`. The owner of the database closes it."""

    async def _seek(self, time: int, *, head: Head) -> int:
        if head.end_offset == head.log_start or head.time < time:
            return head.end_offset
        return max(head.log_start, await self._segments.seek(time, log_start=head.log_start, end=head.end_offset) - 1)

    def _batches(self, entries: Sequence[Entry]) -> Iterator[Sequence[Document]]:
        """Yield the documents of the entries in batches: each of one segment, and no larger than the store accepts."""
        batch, batch_size = list[Document](), 0
        for entry in entries:
            document = document_of(entry, segment=self._segments.of(entry.sequence))
            size = len(msgspec.json.encode(document)) + OPERATION_BYTES
            full = len(batch) == self.batch_entries_max or batch_size + size > BATCH_BYTES_MAX
            if batch and (full or document["segment"] != batch[0]["segment"]):
                yield batch
                batch, batch_size = [], 0
            batch.append(document)
            batch_size += size
        if batch:
            yield batch

    async def _find_identities(
        self, identities: Mapping[str, Identity], *, since: int
    ) -> Mapping[Identity, StoredEvent]:
        names, values = value_list("identity", list(identities))
        documents = await self._segments.query_all(
            "c.identity, c.sequence, c.time, c.content, c.mark", f"c.identity IN ({names})", values=values
        )
        return {
            identities[each["identity"]]: StoredEvent(
                sequence=each["sequence"], time=each["time"], content=content_of(each), write_id=each["mark"]
            )
            for each in documents
            if each.get("identity") in identities and each["time"] >= since
        }

    async def _find_owners(self, instances: Sequence[str]) -> Mapping[str, App]:
        """Return the app of the first event of each instance that has one. Owners are cached."""
        log_start = self._manifest.latest.log_start
        cache = {name: self._owners[name] for name in instances if name in self._owners}
        owners = {name: owner for name, owner in cache.items() if owner.sequence > log_start}
        while missing := [name for name in instances if name not in owners]:
            first_owners, is_complete = await self._first_owners(missing)
            owners |= first_owners
            if is_complete:
                break
        self._owners.update(owners)
        return {name: owner.app for name, owner in owners.items()}

    async def _first_owners(self, instances: Sequence[str]) -> tuple[Mapping[str, Owner], bool]:
        """Return the owners by the oldest events of these instances, and True if those are all their events."""
        names, values = value_list("instance", instances)
        documents = await self._segments.query_all(
            "c.instance, c.org, c.app, c.sequence",
            f"c.instance IN ({names}) AND IS_STRING(c.app)",
            values=values,
            first=FIRST_EVENTS_MAX,
        )
        owners = {
            each["instance"]: Owner(App(org=each["org"], name=each["app"]), each["sequence"])
            for each in reversed(documents)
            if each.get("app") and each.get("instance") in instances
        }
        return owners, len(documents) < FIRST_EVENTS_MAX

    async def _scan_by_id(self, feed: Feed, *, after: int, through: int, limit: int) -> Scan:
        """Scan for one event's id. It may be in any segment, so one query covers all of them."""
        where, values = feed_clause(feed)
        documents = await self._segments.query_all(
            COLUMNS,
            f"{where} AND c.sequence > @after AND c.sequence <= @through",
            values={**values, "after": after, "through": through},
            first=limit,
        )
        entries = (entry for entry in map(entry_of, documents) if after < entry.sequence <= through)
        matches = (entry for entry in entries if feed.matches(entry.event))
        part = fill(matches, ScanBudget(limit, PAGE_BYTES_MAX), through=through)
        log_start = (await self._manifest.recent()).log_start
        return Scan(entries=part.entries, examined=part.through, log_start=log_start)
