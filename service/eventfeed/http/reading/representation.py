"""Representation of events: stored JSON, which is not parsed, and the reduced form for anyone."""

from collections.abc import Callable
from operator import attrgetter

import msgspec

from eventfeed.domain.page_entries import PageEntries, PageEntry, join_array


class _Public(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes that anyone may see."""

    specversion: str
    id: str
    source: str
    type: str
    time: str


entry_json: Callable[[PageEntry], bytes] = attrgetter("json")


def whole_array(entries: PageEntries) -> bytes:
    """Return the events of a page as a JSON array."""
    return entries.json_array()


def public_json(entry: PageEntry) -> bytes:
    """Return the event without subject, data and extensions (contract section 5, instance feed)."""
    public = msgspec.json.decode(entry.json, type=_Public)
    return b'%b,"sequence":"%020d"}' % (msgspec.json.encode(public)[:-1], entry.sequence)


def public_array(entries: PageEntries) -> bytes:
    """Return the events of a page as a JSON array, see `public_json`."""
    return join_array(map(public_json, entries))
