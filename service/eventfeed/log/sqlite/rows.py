"""Entries as rows. Many values are written in one statement, since the interpreter lock is taken again after each."""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any, NamedTuple

import apsw

from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX
from eventfeed.domain.ports import StoredEvent

COLUMNS = "sequence, time, mark, content, id, source, type, subject, org, app, instance, resource, body"
# The first entry of each id, by an index that ends in the sequence.
FIRST_ENTRIES = """
SELECT entry.id, entry.sequence, entry.time, entry.content, entry.mark, entry.source
FROM (VALUES {}) AS wanted JOIN entry ON entry.sequence = (
  SELECT sequence FROM entry INDEXED BY entry_id WHERE id = wanted.column1 ORDER BY sequence LIMIT 1)
"""
# The other entries of an id have a digest of their identity, and so a key in this index.
LATER_ENTRIES = """
SELECT identity_digest, sequence, time, content, mark FROM entry INDEXED BY entry_identity
WHERE identity_digest <> x'' AND substr(identity_digest, 1, 8) IN ({})
"""
_SEQUENCE = operator.itemgetter(1)
_SOURCE = 5
# The bytes of a digest by which the index finds it.
_KEY_BYTES = 8
# The order of `_entry_row`.
_INSERT_COLUMNS = f"identity_digest, {COLUMNS}"
# The most rows of one statement. It has fewer variables than SQLite allows, and keeps some MB of pages that it changes.
_STATEMENT_ROWS_MAX = 64


def read_entries(
    db: apsw.Connection, sql: str, *, values: Mapping[str, object], bytes_max: int = PAGE_BYTES_MAX
) -> tuple[Sequence[Entry], bool]:
    """Return the entries of a query for `COLUMNS`, and True if the next one exceeds the bytes of an array of them."""
    entries, size = list[Entry](), len(b"[]")
    for row in db.execute(sql, values):
        entry = _entry(row)
        size += entry.json_length + len(b",")
        if entries and size > bytes_max:
            return entries, True
        entries.append(entry)
    return entries, False


class StoredIdentities(NamedTuple):
    """The stored events with some identities, and those of their ids that an entry has, with this or another source."""

    events: Mapping[Identity, StoredEvent]
    ids: AbstractSet[str]


def insert_entries(db: apsw.Connection, entries: Sequence[Entry], *, stored_ids: AbstractSet[str]) -> None:
    """Insert entries in order; `stored_ids` are those of their ids that the log has.

    Statements have few forms, each short enough for apsw (16 KiB) to compile it once.
    """
    ids, rows, start = set(stored_ids), list[Sequence[object]](), 0
    for entry in entries:
        id_ = entry.event.identity.id
        rows.append(_entry_row(entry, is_first=id_ not in ids))
        ids.add(id_)
    for count in _statement_rows(len(rows)):
        row = f"({_repeat('?', len(rows[0]))})"
        statement = f"INSERT INTO entry ({_INSERT_COLUMNS}) VALUES {_repeat(row, count)}"  # noqa: S608  # constants
        db.execute(statement, list(chain.from_iterable(rows[start : start + count])))
        start += count


def select_each(db: apsw.Connection, sql: str, *, values: Sequence[object], each: str) -> Sequence[Any]:
    """Return all rows for these values, which replace `{}` in `sql`, each as `each`. NULL matches nothing."""
    if not values:
        return ()
    count = 1 << (len(values) - 1).bit_length()
    return db.execute(sql.format(_repeat(each, count)), [*values, *[None] * (count - len(values))]).fetchall()


def find_identities(db: apsw.Connection, identities: Sequence[Identity]) -> StoredIdentities:
    """Find stored events. An entry is found by its id, or by its digest if an earlier entry has its id.

    A log from Cosmos DB may have an identity twice. The first event counts: it is the last one written here.
    """
    ids = {identity.id for identity in identities}
    first = {row[0]: row for row in select_each(db, FIRST_ENTRIES, values=list(ids), each="(?)")}
    events, later = dict[Identity, StoredEvent](), dict[bytes, Identity]()
    for identity in identities if first else ():
        if (row := first.get(identity.id)) is None:
            continue
        if row[_SOURCE] == identity.source:
            events[identity] = _stored_event(row)
        else:
            later[identity.digest()] = identity
    keys = list({digest[:_KEY_BYTES] for digest in later})
    for row in sorted(select_each(db, LATER_ENTRIES, values=keys, each="?"), key=_SEQUENCE, reverse=True):
        if row[0] in later:
            events[later[row[0]]] = _stored_event(row)
    return StoredIdentities(events, first.keys())


def _stored_event(row: Sequence[Any]) -> StoredEvent:
    return StoredEvent(sequence=row[1], time=row[2], content=row[3], write_id=row[4])


def _entry_row(entry: Entry, *, is_first: bool) -> Sequence[object]:
    """Return the row of an entry, with a digest of its identity unless it is the first one of its id."""
    event, identity = entry.event, entry.event.identity
    org, app = (event.app.org, event.app.name) if event.app else (None, None)
    head = (b"" if is_first else identity.digest(), entry.sequence, entry.time, entry.write_id, event.content)
    fields = (identity.id, identity.source, event.type, event.subject, org, app, event.instance, event.resource)
    return (*head, *fields, event.body)


def _entry(row: Sequence[Any]) -> Entry:
    """Return the entry of a row of `COLUMNS`."""
    sequence, time, write_id, content, id_, source, type_, subject, org, app, instance, resource, body = row
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
    return Entry(sequence=sequence, time=time, write_id=write_id, event=event)


@functools.lru_cache(maxsize=256)
def _repeat(each: str, count: int) -> str:
    return ",".join([each] * count)


def _statement_rows(number: int) -> Iterator[int]:
    """Yield powers of two that add up to a number, the largest first, none over the most rows of one statement."""
    whole, rest = divmod(number, _STATEMENT_ROWS_MAX)
    yield from [_STATEMENT_ROWS_MAX] * whole
    for bit in reversed(range(rest.bit_length())):
        if rest & 1 << bit:
            yield 1 << bit
