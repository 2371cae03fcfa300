"""Entries as rows. Many values are written in one statement, since the interpreter lock is taken again after each."""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import apsw

from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.domain.feed import PAGE_BYTES_MAX
from eventfeed.domain.ports import StoredEvent

COLUMNS = "sequence, time, mark, content, id, source, type, subject, org, app, instance, resource, body"
STORED_EVENTS = "SELECT identity, sequence, time, content, mark FROM entry WHERE substr(identity, 1, 8) IN ({})"
_SEQUENCE = operator.itemgetter(1)
# The bytes of a digest by which the index finds it.
_KEY_BYTES = 8
# The order of `_entry_row`.
_INSERT_COLUMNS = f"identity, {COLUMNS}"
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


def insert_entries(db: apsw.Connection, entries: Sequence[Entry]) -> None:
    """Insert entries in order. Statements have few forms, each short enough for apsw (16 KiB) to compile it once."""
    rows, start = [_entry_row(entry) for entry in entries], 0
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


def select_stored_events(db: apsw.Connection, digests: Sequence[bytes]) -> Mapping[bytes, StoredEvent]:
    """Return the stored events with these digests of identities: of those with their keys, the ones that are equal.

    A log from Cosmos DB may have an identity twice. The first event counts: it is the last one written here.
    """
    keys, wanted = list({digest[:_KEY_BYTES] for digest in digests}), set(digests)
    return {
        row[0]: StoredEvent(sequence=row[1], time=row[2], content=row[3], write_id=row[4])
        for row in sorted(select_each(db, STORED_EVENTS, values=keys, each="?"), key=_SEQUENCE, reverse=True)
        if row[0] in wanted
    }


def _entry_row(entry: Entry) -> tuple[object, ...]:
    event, identity = entry.event, entry.event.identity
    org, app = (event.app.org, event.app.name) if event.app else (None, None)
    head = (identity.digest(), entry.sequence, entry.time, entry.write_id, event.content)
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
