"""Readers that wait for the next entry of their feed.

Readers of equal feeds wait at one place. An entry is compared only with the places of its index keys, so neither ten
thousand waiters on other feeds cost anything, nor those on the same feed before they are woken. They are woken a few at
a time: a request that arrives meanwhile does not wait for all of them.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Feed
from eventfeed.log.memory.recent_entries import Key, feed_keys
from eventfeed.timer import Timer

# Waiters that are woken before anything else may run: about 1 ms of work for all of them.
WAKE_MAX = 32


class Waiter:
    """A request that waits for one entry after another, until `end`. It has one timer for all that it waits for."""

    __slots__ = ("_wake", "is_over", "timer")

    def __init__(self) -> None:
        self.timer = Timer()
        self.is_over = False
        self._wake: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """End the wait under way."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def end(self) -> None:
        """End all waiting: the client is gone."""
        self.is_over = True
        self.wake()

    async def wait(self, until: float) -> None:
        """Wait to be woken, but not beyond a time (event loop, s)."""
        self._wake = asyncio.get_running_loop().create_future()
        self.timer.start(until, self.wake)
        try:
            await self._wake
        finally:
            self.timer.stop()
            self._wake = None


class Place:
    """The waiters of a feed with this key, and the position before the first entry of the feed; None if none came."""

    __slots__ = ("conditions", "examined", "feed", "keys", "waiters")

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.keys, self.conditions = feed_keys(feed)
        self.examined: int | None = None
        self.waiters: dict[Waiter, None] = {}


class Waiters:
    """The waiters of one tail. After `close` nothing waits."""

    def __init__(self) -> None:
        self._places: dict[Feed, Place] = {}
        self._by_key: dict[Key, set[Place]] = {}
        self._woken = deque[Place]()
        self.count = 0
        self.is_closed = False

    async def wait(self, feed: Feed, waiter: Waiter, *, past: int, until: float) -> int | None:
        """Wait for the first entry of the feed after `past`, and return the position before it.

        Returns None after a time (event loop, s), or when the client is gone, if there is no such entry. Returns `past`
        if the entries were not compared, or waiting has ended.
        """
        if self.is_closed or waiter.is_over:
            return past
        place = self._join(feed, waiter)
        try:
            await waiter.wait(until)
        finally:
            self._leave(place, waiter)
        return None if place.examined is None else max(place.examined, past)

    def _join(self, feed: Feed, waiter: Waiter) -> Place:
        place = self._places.get(feed)
        if place is None:
            place = self._places[feed] = Place(feed)
            for key in place.keys:
                self._by_key.setdefault(key, set()).add(place)
        place.waiters[waiter] = None
        self.count += 1
        return place

    def _leave(self, place: Place, waiter: Waiter) -> None:
        self.count -= 1
        place.waiters.pop(waiter, None)
        if not place.waiters and place.examined is None:
            self._remove(place)

    def _remove(self, place: Place) -> None:
        del self._places[place.feed]
        for key in place.keys:
            self._by_key[key].discard(place)
            if not self._by_key[key]:
                del self._by_key[key]

    def notify(self, entry: Entry, keys: Sequence[Key]) -> None:
        """Wake the waiters for this entry, which has these index keys: soon, and a few at a time."""
        for key in keys:
            for place in tuple(self._by_key.get(key, ())):
                if all(condition.holds(entry.event) for condition in place.conditions):
                    self._wake(place, examined=entry.sequence - 1)

    def wake_all(self) -> None:
        """Wake every waiter without comparing entries."""
        for place in tuple(self._places.values()):
            self._wake(place, examined=0)

    def close(self) -> None:
        """Wake every waiter, and end waiting for good."""
        self.is_closed = True
        self.wake_all()

    def _wake(self, place: Place, *, examined: int) -> None:
        """Note the position, and wake the waiters. Who comes now waits for the next entry, so at another place."""
        place.examined = examined
        self._remove(place)
        if not self._woken:
            asyncio.get_running_loop().call_soon(self._wake_some)
        self._woken.append(place)

    def _wake_some(self) -> None:
        """Wake some waiters, in turn those of each place, and go on after what else is to be done."""
        woken, count = self._woken, 0
        while woken and count < WAKE_MAX:
            place = woken.popleft()
            if place.waiters:
                place.waiters.popitem()[0].wake()
                woken.append(place)
                count += 1
        if woken:
            asyncio.get_running_loop().call_soon(self._wake_some)
