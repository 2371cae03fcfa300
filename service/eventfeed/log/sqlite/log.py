"""The embedded engine: one SQLite file in WAL mode, for any number of processes on this machine."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import apsw

from eventfeed.domain.errors import LogDamaged, TailMoved
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Feed
from eventfeed.domain.ports import Head, Lookup, Plan, Scan, StoredEvent
from eventfeed.log.entry_check import EntryCheck
from eventfeed.log.sqlite.check import integrity_faults
from eventfeed.log.sqlite.connections import ConnectionPool, StoreConnection, transaction
from eventfeed.log.sqlite.files import StoreFiles
from eventfeed.log.sqlite.importing import begin_import, end_import
from eventfeed.log.sqlite.layout import create_log, open_log, open_log_to_read, read_number
from eventfeed.log.sqlite.rows import COLUMNS, find_identities, insert_entries, read_entries, select_each
from eventfeed.log.sqlite.scans import scan
from eventfeed.log.sqlite.seeking import last_before
from eventfeed.log.sqlite.upgrade import upgrade_log

# Reads are short and mostly from the page cache: more threads than this only wait for each other.
READER_THREADS = 4
# An append touches pages of all indexes.
WRITER_CACHE_KIB = 2_000
# Entries that a check reads at once.
CHECK_ENTRIES = 1_000
# Entries that one call deletes: few enough not to delay a publish. Each has keys on pages of its own, in a long log.
EXPIRE_ENTRIES_MAX = 100

_FOLLOW = f"SELECT {COLUMNS} FROM entry WHERE sequence > :after ORDER BY sequence LIMIT :limit"  # noqa: S608  # constants
_OWNERS = """
SELECT wanted.column1, entry.org, entry.app FROM (VALUES {}) AS wanted JOIN entry ON entry.sequence = (
  SELECT sequence FROM entry INDEXED BY entry_instance
  WHERE instance = wanted.column1 AND app IS NOT NULL ORDER BY sequence LIMIT 1)
"""


class SqliteLog:
    """An `EventLog` in one file, whose verbs run in threads. `open` it before anything else.

    Appends use the writer's thread, `follow` and `head` the follower's, and searches those of a few readers: so no
    reader delays either. An append is whole or not at all.
    """

    batch_entries_max = 1_000
    batch_bytes_max = 8 * 1024 * 1024
    import_entries_max = 5_000
    engine = "sqlite"
    linger_seconds_max = 0.0
    end_ages = False
    lag_seconds_max = 0.0

    def __init__(self, path: Path, *, new_name: Callable[[], str], for_import: bool = False) -> None:
        """Take the file at `path`. Only `for_import` may it be in the state of an import: see `importing`."""
        files = self._files = StoreFiles(path)
        self._new_name, self._for_import = new_name, for_import
        writer = self._writer = ConnectionPool(files, count=1, writes=True, cache_kib=WRITER_CACHE_KIB)
        follower = self._follower = ConnectionPool(files, count=1, writes=False)
        readers = self._readers = ConnectionPool(files, count=READER_THREADS, writes=False)
        prober = self._prober = ConnectionPool(files, count=1, writes=True)
        self.append, self.append_new = writer.bind(_append), writer.bind(_append_new)
        self.expire = writer.bind(_expire)
        self.head, self.follow = follower.bind(_checked_head), follower.bind(_follow)
        self._scan, self.seek = readers.bind(scan), readers.bind(_seek)
        self.probe = prober.bind(_probe)
        self.find_identities = writer.bind(_find_identities)
        self.adopt = writer.bind(_adopt)
        self.begin_import, self.end_import = writer.bind(begin_import), writer.bind(end_import)

    def scan(
        self, feed: Feed, *, after: int, through: int, limit: int, bytes_max: int = PAGE_BYTES_MAX
    ) -> Awaitable[Scan]:
        """See `EventLog.scan`."""
        bounds = {"after": after, "through": through, "limit": limit}
        return self._scan(feed, bounds=bounds, bytes_max=bytes_max)

    async def create(self) -> None:
        """Create the log if there is none, then open it."""
        await asyncio.to_thread(self._files.create)
        await self._writer.bind(create_log)(self._new_name())
        await self.open()

    async def open(self) -> None:
        """Open a log that exists. Raises `LogDamaged` if its ends contradict each other."""
        await asyncio.to_thread(self._files.require_created)
        await self._writer.bind(upgrade_log)()
        await self._writer.bind(open_log)(for_import=self._for_import)
        await self.head()

    async def open_to_read(self) -> None:
        """Open a log that exists, of this release's layout, and change nothing in its file."""
        await asyncio.to_thread(self._files.require_created)
        await self._writer.bind(open_log_to_read)()
        await self.head()

    async def rename(self) -> str:
        """See `EventLog.rename`."""
        return await self._writer.bind(_rename)(self._new_name())

    async def faults(self) -> AsyncIterator[str]:
        """Yield faults of the log: its entries, both ends, the file, and the digests of identities."""
        head = await self.head()
        check, has_more = EntryCheck(head), True
        while has_more and check.position < head.end_offset:
            limit = min(CHECK_ENTRIES, head.end_offset - check.position)
            entries = await self.follow(after=check.position, limit=limit)
            for fault in check.faults(entries):
                yield fault
            has_more = bool(entries)
        for fault in (*check.end_faults(), *await asyncio.to_thread(lambda: list(integrity_faults(self._files.path)))):
            yield fault

    async def close(self) -> None:
        """See `EventLog.close`."""
        for pool in (self._readers, self._follower, self._prober, self._writer):
            await pool.close()


