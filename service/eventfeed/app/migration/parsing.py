"""Events of rows, by the rules of publishing."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from eventfeed.access.parties import Parties
from eventfeed.app.migration.rows import Row
from eventfeed.domain.cloudevents import EVENT_BYTES_MAX
from eventfeed.domain.errors import InvalidEvent
from eventfeed.domain.event import Event
from eventfeed.domain.party import PREFIX
from eventfeed.http.json_object import PARSE_ERRORS
from eventfeed.http.publishing.cloudevents import EventDefaults, RawEvents, parse_events

# The platform's earlier name of an app's resource, which it replaces on the way in (src/Events/Services/
# EventsService.cs of Altinn/altinn-events). Rows from before that have it.
_OLD_APP_RESOURCE = b'"urn:altinn:resource:altinnapp.'
# Names of the register that are looked up at once.
LOOKUPS_MAX = 50
# Before and after every time. Each event keeps its time until its registration is known.
_ALWAYS, _NEVER = -(2**62), 2**62
_DEFAULTS = EventDefaults(new_id=str, now=_ALWAYS, time="")


class Candidate(NamedTuple):
    """A row, and its event, or the reason why it is none."""

    row: Row
    event: Event | str


def parse_rows(rows: Sequence[Row]) -> list[Candidate]:
    """Return the candidate of each row."""
    return [Candidate(row, _parse(row)) for row in rows]


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Return rows as bytes, for `parse_encoded`: pickled objects cost ten times as much."""
    return msgspec.msgpack.encode(rows)


def parse_encoded(rows: bytes) -> bytes:
    """Return the events, or the reasons, of encoded rows, for `decode_candidates`."""
    return msgspec.msgpack.encode([_parse(row) for row in _row_decoder.decode(rows)])


def decode_candidates(rows: Sequence[Row], events: bytes) -> list[Candidate]:
    """Return the candidates of rows from the result of `parse_encoded`."""
    return [Candidate(row, event) for row, event in zip(rows, _event_decoder.decode(events), strict=True)]


_row_decoder = msgspec.msgpack.Decoder(list[Row])
_event_decoder = msgspec.msgpack.Decoder(list[Event | str])


def row_json(row: Row) -> bytes:
    """Return the JSON of a row's event, without an earlier name of its resource."""
    text = row.text
    if _OLD_APP_RESOURCE not in text:
        return text
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except PARSE_ERRORS:
        return text
    if bytes(members.get("resource", b"")).startswith(_OLD_APP_RESOURCE):
        del members["resource"]
    return msgspec.json.encode(members)


def _parse(row: Row) -> Event | str:
    """Return the event of a row, or the reason why it is none."""
    try:
        (event,) = parse_events(RawEvents([row_json(row)], batch=False), _DEFAULTS, from_app=False)
    except InvalidEvent as failure:
        return "; ".join(_reason(each.pointer, each.detail) for each in failure.faults)
    if event.future_time is None:  # it has no time, so the log gives it that of its registration
        event = replace(event, future_time=_NEVER)
    return event if len(event.body) <= EVENT_BYTES_MAX else f"The event is over {EVENT_BYTES_MAX} bytes."


def _reason(pointer: str | None, detail: str) -> str:
    return f"{pointer.removeprefix('/')} {detail}" if pointer else f"The event {detail}"


async def resolve_parties(candidates: list[Candidate], parties: Parties) -> None:
    """Replace, in place, each event whose subject names a party by another number. Raises `Unavailable`."""
    indexes = [index for index, each in enumerate(candidates) if _names_other(each.event)]
    for start in range(0, len(indexes), LOOKUPS_MAX):
        part = indexes[start : start + LOOKUPS_MAX]
        events = await parties.resolve([event for index in part if isinstance(event := candidates[index].event, Event)])
        for index, event in zip(part, events, strict=True):
            candidates[index] = candidates[index]._replace(event=event)


def _names_other(event: Event | str) -> bool:
    return isinstance(event, Event) and event.subject is not None and not event.subject.startswith(PREFIX)


def row_members(row: Row) -> dict[str, object]:
    """Return the members of a row's event, without those that are null; none if it is no JSON object."""
    try:
        members = msgspec.json.decode(row_json(row), type=dict[str, object])
    except PARSE_ERRORS:
        return {}
    return {name: value for name, value in members.items() if value is not None or name == "data"}
