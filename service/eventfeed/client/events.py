"""An event as a consumer receives it."""

from typing import Annotated, Any

import msgspec

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Attributes(msgspec.Struct, frozen=True, kw_only=True):
    id: _Text
    source: _Text
    type: _Text
    subject: str | None = None
    time: str | None = None
    resource: str | None = None
    resourceinstance: str | None = None
    data: Any = None  # any JSON value, as the publisher wrote it


class _EventJson(_Attributes, frozen=True, kw_only=True):
    sequence: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,20}$")]


class Event(_Attributes, frozen=True, kw_only=True):
    """A CloudEvent and its position: `cursor` resumes after it, `raw` is the JSON exactly as the service returned it.

    `sequence` increases along the log; one feed has gaps. `time` is set by the publisher (RFC 3339). `resource` is the
    one that rights are given for; an event of an app has `{partyId}/{guid}` as its `resourceinstance`.
    """

    sequence: int
    cursor: str
    raw: bytes


_decoder = msgspec.json.Decoder(_EventJson)


def parse_event(raw: bytes, *, cursor: str) -> Event:
    """Return the event of a JSON text; `cursor` is that of the event itself, or of the page that it came with."""
    attributes = msgspec.structs.asdict(_decoder.decode(raw))
    sequence = int(attributes.pop("sequence"))
    own = f"{cursor.partition('.')[0]}.{sequence}"
    return Event(**attributes, sequence=sequence, cursor=cursor if cursor.startswith(f"{own}.") else own, raw=raw)
