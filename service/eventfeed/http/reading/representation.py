"""Representation of events: stored JSON, which is not parsed, and the reduced form for anyone."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from eventfeed.domain.page_entries import PageEntries, PageEntry, join_array

# Return the JSON of each event of a page, as a reader may see it; and that of all as an array in parts.
SerialiseEach = Callable[[PageEntries], Iterable[bytes]]
SerialiseAll = Callable[[PageEntries], Sequence[bytes]]


class _Public(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes that anyone may see."""

    specversion: str
    id: str
    source: str
    type: str
    time: str


def whole_events(entries: PageEntries) -> Iterable[bytes]:
    """Return the JSON of each event of a page."""
    return entries.json_events()


def whole_array(entries: PageEntries) -> Sequence[bytes]:
    """Return the events of a page as a JSON array, in parts."""
    return entries.json_parts()


def public_json(entry: PageEntry) -> bytes:
    """Return the event without subject, data and extensions (contract section 5, instance feed)."""
    public = msgspec.json.decode(entry.json, type=_Public)
    return b'%b,"sequence":"%020d"}' % (msgspec.json.encode(public)[:-1], entry.sequence)


def public_events(entries: PageEntries) -> Iterable[bytes]:
    """Return the public JSON of each event of a page, see `public_json`."""
    return map(public_json, entries)


def public_array(entries: PageEntries) -> Sequence[bytes]:
    """Return the events of a page as a JSON array in one part, see `public_json`."""
    return [join_array(public_events(entries))]
