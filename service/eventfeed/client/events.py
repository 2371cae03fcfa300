"""An event as a consumer receives it."""

from typing import Any

import msgspec


class _Attributes(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    data: Any = None  # any JSON value, as the publisher wrote it


class _EventJson(_Attributes, frozen=True, kw_only=True):
    sequence: str


class Event(_Attributes, frozen=True, kw_only=True):
    """A CloudEvent and its position: `cursor` resumes after it, `raw` is the JSON exactly as the service returned it.

    `sequence` increases along the log; one feed has gaps. `time` is set by the publisher (RFC 3339).
    """

    sequence: int
    cursor: str
    raw: bytes


_decoder = msgspec.json.Decoder(_EventJson)


def parse_event(raw: bytes, *, log: str) -> Event:
    """Return the event of a JSON text, in the log of this name."""
    attributes = msgspec.structs.asdict(_decoder.decode(raw))
    sequence = int(attributes.pop("sequence"))
    return Event(**attributes, sequence=sequence, cursor=f"{log}.{sequence}", raw=raw)
