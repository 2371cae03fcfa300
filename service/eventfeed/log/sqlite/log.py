"""The embedded engine: one SQLite file in WAL mode, for any number of processes on this machine.

A verb is one visit to a thread, so that the event loop never waits for the disk: what an append needs to the writer's,
following the end to the follower's, everything else to a few readers', so that no reader delays either.
`synchronous=FULL`: a commit that returned is on the disk.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import msgspec

from eventfeed.domain.errors import LogDamaged, TailMoved
from eventfeed.domain.event import App, Entry, Event, app_of
from eventfeed.domain.feed import (
    AppFeed,
    Filter,
    InstanceFeed,
    PartyFeed,
    Query,
    ReporteeFeed,
    ResourceFeed,
)
from eventfeed.domain.ports import Head, Lookup, Scan, StoredEvent
from eventfeed.log.sqlite.connections import Threads, transaction
from eventfeed.log.sqlite.rows import COLUMNS, INTO, read, row
from eventfeed.log.sqlite.statements import insert, select

SCHEMA_VERSION = 2
# What makes each older layout the next one.
_UPGRADES = {
    1: (
        "CREATE INDEX entry_type ON entry (type)",
        "CREATE INDEX entry_resource ON entry (resource) WHERE resource IS NOT NULL AND app IS NULL",
        "PRAGMA user_version = 2",
    ),
}
# Reads are short and mostly from the page cache: more threads than this only wait for each other.
READER_THREADS = 4
# An append touches pages of all indexes.
WRITER_CACHE_KIB = 2_000
# What one scan looks at before it reports how far it came: some 20 ms of work.
EXAMINE_ENTRIES_MAX = 20_000
# What one expiry takes away: short enough that a publish does not notice.
EXPIRE_ENTRIES_MAX = 5_000

_FOLLOWING = f"SELECT {COLUMNS} FROM entry WHERE sequence > :after ORDER BY sequence LIMIT :limit"  # noqa: S608  # constants
_KNOWN = "SELECT identity, sequence, time, content, mark FROM entry WHERE identity IN ({})"
_OWNERS = """
SELECT asked.column1, entry.org, entry.app FROM (VALUES {}) AS asked JOIN entry ON entry.sequence = (
  SELECT sequence FROM entry INDEXED BY entry_instance
  WHERE instance = asked.column1 AND app IS NOT NULL ORDER BY sequence LIMIT 1)
