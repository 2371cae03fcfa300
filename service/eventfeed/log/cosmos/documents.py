"""The document of a commit: its entries as one compressed text, and the terms by which they are found."""

import base64
import binascii
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from eventfeed.domain.event import App, Entry, Event, Identity
from eventfeed.log.cosmos.damage import DamagedAt
from eventfeed.log.cosmos.database import Document

# The most entries of a commit, and the most bytes of its rows. A document has at most 2 MB: text in base64, of rows
# that do not get smaller, and the terms, which are also in the rows.
COMMIT_ENTRIES_MAX = 500
COMMIT_BYTES_MAX = 1_000_000
# Bytes of the digest of an identity. The whole identity is compared after a match.
IDENTITY_TERM_BYTES = 12

# The members of a commit's place, and of a whole commit.
PLACE_COLUMNS = "c.id, c.segment, c.first, c.last, c.time"
COMMIT_COLUMNS = f"{PLACE_COLUMNS}, c.write_id, c.events"


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry in the text of a commit: `delay` is its time after the first entry's (µs).

    `write_id` is None if it is the commit's.
    """

    body: bytes
    content: bytes
    source: str
    id: str
    type: str
    subject: str | None
    org: str | None
    app: str | None
    instance: str | None
    resource: str | None
    delay: int
    write_id: str | None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The place of a commit: its document, its first and last position, and the time of its last entry."""

    id: str
    segment: int
    first: int
    last: int
    time: int


class _CommitDocument(Place, frozen=True, kw_only=True):
    write_id: str
    events: str


class Commit(NamedTuple):
    """The entries of a commit, and the bytes of their rows."""

    first: int
    last: int
    entries: Sequence[Entry]
    size: int


P = TypeVar("P", bound=Place)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Row])


def document_id(position: int) -> str:
    """Return the id of the commit that begins at a position: 20 digits."""
    return f"{position:020d}"


def commit_documents(entries: Sequence[Entry], *, segment_entries: int) -> Iterator[Document]:
    """Yield the documents of consecutive entries: each of one segment, and as large as a commit may be."""
    part, rows, size = list[Entry](), list[msgspec.Raw](), 0
    for entry in entries:
        row = _encoder.encode(_row(entry, first=part[0] if part else entry))
        full = len(part) == COMMIT_ENTRIES_MAX or size + len(row) > COMMIT_BYTES_MAX
        if part and (full or entry.sequence % segment_entries == 0):
            yield _document(part, rows, segment_entries=segment_entries)
            part, rows, size = [], [], 0
            row = _encoder.encode(_row(entry, first=entry))
        part.append(entry)
        rows.append(msgspec.Raw(row))
        size += len(row)
    if part:
        yield _document(part, rows, segment_entries=segment_entries)


def _row(entry: Entry, *, first: Entry) -> Row:
    event = entry.event
    return Row(
        body=event.body,
        content=event.content,
        source=event.identity.source,
        id=event.identity.id,
        type=event.type,
        subject=event.subject,
        org=event.app.org if event.app else None,
        app=event.app.name if event.app else None,
        instance=event.instance,
        resource=event.resource,
        delay=entry.time - first.time,
        write_id=None if entry.write_id == first.write_id else entry.write_id,
    )


def _document(entries: Sequence[Entry], rows: Sequence[msgspec.Raw], *, segment_entries: int) -> Document:
    first, last = entries[0], entries[-1]
    return {
        "id": document_id(first.sequence),
        "segment": first.sequence // segment_entries,
        "first": first.sequence,
        "last": last.sequence,
        "time": last.time,
        "write_id": first.write_id,
        **terms_of([entry.event for entry in entries]),
        "events": base64.b64encode(zlib.compress(_encoder.encode(rows))).decode(),
    }


def terms_of(events: Sequence[Event]) -> Mapping[str, Sequence[str]]:
    """Return the values that the events are found by, each once."""
    terms = {
        "apps": (app_term(event.app.org, event.app.name) for event in events if event.app),
        "types": (event.type for event in events),
        "subjects": (event.subject for event in events if event.subject is not None),
        "instances": (event.instance for event in events if event.instance is not None),
        "resources": (event.resource for event in events if event.resource is not None),
        "event_ids": (event.identity.id for event in events),
        "identities": (identity_term(event.identity) for event in events),
    }
    return {name: list(dict.fromkeys(values)) for name, values in terms.items()}


def app_term(org: str, name: str) -> str:
    """Return the term of an app. Neither part has a slash."""
    return f"{org}/{name}"


def identity_term(identity: Identity) -> str:
    """Return the term of an identity: the first bytes of its digest."""
    return base64.b64encode(identity.digest()[:IDENTITY_TERM_BYTES]).decode()


def place_of(document: Document, *, segment_entries: int) -> Place:
    """Return the place of a commit. Raises `DamagedAt` if the document is no commit, or one of another place."""
    return _place(document, Place, segment_entries=segment_entries)


def _place(document: Document, type_: type[P], *, segment_entries: int) -> P:
    try:
        place = msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        raise DamagedAt(_position(document), f"a document is no commit ({error})") from None
    segments = {place.segment, place.first // segment_entries, place.last // segment_entries}
    if place.id != document_id(place.first) or len(segments) > 1:
        raise DamagedAt(_position(document), f"a commit has the id {place.id!r} in segment {place.segment}")
    if not 1 <= place.last - place.first + 1 <= COMMIT_ENTRIES_MAX:
        raise DamagedAt(place.first, f"a commit ends at {place.last}")
    return place


def _position(document: Document) -> int:
    """Return the position that a damaged document is about; 0 if it names none."""
    positions = (str(document.get(name)) for name in ("first", "last", "id"))
    return next((int(each) for each in positions if re.fullmatch("[0-9]{1,20}", each)), 0)


def commit_of(document: Document, *, segment_entries: int) -> Commit:
    """Return the commit of a document. Raises `DamagedAt` if it is not as this engine wrote it."""
    commit = _place(document, _CommitDocument, segment_entries=segment_entries)
    try:
        text = _decompress(base64.b64decode(commit.events, validate=True))
        rows = _decoder.decode(text)
    except (binascii.Error, ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise DamagedAt(commit.first, f"the events of its commit are unreadable ({error})") from None
    count = commit.last - commit.first + 1
    if len(rows) != count:
        raise DamagedAt(commit.first, f"its commit has {len(rows)} events instead of {count}")
    begin = commit.time - rows[-1].delay
    entries = [
        Entry(
            sequence=position,
            time=begin + row.delay,
            write_id=commit.write_id if row.write_id is None else row.write_id,
            event=_event(row),
        )
        for position, row in enumerate(rows, start=commit.first)
    ]
    return Commit(commit.first, commit.last, entries, len(text))


def _decompress(data: bytes) -> bytes:
    """Decompress the rows of a commit, up to the bytes that a commit may have."""
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(data, COMMIT_BYTES_MAX + COMMIT_ENTRIES_MAX)
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError("cut off, or too large")
    return text


def _event(row: Row) -> Event:
    return Event(
        identity=Identity(source=row.source, id=row.id),
        type=row.type,
        subject=row.subject,
        app=None if row.org is None or row.app is None else App(org=row.org, name=row.app),
        instance=row.instance,
        resource=row.resource,
        content=row.content,
        body=row.body,
    )
