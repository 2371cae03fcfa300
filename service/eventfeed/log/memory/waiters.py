"""Readers that wait for the next entry of their feed.

An entry is compared only with the waiters of its index keys, so ten thousand waiters on other feeds cost nothing.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventfeed.domain.conditions import Condition
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Feed
from eventfeed.log.memory.recent_entries import Key, feed_keys


class Waiter:
    """Conditions on the entry, the position examined so far, and a future for the position before the first match."""

    __slots__ = ("conditions", "examined", "match")

    def __init__(self, conditions: Sequence[Condition], *, examined: int) -> None:
        self.conditions, self.examined = conditions, examined
        self.match: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def wake(self, position: int) -> None:
        """Set the position, once."""
        if not self.match.done():
            self.match.set_result(position)


class Waiters:
    """The waiters of one tail. After `close` nothing waits."""

    def __init__(self) -> None:
        self._by_key: dict[Key, set[Waiter]] = {}
        self.is_closed = False

    @contextmanager
    def wait(self, feed: Feed, *, past: int) -> Iterator[asyncio.Future[int]]:
        """Provide a future, for this block, for the position before the first entry of the feed after `past`.

        The future is `past` itself if the entries were not compared, or waiting has ended.
        """
        keys, conditions = feed_keys(feed)
        waiter = Waiter(conditions, examined=past)
        if self.is_closed:
            waiter.wake(past)
        for key in keys:
            self._by_key.setdefault(key, set()).add(waiter)
        try:
            yield waiter.match
        finally:
            for key in keys:
                self._by_key[key].discard(waiter)
                if not self._by_key[key]:
                    del self._by_key[key]

    def notify(self, entry: Entry, keys: Sequence[Key]) -> None:
        """Wake the waiters for this entry, which has these index keys."""
        for key in keys:
            for waiter in self._by_key.get(key, ()):
                if all(condition.holds(entry.event) for condition in waiter.conditions):
                    waiter.wake(entry.sequence - 1)

    def wake_all(self) -> None:
        """Wake every waiter without comparing entries."""
        for waiters in self._by_key.values():
            for waiter in waiters:
                waiter.wake(waiter.examined)

    def close(self) -> None:
        """Wake every waiter, and end waiting for good."""
        self.is_closed = True
        self.wake_all()
