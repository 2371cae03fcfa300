"""Entries as rows, and many rows in one statement.

Python's interpreter lock is released and taken again for every statement and for every row that SQLite returns, which
waits behind the event loop. So SQLite joins rows: the indexed columns as one JSON text, the bodies one after another.
"""

import functools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from eventfeed.domain.cloudevents import EVENT_BYTES_MAX
from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.event import App, Entry, Event, Identity, sequence_of
from eventfeed.domain.feed import PAGE_BYTES_MAX

COLUMNS = "sequence, time, mark, content, id, source, type, subject, org, app, instance, resource, body"
# The order of `entry_row`.
_INSERT_COLUMNS = f"identity, {COLUMNS}"

_JOIN = """
SELECT
  CAST(json_group_array(json_array(
    sequence, time, mark, hex(content), id, source, type, subject, org, app, instance, resource, length(body)
  )) AS BLOB),
  coalesce(CAST(group_concat(CAST(body AS TEXT), '') AS BLOB), x'')
FROM ({})
"""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """A row with the length of its body."""

    sequence: int
    time: int
    write_id: str
    content: str
    id: str
    source: str
    type: str
    subject: str | None
    org: str | None
    app: str | None
    instance: str | None
    resource: str | None
    body_length: int


_decoder = msgspec.json.Decoder(list[_Row])


def join_rows(sql: str) -> str:
    """Return SQL for one row that joins all rows of a query for `COLUMNS`."""
    return _JOIN.format(sql)


def read_entries(
    db: sqlite3.Connection, sql: str, *, after: int, limit: int, values: Mapping[str, object]
) -> tuple[Sequence[Entry], bool]:
    """Return the first entries of a query for `COLUMNS`, and True if no more of them were left out for their bytes.

    The query takes the first `:limit` rows after `:after`, in order. The entries never exceed the bytes of a page.
    Within a transaction all are of one moment. Raises `LogDamaged` for rows that this service cannot have written.
    """
    entries, size = list[Entry](), 0
    while (capacity := limit - len(entries)) > 0:
        count = min(capacity, (PAGE_BYTES_MAX - size) // EVENT_BYTES_MAX + 1)
        row = db.execute(join_rows(sql), {**values, "after": after, "limit": count}).fetchone()
        part = sorted(_decode(*row), key=sequence_of)
        for entry in part:
            size += len(entry.event.body)
            if entries and size > PAGE_BYTES_MAX:
                return entries, False
            entries.append(entry)
        if len(part) < count:
            break
        after = part[-1].sequence
    return entries, True


def insert_entries(db: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Insert entries in order. Statements have few forms, so SQLite compiles each once."""
    rows, start = [_entry_row(entry) for entry in entries], 0
    for count in _powers_of_two(len(rows)):
        row = f"({_repeat('?', len(rows[0]))})"
        statement = f"INSERT INTO entry ({_INSERT_COLUMNS}) VALUES {_repeat(row, count)}"  # noqa: S608  # constants
        db.execute(statement, list(chain.from_iterable(rows[start : start + count])))
        start += count


def select_each(db: sqlite3.Connection, sql: str, *, values: Sequence[object], each: str) -> Sequence[Any]:
    """Return all rows for these values, which replace `{}` in `sql`, each as `each`. NULL matches nothing."""
    if not values:
        return ()
    count = 1 << (len(values) - 1).bit_length()
    return db.execute(sql.format(_repeat(each, count)), [*values, *[None] * (count - len(values))]).fetchall()


def _entry_row(entry: Entry) -> tuple[object, ...]:
    event, identity = entry.event, entry.event.identity
    org, app = (event.app.org, event.app.name) if event.app else (None, None)
    head = (identity.digest(), entry.sequence, entry.time, entry.write_id, event.content)
    fields = (identity.id, identity.source, event.type, event.subject, org, app, event.instance, event.resource)
    return (*head, *fields, event.body)


def _decode(rows: bytes, bodies: bytes) -> Iterator[Entry]:
    try:
        headers = _decoder.decode(rows)
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise LogDamaged(f"The store's file holds rows that this service did not write: {failure}.") from failure
    start = 0
    for row in headers:
        end = start + row.body_length
        event = Event(
            identity=Identity(source=row.source, id=row.id),
            type=row.type,
            subject=row.subject,
            app=None if row.org is None or row.app is None else App(org=row.org, name=row.app),
            instance=row.instance,
            resource=row.resource,
            content=bytes.fromhex(row.content),
            body=bodies[start:end],
        )
        yield Entry(sequence=row.sequence, time=row.time, write_id=row.write_id, event=event)
        start = end


@functools.lru_cache(maxsize=256)
def _repeat(each: str, count: int) -> str:
    return ", ".join([each] * count)


def _powers_of_two(number: int) -> Iterator[int]:
    """Yield the powers of two that add up to a number, the largest first."""
    for bit in reversed(range(number.bit_length())):
        if number & 1 << bit:
            yield 1 << bit
