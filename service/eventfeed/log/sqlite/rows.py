"""Entries as rows of a table, and many rows read as one.

The interpreter's lock is given up for every row that SQLite hands over, and then waited for behind the event loop. So
SQLite puts the rows together: what an entry is found by as one JSON text, the bodies one after another.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.event import EVENT_BYTES_MAX, App, Entry, Event, Identity, sequence_of
from eventfeed.domain.feed import PAGE_BYTES_MAX

COLUMNS = "sequence, time, mark, content, id, source, type, subject, org, app, instance, resource, body"
# What `row` gives, in its order.
INTO = f"entry (identity, {COLUMNS})"

_TOGETHER = """
SELECT
  CAST(json_group_array(json_array(
    sequence, time, mark, hex(content), id, source, type, subject, org, app, instance, resource, length(body)
  )) AS BLOB),
  coalesce(CAST(group_concat(CAST(body AS TEXT), '') AS BLOB), x'')
FROM ({})
"""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """A row without its body, whose bytes it counts."""

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
    body: int


_decoder = msgspec.json.Decoder(list[_Row])


def together(sql: str) -> str:
    """The one row that a search for `COLUMNS` comes to."""
    return _TOGETHER.format(sql)


def read(
    db: sqlite3.Connection, sql: str, *, after: int, limit: int, values: Mapping[str, object]
) -> tuple[Sequence[Entry], bool]:
    """The first so many entries after a place that a search for `COLUMNS` finds, and whether they are all of these.

    It takes the first `:limit` rows after `:after`, in order. What is past a page's bytes is left where it is. Within
    a transaction all are of one moment. Raises `LogDamaged` for rows that nobody can have written.
    """
    entries, weight = list[Entry](), 0
    while (rest := limit - len(entries)) > 0:
        some = min(rest, (PAGE_BYTES_MAX - weight) // EVENT_BYTES_MAX + 1)
        row = db.execute(together(sql), {**values, "after": after, "limit": some}).fetchone()
        found = sorted(_entries(*row), key=sequence_of)
        for entry in found:
            weight += len(entry.event.body)
            if entries and weight > PAGE_BYTES_MAX:
                return entries, False
            entries.append(entry)
        if len(found) < some:
            break
        after = found[-1].sequence
    return entries, True


def row(entry: Entry) -> tuple[object, ...]:
    """The values of `INTO`."""
    event = entry.event
    app = event.app
    place = (event.identity.digest(), entry.sequence, entry.time, entry.write_id, event.content)
    named = (event.identity.id, event.identity.source, event.type, event.subject)
    owned = (app.org if app else None, app.name if app else None, event.instance, event.resource)
    return (*place, *named, *owned, event.body)


def _entries(rows: bytes, bodies: bytes) -> Iterator[Entry]:
    try:
        read = _decoder.decode(rows)
    except (msgspec.DecodeError, UnicodeDecodeError) as failure:
        raise LogDamaged(f"The store's file holds what was never written: {failure}.") from failure
    start = 0
    for each in read:
        end = start + each.body
        event = Event(
            identity=Identity(source=each.source, id=each.id),
            type=each.type,
            subject=each.subject,
            app=None if each.org is None or each.app is None else App(org=each.org, name=each.app),
            instance=each.instance,
            resource=each.resource,
            content=bytes.fromhex(each.content),
            body=bodies[start:end],
        )
        yield Entry(sequence=each.sequence, time=each.time, write_id=each.write_id, event=event)
        start = end