"""


class SqliteLog:
    """An `EventLog` in one file. `open` it before anything else."""

    batch_entries_max = 1_000
    batch_bytes_max = 8 * 1024 * 1024
    engine = "sqlite"
    end_ages = False
    clock_skew = 0

    def __init__(self, path: Path, *, new_name: Callable[[], str]) -> None:
        self._path, self._new_name = path, new_name
        self._writer = Threads(path, count=1, writes=True, cache_kib=WRITER_CACHE_KIB)
        self._follower = Threads(path, count=1, writes=False)
        self._readers = Threads(path, count=READER_THREADS, writes=False)

    async def open(self) -> None:
        """Make the log where there is none. Raises `LogDamaged` when its ends contradict each other."""
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        await self._writer.run(_create, self._new_name())
        await self.head()

    async def head(self) -> Head:
        """See `EventLog.head`."""
        return await self._follower.run(_head)

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """See `EventLog.append`. Here it is all of them or none."""
        await self._writer.run(_append, entries, after=after)

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """See `EventLog.follow`."""
        return await self._follower.run(_follow, after=after, limit=limit)

    async def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """See `EventLog.scan`."""
        return await self._readers.run(_scan, query, after=after, through=through, limit=limit)

    async def find(self, events: Sequence[Event]) -> Lookup:
        """See `EventLog.find`."""
        return await self._writer.run(_find, events)

    async def seek(self, time: int) -> int:
        """See `EventLog.seek`."""
        return await self._readers.run(_seek, time)

    async def expire(self, *, before: int) -> int:
        """See `EventLog.expire`."""
        return await self._writer.run(_expire, before)

    async def rename(self) -> str:
        """See `EventLog.rename`."""
        return await self._writer.run(_rename, self._new_name())

    async def close(self) -> None:
        """See `EventLog.close`."""
        await self._readers.close()
        await self._follower.close()
        await self._writer.close()


def _create(db: sqlite3.Connection, name: str) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    if _number(db, "PRAGMA user_version") == 0:
        with transaction(db, writes=True):
            if _number(db, "PRAGMA user_version") == 0:
                for statement in resources.files(__package__).joinpath("schema.sql").read_text().split(";\n"):
                    db.execute(statement)
                db.execute("INSERT INTO log VALUES (1, ?, 0, 0, 0)", (name,))
    while 0 < (version := _number(db, "PRAGMA user_version")) < SCHEMA_VERSION:
        with transaction(db, writes=True):
            if _number(db, "PRAGMA user_version") == version:
                for statement in _UPGRADES[version]:
                    db.execute(statement)
    if version != SCHEMA_VERSION:
        raise LogDamaged(f"The store's file has layout {version}; this release reads layout {SCHEMA_VERSION}.")


def _head(db: sqlite3.Connection) -> Head:
    row = db.execute("SELECT name, floor, position, time, (SELECT max(sequence) FROM entry) FROM log").fetchone()
    if row is None:
        raise LogDamaged("The store has lost the record of its log's ends.")
    name, log_start, position, time, last = row
    if (last or 0) != position:
        raise LogDamaged(f"The log's record ends at {position}, its entries at {last}.")
    return Head(log=name, log_start=log_start, end_offset=position, time=time)


def _append(db: sqlite3.Connection, entries: Sequence[Entry], *, after: int) -> None:
    with transaction(db, writes=True):
        head = _head(db)
        if head.end_offset != after:
            raise TailMoved(expected=after, actual=head.end_offset)
        insert(db, INTO, rows=list(map(row, entries)))
        db.execute("UPDATE log SET position = ?, time = ?", (entries[-1].sequence, entries[-1].time))


def _follow(db: sqlite3.Connection, *, after: int, limit: int) -> Sequence[Entry]:
    with transaction(db, writes=False):
        entries, _ = read(db, _FOLLOWING, after=after, limit=limit, values={})
    return entries


def _scan(db: sqlite3.Connection, query: Query, *, after: int, through: int, limit: int) -> Scan:
    ways = searches(query)
    with transaction(db, writes=False):
        log_start = _number(db, "SELECT floor FROM log")
        if through <= after:
            return Scan(entries=(), examined=after, log_start=log_start)
        through = min(_reach(db, way, after=after, through=through, ways=len(ways)) for way in ways)
        sql, values = scan_statement(ways)
        entries, whole = read(db, sql, after=after, limit=limit, values={**values, "through": through})
    full = len(entries) == limit or not whole
    return Scan(entries=entries, examined=entries[-1].sequence if full else through, log_start=log_start)


def _find(db: sqlite3.Connection, events: Sequence[Event]) -> Lookup:
    digests = [event.identity.digest() for event in events]
    by_digest = dict(zip(digests, events, strict=True))
    with transaction(db, writes=False):
        known = {
            row[0]: StoredEvent(sequence=row[1], time=row[2], content=row[3], write_id=row[4])
            for row in select(db, _KNOWN, values=list(by_digest), each="?")
        }
        # Of two with one identity each may name an instance.
        unknown = (event for digest, event in zip(digests, events, strict=True) if digest not in known)
        instances = {event.instance for event in unknown if event.instance is not None}
        owners = {
            row[0]: App(org=row[1], name=row[2]) for row in select(db, _OWNERS, values=list(instances), each="(?)")
        }
    return Lookup(identities={by_digest[digest].identity: each for digest, each in known.items()}, owners=owners)


def _seek(db: sqlite3.Connection, time: int) -> int:
    with transaction(db, writes=False):
        head = _head(db)
        return _last_before(db, time, low=head.log_start, high=head.end_offset)


def _expire(db: sqlite3.Connection, before: int) -> int:
    with transaction(db, writes=True):
        head = _head(db)
        high = min(head.end_offset - 1, head.log_start + EXPIRE_ENTRIES_MAX)
        log_start = _last_before(db, before, low=head.log_start, high=high)
        db.execute("DELETE FROM entry WHERE sequence <= ?", (log_start,))
        db.execute("UPDATE log SET floor = ?", (log_start,))
    return log_start


def _rename(db: sqlite3.Connection, name: str) -> str:
    with transaction(db, writes=True):
        db.execute("UPDATE log SET name = ?", (name,))
    return name


def _last_before(db: sqlite3.Connection, time: int, *, low: int, high: int) -> int:
    """The last position in (`low`, `high`] registered before `time`, else `low`: time never decreases, so halve."""
    while low < high:
        middle = (low + high + 1) // 2
        if _number(db, "SELECT time FROM entry WHERE sequence = ?", middle) < time:
            low = middle
        else:
            high = middle - 1
    return low


# A value that is a list, and what it means. A row without a resource is in no list, and out of it.
_LISTS = {
    "types": "type IN (SELECT value FROM json_each({}))",
    "but_resources": "resource NOT IN (SELECT value FROM json_each({})) AND resource IS NOT NULL",
    "but_subjects": "coalesce(subject, '') NOT IN (SELECT value FROM json_each({}))",
}


class Search(NamedTuple):
    """One search: an index, the columns it fixes, and the conditions that are left for the rows it finds."""

    name: str
    keys: Mapping[str, object]
    rest: Mapping[str, object]


def searches(query: Query) -> Sequence[Search]:
    """The narrowest indexes for a query: one search, or one for each type asked. Their rows never overlap."""
    keys, wanted = _keys(query), query.filter
    rest = _rest(query)
    if wanted.id is not None:
        return [Search("entry_id", {"id": wanted.id}, {**keys, **rest})]
    match query.feed:
        case PartyFeed():
            return [Search("entry_subject", keys, rest)]
        case InstanceFeed():
            return [Search("entry_instance", keys, rest)]
        case _ if wanted.subject is not None:
            return [Search("entry_subject", {"subject": wanted.subject}, {**keys, **rest})]
        case ReporteeFeed(types=types):
            return [Search("entry_type", {"type": type_}, rest) for type_ in sorted(types)]
        case ResourceFeed() if "resource" in keys:
            return [Search("entry_resource", keys, rest)]
    if not wanted.types:
        return [Search("entry_app", keys, rest)]
    return [
        Search("entry_app_type", {**keys, "type": type_}, {name: rest[name] for name in rest if name != "types"})
        for type_ in sorted(wanted.types)
    ]


def _keys(query: Query) -> Mapping[str, object]:
    """The columns that a feed fixes. An app's resource is its two names; any other stands for itself."""
    match query.feed:
        case AppFeed(app=app):
            return {"org": app.org, "app": app.name}
        case PartyFeed(subject=subject):
            return {"subject": subject}
        case InstanceFeed(guid=guid):
            return {"instance": guid}
        case ReporteeFeed(types=types):
            return {"types": sorted(types)}
        case ResourceFeed(resource=resource):
            owner = app_of("", resource)
            return {"resource": resource, "app": None} if owner is None else {"org": owner.org, "app": owner.name}


