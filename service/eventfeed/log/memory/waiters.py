"""Arrivals: who waits for new entries, and is woken by the first that it asked for.

An arriving entry is compared only with those who wait for something that it is looked up by, so that ten thousand who
wait for something else cost nothing.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Query
from eventfeed.log.memory.index_keys import query_keys


class Waiting(NamedTuple):
    """Who waits: for what, since which position, and for the position before the entry that came."""

    query: Query
    past: int
    arrived: asyncio.Future[int]


class Waiters:
    """Those who wait at one tail. After `end` nobody waits any more."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Waiting]] = {}
        self.ended = False

    @contextmanager
    def waiting(self, query: Query, *, past: int) -> Iterator[asyncio.Future[int]]:
        """While the block lasts: the position before the first entry after `past` that the query wants.

        It is `past` itself when nobody can say, or waiting has ended.
        """
        each = Waiting(query, past, asyncio.get_running_loop().create_future())
        if self.ended:
            each.arrived.set_result(past)
        keys, _ = query_keys(query)
        for key in keys:
            self._waiting.setdefault(key, set()).add(each)
        try:
            yield each.arrived
        finally:
            for key in keys:
                self._waiting[key].discard(each)
                if not self._waiting[key]:
                    del self._waiting[key]

    def came(self, entry: Entry, keys: Sequence[str]) -> None:
        """Wake those who wait for this entry; `keys` is what it is looked up by."""
        for key in keys:
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
