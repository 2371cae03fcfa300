"""Appends of many entries whose positions are known, as an import and a copy make them."""

import asyncio
from collections.abc import Sequence

from eventfeed.backoff import Backoff
from eventfeed.domain.errors import LogDamaged, StoreUnusable, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import Head, ImportLog

# Indexes are made again if the entries to append are more than this part of the log: see `begin_import`.
_REBUILD_PART = 10
# Attempts of a request that the store does not confirm, and the delays between them (s).
TRIES_MAX = 8
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 0.1, 10.0

# The head of a log before it is read.
EMPTY = Head(log="", log_start=0, end_offset=0, time=0)


class BulkAppendError(Exception):
    """Entries that the log does not take. The message says why, and the way out."""


class Attempts:
    """The attempts of one request."""

    def __init__(self) -> None:
        self._left = TRIES_MAX
        self._backoff = Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=_longest)

    async def wait(self, failure: Unavailable) -> None:
        """Wait before the next attempt. Raises the failure if there is none, or if it does not pass."""
        self._left -= 1
        if not self._left or isinstance(failure, StoreUnusable | LogDamaged):
            raise failure
        await asyncio.sleep(self._backoff.next_delay())


class BulkAppend:
    """Appends to the end of a log with this head, which no service may use meanwhile. `end` is its last position.

    `expected` is the number of entries to append.
    """

    def __init__(self, log: ImportLog, *, head: Head, expected: int) -> None:
        self._log, self.end = log, head.end_offset
        self._is_large = expected > (head.end_offset - head.log_start) // _REBUILD_PART
        self._has_begun = False

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
