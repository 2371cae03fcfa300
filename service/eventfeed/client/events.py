"""An event as a consumer gets it."""

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent and its place: `cursor` goes on right after it, `raw` is the JSON exactly as served.

    `sequence` rises along the log; in one feed it has gaps. `time` is the publisher's (RFC 3339).
    """

    id: str
    source: str
    type: str
    sequence: int
    subject: str | None = None
    time: str | None = None
    data: Any = None  # whatever the publisher sent
    cursor: str
    raw: bytes


class _Served(msgspec.Struct, frozen=True):
    id: str
    source: str
    type: str
    sequence: str
    subject: str | None = None
    time: str | None = None
    data: Any = None  # the same


_decoder = msgspec.json.Decoder(_Served)


def event_of(raw: bytes, *, log: str) -> Event:
    """The event of a JSON text, in the log of this name."""
    served = _decoder.decode(raw)
    sequence = int(served.sequence)
    return Event(
        id=served.id,
        source=served.source,
        type=served.type,
        sequence=sequence,
        subject=served.subject,
        time=served.time,
        data=served.data,
        cursor=f"{log}.{sequence}",
        raw=raw,
    )