def _rest(query: Query) -> Mapping[str, object]:
    """What is left to look at in each row."""
    wanted: Filter = query.filter
    rest: dict[str, object] = {}
    if wanted.source is not None:
        rest["source"] = wanted.source
    if wanted.types:
        rest["types"] = sorted(wanted.types)
    if wanted.id is not None and wanted.subject is not None:
        rest["subject"] = wanted.subject
    if isinstance(query.feed, PartyFeed):
        rest["but_resources"] = sorted(wanted.but_resources)
    if wanted.but_subjects:
        rest["but_subjects"] = sorted(wanted.but_subjects)
    return rest


def scan_statement(ways: Sequence[Search]) -> tuple[str, dict[str, object]]:
    """SQL that takes the first `:limit` rows of all searches in (`:after`, `:through`], and the values for it."""
    selects, values = list[str](), dict[str, object]()
    columns = COLUMNS if len(ways) == 1 else "sequence"
    for number, search in enumerate(ways):
        where, bound = _conditions(search, number)
        values |= bound
        selects.append(
            f"SELECT * FROM (SELECT {columns} FROM entry INDEXED BY {search.name} WHERE {where} "  # noqa: S608  # constants
            "AND sequence > :after AND sequence <= :through ORDER BY sequence LIMIT :limit)",
        )
    if len(selects) == 1:
        return selects[0], values
    # Places first, bodies after: so no body goes through a sort.
    places = f"{' UNION ALL '.join(selects)} ORDER BY sequence LIMIT :limit"
    return f"SELECT {COLUMNS} FROM entry WHERE sequence IN ({places}) ORDER BY sequence", values  # noqa: S608  # constants


def _reach(db: sqlite3.Connection, search: Search, *, after: int, through: int, ways: int) -> int:
    """How far a scan may go with this one of its searches: as far as asked, unless rows are looked at one by one."""
    if not search.rest:
        return through
    where, values = _conditions(search._replace(rest={}), 0)
    row = db.execute(
        f"SELECT sequence FROM entry INDEXED BY {search.name} WHERE {where} "  # noqa: S608  # constants
        "AND sequence > :after AND sequence <= :through ORDER BY sequence LIMIT 1 OFFSET :examine",
        {**values, "after": after, "through": through, "examine": EXAMINE_ENTRIES_MAX // ways},
    ).fetchone()
    return through if row is None else int(row[0])


def _conditions(search: Search, number: int) -> tuple[str, dict[str, object]]:
    """The WHERE of a search; each value is bound under a name of its own."""
    clauses, values = list[str](), dict[str, object]()
    for column, value in {**search.keys, **search.rest}.items():
        name = f"{column}{number}"
        match column, value:
            case _, None:
                clauses.append(f"{column} IS NULL")
                continue
            case _, list():
                clauses.append(_LISTS[column].format(f":{name}"))
                values[name] = msgspec.json.encode(value).decode()
                continue
            case "source", _:
                clauses.append(f"substr(source, 1, length(:{name})) = :{name}")
            case _:
                clauses.append(f"{column} = :{name}")
        values[name] = value
    return " AND ".join(clauses), values


def _number(db: sqlite3.Connection, sql: str, *values: object) -> int:
    row = db.execute(sql, values).fetchone()
    if row is None:
        raise LogDamaged("The log has a hole.")
    return int(row[0])
