"""The engine on Azure Cosmos DB for NoSQL: one document for each commit, whose creation is a compare-and-swap.

The requests of each verb are checked by `tests/conformance/test_cosmos_costs.py`.

verb     requests
open     2, 5 if there is no log
head     1, and 1 more every 30 s
append   1 for each commit, and 1 for each instance without a known owner
follow   1 for each segment and each 4 MB
scan     dense: 1 for each segment and each 4 MB; sparse: 1 for the places, and 1 for each segment with matches
find     1 for the identities, 1 for instances whose owner is not known, and 1 for each segment with a repeat
seek     2, and log2(segments) the first time
expire   seek's, and 1 if the log start moves, or the manifest has no position yet
rename   head's, and 1
approval, approve                1
withdraw, record                 2, 1

A query over all partitions takes a request for each physical partition, and one for its plan if it has an order.

Partitions: `/segment` is the first position divided by the segment size, so the newest end is in one partition. To
create the commit after N its writer must know that N is the last entry of a stored commit: from its own append, from
following, or by reading the end, which an engine does at its first append and after every failure.

Consistency: Session, with one client a process. It keeps the session token of each response, also of a creation, and
sends it with each read. So no replica that lacks an entry that this process knows can respond.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec.structs import replace

from eventfeed.domain.errors import LogDamaged, NotDone, OutcomeUnknown, TailMoved
from eventfeed.domain.event import Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Feed
from eventfeed.domain.ports import Head, Lookup, Plan, Scan, StoredEvent
from eventfeed.log.cosmos.check import LogCheck
from eventfeed.log.cosmos.containers import COMMITS, OWNERS, RECORDS
from eventfeed.log.cosmos.damage import Damage, DamagedAt, unless_damaged
from eventfeed.log.cosmos.database import Calls, Database, Document
from eventfeed.log.cosmos.documents import COMMIT_ENTRIES_MAX, commit_documents, identity_term
from eventfeed.log.cosmos.manifest import LogManifest, ManifestStore
from eventfeed.log.cosmos.owners import Owners, OwnerTakenError
from eventfeed.log.cosmos.queries import has_any
from eventfeed.log.cosmos.retry import STALE_SECONDS, STALE_TRIES_MAX, ConflictError, with_deadline
from eventfeed.log.cosmos.scans import Scanner
from eventfeed.log.cosmos.segments import End, Segments

# The linger time (s): for each request unit of the last lookup, and at most. A lookup asks each physical partition,
# once for each commit, so larger commits save the more, the more partitions there are.
LINGER_UNIT_SECONDS = 0.005
LINGER_SECONDS = 0.15


class CosmosLog:
    """An `EventLog` in one database. `open` it before anything else."""

    batch_entries_max = COMMIT_ENTRIES_MAX
    # With their attributes, these are the rows of one commit.
    batch_bytes_max = 700_000
    import_entries_max = COMMIT_ENTRIES_MAX
    engine = "cosmos"
    end_ages = True
    lag_seconds_max = STALE_TRIES_MAX * STALE_SECONDS

    def __init__(
        self,
        database: Database,
        *,
        new_name: Callable[[], str],
        keep: int,
        identity_keep: int,
        segment_entries: int,
        for_import: bool = False,
    ) -> None:
        """Take the database, the retention `keep` and the time after which an identity may occur again (µs)."""
        self._database, self._new_name, self._for_import = database, new_name, for_import
        self._keep, self._identity_keep = keep, identity_keep
        self._commits = Calls(database, COMMITS)
        self._manifest = ManifestStore(
            Calls(database, RECORDS), segment_entries=segment_entries, random=database.random
        )
        self._segments = Segments(self._commits, self._manifest, may_have_expired=self._may_have_expired)
        self._scanner = Scanner(self._segments)
        self._owners = Owners(Calls(database, OWNERS), now=self._now, keep=keep)
        self._damage = Damage(self._segments.check)
        self.linger_seconds_max = 0.0
        # True if an append may follow the newest known commit without reading the end first.
        self._can_append = False

    @with_deadline
    async def open(self) -> None:
        """Create the log if there is none. Raises `LogDamaged` if the store has lost the manifest of one."""
        await self._manifest.open(
            name=self._new_name(),
            time=self._now(),
            retention=self._keep,
            last_position=self._segments.last_remaining,
        )
        if not self._for_import:
            self._manifest.require_no_import()
        await self._find_end()

    @with_deadline
    async def open_to_read(self) -> None:
        """Open a log that exists, and change nothing in its database."""
        await self._manifest.open_existing()
        self._manifest.require_no_import()
        await self._find_end()

    async def _find_end(self) -> None:
        """Note the last entry. The manifest may have one of long ago, and `head` would read each segment since."""
        self._segments.observe(End(await self._segments.last_remaining()))

    async def create(self) -> None:
        """Open the log, which creates it."""
        await self.open()

    async def probe(self) -> Head:
        """Return both ends: a write that changes nothing would cost request units."""
        return await self.head()

    @with_deadline
    @unless_damaged
    async def head(self) -> Head:
        """See `EventLog.head`."""
        return await self._head()

    @with_deadline
    @unless_damaged
    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """See `EventLog.append`. Each commit is written whole or not at all."""
        if not self._can_append or after != self._segments.newest.position:
            head = await self._head()
            if head.end_offset != after:
                raise TailMoved(expected=after, actual=head.end_offset)
        try:
            await self._owners.claim(entries)
        except OwnerTakenError:
            if not self._for_import:  # its entries have their apps already
                raise TailMoved(expected=after, actual=after - 1) from None  # the batch is planned again
        except OutcomeUnknown as failure:  # of an owner: no commit was sent
            raise NotDone(str(failure), retry_seconds=failure.retry_seconds) from failure
        self._can_append = False
        for document in commit_documents(entries, segment_entries=self._manifest.latest.segment_entries):
            try:
                await self._create(document)
            except NotDone as failure:
                if document["first"] == after + 1:
                    raise
                raise OutcomeUnknown(str(failure), retry_seconds=failure.retry_seconds) from failure
            self._segments.observe(End(document["last"], document["time"]))
        self._can_append = True

    async def append_new(self, events: Sequence[Event], *, tail: Head, plan: Plan) -> None:
        """See `EventLog.append_new`. An entry of another writer after `tail` makes the append fail."""
        if entries := plan(await self.find(events), tail):
            await self.append(entries, after=tail.end_offset)

    @with_deadline
    @unless_damaged
    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """See `EventLog.follow`."""
        entries, position = list[Entry](), max(after, (await self._manifest.recent()).log_start)
        has_more = True
        while has_more and len(entries) < limit:
            commits, has_more = await self._segments.read("follow", after=position, entries=limit - len(entries))
            entries += [entry for commit in commits for entry in commit.entries if entry.sequence > position]
            if commits:
                position = commits[-1].last
                self._segments.observe(End(position, commits[-1].entries[-1].time))
        del entries[limit:]
        return entries

    @with_deadline
    @unless_damaged
    async def scan(self, feed: Feed, *, after: int, through: int, limit: int, bytes_max: int = PAGE_BYTES_MAX) -> Scan:
        """See `EventLog.scan`."""
        matches = await self._scanner.scan(feed, after=after, through=through, limit=limit, bytes_max=bytes_max)
        log_start = (await self._manifest.recent()).log_start
        return Scan(
            entries=matches.entries, examined=matches.position, log_start=log_start, is_full=matches.exceeds_bytes
        )

    @with_deadline
    @unless_damaged
    async def find(self, events: Sequence[Event]) -> Lookup:
        """Look up these events among the entries of the identity window."""
        costs = self._database.costs
        before = costs["find"].units
        stored_events = await self._find_identities(
            [event.identity for event in events], since=self._now() - self._identity_keep
        )
        self.linger_seconds_max = min(LINGER_SECONDS, (costs["find"].units - before) * LINGER_UNIT_SECONDS)
        # Two events with one identity may name different instances.
        new = (event.instance for event in events if event.identity not in stored_events)
        instances = sorted({instance for instance in new if instance is not None})
        return Lookup(identities=stored_events, owners=await self._owners.find(instances) if instances else {})

    @with_deadline
    @unless_damaged
    async def find_identities(self, identities: Sequence[Identity]) -> Mapping[Identity, StoredEvent]:
        """See `EventLog.find_identities`."""
        return await self._find_identities(identities, since=0)

    @with_deadline
    async def adopt(self, name: str, *, log_start: int) -> None:
        """See `ImportLog.adopt`."""
        head = await self._head()
        if head.end_offset != head.log_start:
            raise TailMoved(expected=head.log_start, actual=head.end_offset)
        await self._manifest.change(
            "adopt", lambda manifest: replace(manifest, name=name, log_start=log_start, position=log_start)
        )
        self._segments.newest = End(log_start)

    @with_deadline
    async def begin_import(self) -> None:
        """Note in the manifest that an import has begun, so that no service opens the log."""
        await self._manifest.change("import", lambda manifest: replace(manifest, importing=True))

    @with_deadline
    async def end_import(self) -> None:
        """Note the end of the import, and that of the log."""
        end = (await self._head()).end_offset
        await self._manifest.change("import", lambda manifest: replace(manifest, importing=False, position=end))

    @with_deadline
    @unless_damaged
    async def seek(self, time: int) -> int:
        """See `EventLog.seek`."""
        return await self._seek(time, head=await self._head())

    @with_deadline
    @unless_damaged
    async def expire(self, *, before: int) -> int:
        """See `EventLog.expire`. The container's time to live deletes the documents later."""
        head = await self._head()
        log_start = max(head.log_start, min(await self._seek(before, head=head), head.end_offset - 1))

        def move_log_start(manifest: LogManifest) -> LogManifest:
            # An end is noted before the first entry expires: a log whose entries have all expired is not a new one.
            if log_start <= manifest.log_start and (manifest.position or not head.end_offset):
                return manifest
            return replace(
                manifest,
                log_start=max(manifest.log_start, log_start),
                position=max(manifest.position, head.end_offset),
            )

        await self._manifest.change("expire", move_log_start)
        return log_start

    @with_deadline
    async def rename(self) -> str:
        """See `EventLog.rename`. The new log begins with the remaining entries, also if the old end was lost."""
        name = self._new_name()
        try:
            end = (await self._head()).end_offset
        except LogDamaged:
            end = await self._segments.last_remaining()
        await self._manifest.change(
            "rename",
            lambda manifest: replace(manifest, name=name, log_start=min(manifest.log_start, end), position=end),
        )
        return name

    async def faults(self) -> AsyncIterator[str]:
        """Yield faults of the log: its documents, both ends, index terms and owners."""
        check = LogCheck(
            self._commits,
            self._owners,
            head=await self.head(),
            segment_entries=self._manifest.latest.segment_entries,
        )
        async for fault in check.faults():
            yield fault
        # A service may have appended since.
        for fault in await check.stray_documents(end_offset=(await self.head()).end_offset):
            yield fault

    async def close(self) -> None:
        """See `EventLog.close`. The owner of the database closes it."""

    async def _head(self, *, least: int = 0) -> Head:
        """Return both ends. Raises `LogDamaged` if the log ends before `least`, or before an entry that is known."""
        manifest = await self._manifest.recent()
        least = max(self._segments.newest.position, manifest.position, least)
        end = await self._segments.read_end(least=least, may_be_empty=least == manifest.log_start)
        if end >= self._segments.newest:
            self._segments.observe(end)
            self._can_append = True
        newest = self._segments.newest
        return Head(log=manifest.name, log_start=manifest.log_start, end_offset=newest.position, time=newest.time)

    async def _create(self, document: Document) -> None:
        """Create a commit. Raises `TailMoved` if its id exists, `OutcomeUnknown` if the SDK may have created it."""
        try:
            await self._commits.create("append", document)
        except ConflictError:
            try:
                failure = await self._lost_race(document["first"])
            except NotDone as unread:
                raise OutcomeUnknown(str(unread), retry_seconds=unread.retry_seconds) from unread
            raise failure from None

    async def _lost_race(self, position: int) -> TailMoved:
        """Return the failure of an append at a position that another commit has. Raises `DamagedAt` if none has it."""
        try:
            head = await self._head(least=position)  # a replica may lack the commit of another process
        except LogDamaged:
            raise DamagedAt(position, "a document has the id of its commit, but is none") from None
        return TailMoved(expected=position - 1, actual=head.end_offset)

    async def _seek(self, time: int, *, head: Head) -> int:
        if head.end_offset == head.log_start or head.time < time:
            return head.end_offset
        return max(head.log_start, await self._segments.seek(time, log_start=head.log_start, end=head.end_offset) - 1)

    async def _find_identities(self, identities: Sequence[Identity], *, since: int) -> Mapping[Identity, StoredEvent]:
        """Return the first entry of each of these identities at `since` or later."""
        if not identities:
            return {}
        unique, stored_events = set(identities), dict[Identity, StoredEvent]()
        clause, values = has_any("identities", sorted({identity_term(each) for each in unique}), name="identity")
        places = await self._segments.places_since(since, clause, values=values)
        while places:
            commits = await self._segments.load("find", places)
            places = places[len(commits) :]
            for entry in (entry for commit in commits for entry in commit.entries if entry.time >= since):
                if entry.event.identity in unique:
                    stored_events.setdefault(entry.event.identity, _stored_event(entry))
        return stored_events

    def _may_have_expired(self) -> bool:
        """True if the log is older than its shortest retention."""
        manifest = self._manifest.latest
        return self._now() - manifest.created >= min(manifest.retention, self._keep)

    def _now(self) -> int:
        return self._database.clock() // 1_000


def _stored_event(entry: Entry) -> StoredEvent:
    return StoredEvent(sequence=entry.sequence, time=entry.time, content=entry.event.content, write_id=entry.write_id)
