"""Arrivals: who waits for new entries, and is woken by the first that it asked for.

An arriving entry is compared only with those who wait for its app, subject, instance, resource or type, so that ten
thousand who wait for something else cost nothing.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from eventfeed.domain.event import Entry, Event
from eventfeed.domain.feed import AppFeed, Feed, InstanceFeed, PartyFeed, Query, ReporteeFeed, ResourceFeed


class Key(NamedTuple):
    """What of an event a feed is chosen by, and its value."""

    of: str
    value: str


class Waiting(NamedTuple):
    """Who waits: for what, since which position, and for the position before the entry that came."""

    query: Query
    past: int
    arrived: asyncio.Future[int]


class Arrivals:
    """Those who wait at one tail. After `end` nobody waits any more."""

    def __init__(self) -> None:
        self._waiting: dict[Key, set[Waiting]] = {}
        self.ended = False

    @contextmanager
    def waiting(self, query: Query, *, past: int) -> Iterator[asyncio.Future[int]]:
        """While the block lasts: the position before the first entry after `past` that the query wants.

        It is `past` itself when nobody can say, or waiting has ended.
        """
        each = Waiting(query, past, asyncio.get_running_loop().create_future())
        if self.ended:
            each.arrived.set_result(past)
        keys = keys_of(query.feed)
        for key in keys:
            self._waiting.setdefault(key, set()).add(each)
        try:
            yield each.arrived
        finally:
            for key in keys:
                self._waiting[key].discard(each)
                if not self._waiting[key]:
                    del self._waiting[key]

    def came(self, entries: Iterable[Entry]) -> None:
        """Wake those whose entry is among these."""
        for entry in entries:
            for key in _keys_of_event(entry.event):
                for each in self._waiting.get(key, ()):
                    if not each.arrived.done() and each.query.matches(entry.event):
                        each.arrived.set_result(entry.sequence - 1)

    def unknown(self) -> None:
        """Wake everybody: what came was not looked at."""
        for together in self._waiting.values():
            for each in together:
                if not each.arrived.done():
                    each.arrived.set_result(each.past)

    def end(self) -> None:
        """Wake everybody, and let nobody wait any more."""
        self.ended = True
        self.unknown()


def keys_of(feed: Feed) -> Sequence[Key]:
    """What an entry of this feed has at least one of."""
    match feed:
        case AppFeed(app=app):
            return [Key("app", f"{app.org}/{app.name}")]
        case PartyFeed(subject=subject):
            return [Key("subject", subject)]
        case ReporteeFeed(types=types):
            return [Key("type", each) for each in types]
        case InstanceFeed(guid=guid):
            return [Key("instance", guid)]
        case ResourceFeed(resource=resource):
            return [Key("resource", resource)]


def _keys_of_event(event: Event) -> Iterator[Key]:
    yield Key("type", event.type)
    if event.app is not None:
        yield Key("app", f"{event.app.org}/{event.app.name}")
    if event.subject is not None:
        yield Key("subject", event.subject)
    if event.instance is not None:
        yield Key("instance", event.instance)
    if event.resource is not None:
        yield Key("resource", event.resource)
