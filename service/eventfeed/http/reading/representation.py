"""Representation of events: stored JSON, joined without parsing it, and the reduced form for anyone."""

from collections.abc import Callable, Iterable
from operator import attrgetter

import msgspec

from eventfeed.domain.event import Entry


class _Public(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes that anyone may see."""

    specversion: str
    id: str
    source: str
    type: str
    time: str


entry_json: Callable[[Entry], bytes] = attrgetter("json")


def public_json(entry: Entry) -> bytes:
    """Return the event without subject, data and extensions (contract section 5, instance feed)."""
    public = msgspec.json.decode(entry.event.body, type=_Public)
    return b'%b,"sequence":"%020d"}' % (msgspec.json.encode(public)[:-1], entry.sequence)


def json_array(events: Iterable[bytes]) -> bytes:
    """Return a JSON array of at least one event. Brackets on the outer events save a copy of the whole."""
    first, *rest = events
    events = [b"[" + first, *rest]
    events[-1] += b"]"
    return b",".join(events)
