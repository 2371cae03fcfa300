"""Appends of many entries whose positions are known, as an import and a copy make them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from eventfeed.backoff import Backoff
from eventfeed.domain.errors import LogDamaged, NotDone, StoreUnusable, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import Head, ImportLog

# Indexes are made again if the entries to append are more than this part of the log: see `begin_import`.
_REBUILD_PART = 10
# Attempts of a request that the store does not confirm, and the delays between them (s).
TRIES_MAX = 8
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 0.1, 10.0

# The head of a log before it is read.
EMPTY = Head(log="", log_start=0, end_offset=0, time=0)

T = TypeVar("T")


class BulkAppendError(Exception):
    """Entries that the log does not take. The message says why, and the way out."""


class Attempts:
    """The attempts of one request."""

    def __init__(self) -> None:
        self._tries = TRIES_MAX
        self._backoff = Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=_longest)

    async def wait(self, failure: Unavailable) -> None:
        """Wait before the next attempt, as long as the store asks for.

        Raises the failure if there is none, or if it does not pass.
        """
        self._tries -= 1
        if not self._tries or isinstance(failure, StoreUnusable | LogDamaged):
            raise failure
        delay = failure.retry_seconds if isinstance(failure, NotDone) else 0
        await asyncio.sleep(max(delay, self._backoff.next_delay()))


async def repeat(read: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a read, which is repeated while the store does not respond."""
    attempts = Attempts()
    while True:
        try:
            return await read()
        except Unavailable as failure:
            await attempts.wait(failure)


class BulkAppend:
    """Appends to the end of a log with this head, which no service may use meanwhile. `end` is its last position.

    `total` is the number of entries to append.
    """

    def __init__(self, log: ImportLog, *, head: Head, total: int) -> None:
        self._log, self.end = log, head.end_offset
        self._is_large = total > (head.end_offset - head.log_start) // _REBUILD_PART
        self._has_begun = False

    async def adopt(self, name: str, *, log_start: int) -> None:
        """Give an empty log another name and start."""
        await self._begin()
        await self._log.adopt(name, log_start=log_start)
        self.end = log_start

    async def append(self, entries: Sequence[Entry]) -> None:
        """Append entries. If the outcome is unknown, read how many are stored, and append the rest.

        Raises `BulkAppendError` if the log has other entries in their place.
        """
        await self._begin()
        attempts = Attempts()
        while entries:
            try:
                await self._log.append(entries, after=self.end)
                count = len(entries)
            except Unavailable as failure:
                count = await self._count_stored(entries)
                if not count:
                    await attempts.wait(failure)
            self.end += count
            entries = entries[count:]

    async def finish(self) -> None:
        """Make the log ready for a service again."""
        await self._log.end_import()

    async def _begin(self) -> None:
        """Prepare the log, if that saves time."""
        if self._is_large and not self._has_begun:
            await self._log.begin_import()
        self._has_begun = True

    async def _count_stored(self, entries: Sequence[Entry]) -> int:
        """Return how many of these entries are stored."""
        try:
            actual = await self._log.follow(after=self.end, limit=len(entries))
        except Unavailable:
            return 0
        for entry, other in zip(entries, actual, strict=False):
            if entry != other:
                raise BulkAppendError(
                    f"Sequence {other.sequence} was written by another process meanwhile. Stop the service, and begin "
                    "again with an empty log."
                )
        return len(actual)


def _longest() -> float:
    return 1.0