def _checked_head(db: StoreConnection) -> Head:
    """Return both ends of the file at the path."""
    db.require_in_place()
    return _head(db)


def _probe(db: StoreConnection) -> Head:
    """Write the number of the layout that the file has. SQLite writes no row that has not changed."""
    with transaction(db, writes=True):
        head = _head(db)
        db.execute(f"PRAGMA user_version = {read_number(db, 'PRAGMA user_version')}")
    return head


def _head(db: StoreConnection) -> Head:
    row = db.execute("SELECT name, floor, position, time, (SELECT max(sequence) FROM entry) FROM log").fetchone()
    if row is None:
        raise LogDamaged("The store has lost the record of its log's ends.")
    name, log_start, position, time, last = row
    # A copy that has only begun is empty, and starts where its source does.
    if (log_start if last is None else last) != position:
        raise LogDamaged(f"The log's record ends at {position}, its entries at {last or log_start}.")
    return Head(log=name, log_start=log_start, end_offset=position, time=time)


def _append(db: StoreConnection, entries: Sequence[Entry], *, after: int) -> None:
    with transaction(db, writes=True):
        head = _head(db)
        if head.end_offset != after:
            raise TailMoved(expected=after, actual=head.end_offset)
        matches = find_identities(db, [entry.event.identity for entry in entries])
        _insert(db, entries, stored_ids=matches.ids)


def _append_new(db: StoreConnection, events: Sequence[Event], *, tail: Head, plan: Plan) -> None:
    try:
        with transaction(db, writes=True):
            head = _head(db)
            if head.end_offset < tail.end_offset:
                raise TailMoved(expected=tail.end_offset, actual=head.end_offset)
            matches = find_identities(db, [event.identity for event in events])
            if entries := plan(_lookup(db, events, matches=matches.events), head):
                _insert(db, entries, stored_ids=matches.ids)
    except apsw.BusyError:  # the transaction has not begun, which repeats do not need
        with transaction(db, writes=False):
            matches = find_identities(db, identities := [event.identity for event in events])
            if not matches.events.keys() >= set(identities):
                raise
            plan(_lookup(db, events, matches=matches.events), _head(db))
        db.require_in_place()


def _insert(db: StoreConnection, entries: Sequence[Entry], *, stored_ids: AbstractSet[str]) -> None:
    insert_entries(db, entries, stored_ids=stored_ids)
    db.execute("UPDATE log SET position = ?, time = ?", (entries[-1].sequence, entries[-1].time))


def _adopt(db: StoreConnection, name: str, *, log_start: int) -> None:
    with transaction(db, writes=True):
        head = _head(db)
        if head.end_offset != head.log_start:
            raise TailMoved(expected=head.log_start, actual=head.end_offset)
        db.execute("UPDATE log SET name = ?, floor = ?, position = ?", (name, log_start, log_start))


def _follow(db: StoreConnection, *, after: int, limit: int) -> Sequence[Entry]:
    entries, _ = read_entries(db, _FOLLOW, values={"after": after, "limit": limit})
    return entries


def _lookup(db: StoreConnection, events: Sequence[Event], *, matches: Mapping[Identity, StoredEvent]) -> Lookup:
    # Two events with one identity may name different instances.
    new = (event for event in events if event.instance is not None and event.identity not in matches)
    instances = {event.instance for event in new}
    owners = {
        row[0]: App(org=row[1], name=row[2]) for row in select_each(db, _OWNERS, values=list(instances), each="(?)")
    }
    return Lookup(identities=matches, owners=owners)


def _find_identities(db: StoreConnection, identities: Sequence[Identity]) -> Mapping[Identity, StoredEvent]:
    with transaction(db, writes=False):
        return find_identities(db, identities).events


def _seek(db: StoreConnection, time: int) -> int:
    with transaction(db, writes=False):
        head = _head(db)
        return _last_before(db, time, low=head.log_start, high=head.end_offset)


def _expire(db: StoreConnection, before: int) -> int:
    with transaction(db, writes=True):
        head = _head(db)
        high = min(head.end_offset - 1, head.log_start + EXPIRE_ENTRIES_MAX)
        log_start = _last_before(db, before, low=head.log_start, high=high)
        db.execute("DELETE FROM entry WHERE sequence <= ?", (log_start,))
        db.execute("UPDATE log SET floor = ?", (log_start,))
    return log_start


def _rename(db: StoreConnection, name: str) -> str:
    with transaction(db, writes=True):
        db.execute("UPDATE log SET name = ?", (name,))
    return name


def _last_before(db: StoreConnection, time: int, *, low: int, high: int) -> int:
    """Return the last position in (`low`, `high`] registered before `time`, else `low`."""
    time_of = functools.partial(read_number, db, "SELECT time FROM entry WHERE sequence = ?")
    return last_before(time, time_of, low=low, high=high)
