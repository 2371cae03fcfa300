"""The embedded engine: one SQLite file in WAL mode, for any number of processes on this machine.

A verb is one visit to a thread, so that the event loop never waits for the disk: what an append needs to the writer's,
following the end to the follower's, everything else to a few readers', so that no reader delays either.
`synchronous=FULL`: a commit that returned is on the disk.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from eventfeed.domain.errors import LogDamaged, OutcomeUnknown, TailMoved, Unavailable
from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX, Query
from eventfeed.domain.ports import Found, Head, Known, Scan

SCHEMA_VERSION = 1
# Reads are short and mostly from the page cache: more threads than this only wait for each other.
READER_THREADS = 4
# How long a process waits for another one's commit.
BUSY_SECONDS = 5.0
# What one scan looks at before it reports how far it came: some 20 ms of work.
EXAMINE_ENTRIES_MAX = 20_000
# What one expiry takes away: short enough that a publish does not notice.
EXPIRE_ENTRIES_MAX = 5_000
# Reads go through the page cache of the operating system without a copy.
MAP_BYTES = 1 << 30

_COLUMNS = "sequence, time, mark, content, id, source, type, subject, org, app, instance, resource, body"
_INSERT = f"INSERT INTO entry (identity, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # constants

P = ParamSpec("P")
T = TypeVar("T")
Row = tuple[int, int, str, bytes, str, str, str, str | None, str | None, str | None, str | None, str | None, bytes]


class SqliteLog:
    """An `EventLog` in one file. `open` it before anything else."""

    batch_entries_max = 1_000
    batch_bytes_max = 8 * 1024 * 1024

    def __init__(self, path: Path, *, new_name: Callable[[], str]) -> None:
        self._path, self._new_name = path, new_name
        self._writer = _Threads(path, count=1)
        self._follower = _Threads(path, count=1)
        self._readers = _Threads(path, count=READER_THREADS)

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

    async def find(self, events: Sequence[Event]) -> Found:
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


class _Threads:
    """Threads with a connection each. A verb runs in one of them and its errors come out as the product's own."""

    def __init__(self, path: Path, *, count: int) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="sqlite")

    async def run(
        self,
        verb: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `verb(connection, …)` in a thread of this pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: self._visit(verb, *args, **kwargs))

    async def close(self) -> None:
        """Wait for what is under way, then close the connections."""
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()

    def _visit(
        self,
        verb: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            return verb(self._connection(), *args, **kwargs)
        except sqlite3.Error as failure:
            raise translated(failure) from failure

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA mmap_size = {MAP_BYTES}")
            self._local.connection = connection
            self._connections.append(connection)
        return connection


def translated(failure: sqlite3.Error) -> Unavailable:
    """What a SQLite error means to a caller: a damaged file stays damaged, everything else may pass."""
    match failure.sqlite_errorcode & 0xFF if hasattr(failure, "sqlite_errorcode") else 0:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LogDamaged(f"The store's file is damaged: {failure}.")
        case _:
            return Unavailable(f"The store did not answer: {failure}.")


@contextmanager
def _transaction(db: sqlite3.Connection, *, writes: bool) -> Iterator[None]:
    """One snapshot for all reads in it; with `writes` also the only writer on this file, and durable at the end."""
    db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        yield
    except BaseException:
        _undo(db)
        raise
    try:
        db.execute("COMMIT")
    except sqlite3.Error as failure:
        _undo(db)
        raise OutcomeUnknown(f"The store did not say whether it committed: {failure}.") from failure


def _undo(db: sqlite3.Connection) -> None:
    """Take back what is not committed; a full disk makes SQLite do it by itself."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def _create(db: sqlite3.Connection, name: str) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    version = _number(db, "PRAGMA user_version")
    if version == 0:
        with _transaction(db, writes=True):
            if _number(db, "PRAGMA user_version") == 0:
                for statement in resources.files(__package__).joinpath("schema.sql").read_text().split(";\n"):
                    db.execute(statement)
                db.execute("INSERT INTO log VALUES (1, ?, 0, 0, 0)", (name,))
    elif version != SCHEMA_VERSION:
        raise LogDamaged(f"The store's file has layout {version}; this release reads layout {SCHEMA_VERSION}.")


def _head(db: sqlite3.Connection) -> Head:
    row = db.execute("SELECT name, floor, position, time, (SELECT max(sequence) FROM entry) FROM log").fetchone()
    if row is None:
        raise LogDamaged("The store has lost the record of its log's ends.")
    name, floor, position, time, last = row
    if (last or 0) != position:
        raise LogDamaged(f"The log's record ends at {position}, its entries at {last}.")
    return Head(log=name, floor=floor, position=position, time=time)


def _append(db: sqlite3.Connection, entries: Sequence[Entry], *, after: int) -> None:
    with _transaction(db, writes=True):
        head = _head(db)
        if head.position != after:
            raise TailMoved(expected=after, actual=head.position)
        db.executemany(_INSERT, map(_row, entries))
        db.execute("UPDATE log SET position = ?, time = ?", (entries[-1].sequence, entries[-1].time))


def _follow(db: sqlite3.Connection, *, after: int, limit: int) -> list[Entry]:
    sql = f"SELECT {_COLUMNS} FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608  # constants
    entries, _ = _taken(db.execute(sql, (after, limit)))
    return entries


def _scan(db: sqlite3.Connection, query: Query, *, after: int, through: int, limit: int) -> Scan:
    ways = searches(query)
    with _transaction(db, writes=False):
        floor = _number(db, "SELECT floor FROM log")
        if through <= after:
            return Scan(entries=(), examined=after, floor=floor)
        through = min(_reach(db, way, after=after, through=through) for way in ways)
        sql, values = scan_statement(ways)
        entries, whole = _taken(db.execute(sql, {**values, "after": after, "through": through, "limit": limit}))
    full = len(entries) == limit or not whole
    return Scan(entries=entries, examined=entries[-1].sequence if full else through, floor=floor)


def _find(db: sqlite3.Connection, events: Sequence[Event]) -> Found:
    identities: dict[Identity, Known] = {}
    owners: dict[str, App] = {}
    with _transaction(db, writes=False):
        for event in events:
            row = db.execute(
                "SELECT sequence, time, content, mark FROM entry WHERE identity = ?",
                (event.identity.digest(),),
            ).fetchone()
            if row is not None:
                identities[event.identity] = Known(sequence=row[0], time=row[1], content=row[2], mark=row[3])
            elif event.instance is not None and event.instance not in owners:
                owner = db.execute(
                    "SELECT org, app FROM entry INDEXED BY entry_instance "
                    "WHERE instance = ? AND app IS NOT NULL ORDER BY sequence LIMIT 1",
                    (event.instance,),
                ).fetchone()
                if owner is not None:
                    owners[event.instance] = App(org=owner[0], name=owner[1])
    return Found(identities=identities, owners=owners)


def _seek(db: sqlite3.Connection, time: int) -> int:
    with _transaction(db, writes=False):
        head = _head(db)
        return _last_before(db, time, low=head.floor, high=head.position)


def _expire(db: sqlite3.Connection, before: int) -> int:
    with _transaction(db, writes=True):
        head = _head(db)
        high = min(head.position - 1, head.floor + EXPIRE_ENTRIES_MAX)
        floor = _last_before(db, before, low=head.floor, high=high)
        db.execute("DELETE FROM entry WHERE sequence <= ?", (floor,))
        db.execute("UPDATE log SET floor = ?", (floor,))
    return floor


def _rename(db: sqlite3.Connection, name: str) -> str:
    with _transaction(db, writes=True):
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


class Search(NamedTuple):
    """One search: an index, the columns it fixes, and the conditions that are left for the rows it finds."""

    name: str
    keys: Mapping[str, str]
    rest: Mapping[str, object]


def searches(query: Query) -> Sequence[Search]:
    """The narrowest indexes for a query: one search, or one for each type asked. Their rows never overlap."""
    app = {"org": query.feed.app.org, "app": query.feed.app.name}
    rest: dict[str, object] = {} if query.filter.source is None else {"source": query.filter.source}
    types = {"types": sorted(query.filter.types)} if query.filter.types else {}
    if query.filter.id is not None:
        subject = {} if query.filter.subject is None else {"subject": query.filter.subject}
        return [Search("entry_id", {"id": query.filter.id}, {**app, **rest, **types, **subject})]
    if query.filter.subject is not None:
        return [Search("entry_subject", {"subject": query.filter.subject}, {**app, **rest, **types})]
    if query.filter.types:
        return [Search("entry_app_type", {**app, "type": type_}, rest) for type_ in sorted(query.filter.types)]
    return [Search("entry_app", app, rest)]


def scan_statement(ways: Sequence[Search]) -> tuple[str, dict[str, object]]:
    """SQL that takes the first `:limit` rows of all searches in (`:after`, `:through`], and the values for it."""
    selects, values = list[str](), dict[str, object]()
    columns = _COLUMNS if len(ways) == 1 else "sequence"
    for number, search in enumerate(ways):
        where, bound = _conditions(search, number)
        values |= bound
        selects.append(
            f"SELECT * FROM (SELECT {columns} FROM entry INDEXED BY {search.name} WHERE {where} "  # noqa: S608  # constants
            "AND sequence > :after AND sequence <= :through ORDER BY sequence LIMIT :limit)",
        )
    if len(selects) == 1:
        return selects[0], values
    # Places first, bodies after: so the rows come one by one, and the reader of them can stop.
    places = f"{' UNION ALL '.join(selects)} ORDER BY sequence LIMIT :limit"
    return f"SELECT {_COLUMNS} FROM entry WHERE sequence IN ({places}) ORDER BY sequence", values  # noqa: S608  # constants


def _reach(db: sqlite3.Connection, search: Search, *, after: int, through: int) -> int:
    """How far a scan may go with this search: as far as asked, unless rows must be looked at one by one."""
    if not search.rest:
        return through
    where, values = _conditions(search._replace(rest={}), 0)
    row = db.execute(
        f"SELECT sequence FROM entry INDEXED BY {search.name} WHERE {where} "  # noqa: S608  # constants
        "AND sequence > :after AND sequence <= :through ORDER BY sequence LIMIT 1 OFFSET :examine",
        {**values, "after": after, "through": through, "examine": EXAMINE_ENTRIES_MAX},
    ).fetchone()
    return through if row is None else int(row[0])


def _conditions(search: Search, number: int) -> tuple[str, dict[str, object]]:
    """The WHERE of a search; each value is bound under a name of its own."""
    clauses, values = list[str](), dict[str, object]()
    for column, value in {**search.keys, **search.rest}.items():
        name = f"{column}{number}"
        match column, value:
            case "types", list():
                names = [f"{name}_{place}" for place in range(len(value))]
                clauses.append(f"type IN ({', '.join(f':{each}' for each in names)})")
                values |= zip(names, value, strict=True)
                continue
            case "source", _:
                clauses.append(f"substr(source, 1, length(:{name})) = :{name}")
            case _:
                clauses.append(f"{column} = :{name}")
        values[name] = value
    return " AND ".join(clauses), values


def _taken(rows: Iterator[Row]) -> tuple[list[Entry], bool]:
    """The entries of these rows, and whether they are all: rows past a page's bytes are left where they are."""
    entries, weight = list[Entry](), 0
    for row in rows:
        weight += len(row[-1])
        if entries and weight > PAGE_BYTES_MAX:
            return entries, False
        entries.append(_entry(row))
    return entries, True


def _entry(row: Row) -> Entry:
    sequence, time, mark, content, id_, source, type_, subject, org, app, instance, resource, body = row
    event = Event(
        identity=Identity(source=source, id=id_),
        type=type_,
        subject=subject,
        app=None if org is None or app is None else App(org=org, name=app),
        instance=instance,
        resource=resource,
        content=content,
        body=body,
    )
    return Entry(sequence=sequence, time=time, mark=mark, event=event)


def _row(entry: Entry) -> tuple[object, ...]:
    event = entry.event
    app = event.app
    place = (event.identity.digest(), entry.sequence, entry.time, entry.mark, event.content)
    named = (event.identity.id, event.identity.source, event.type, event.subject)
    owned = (app.org if app else None, app.name if app else None, event.instance, event.resource)
    return (*place, *named, *owned, event.body)


def _number(db: sqlite3.Connection, sql: str, *values: object) -> int:
    row = db.execute(sql, values).fetchone()
    if row is None:
        raise LogDamaged("The log has a hole.")
    return int(row[0])
