"""The tail: the newest end of the log, shared by all readers of this process.

It moves only past entries that follow one another without a gap. Callers share each read of the store, and reads are at
least `REFRESH_SECONDS` apart. While readers wait, the tail refreshes itself.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Sequence

from msgspec.structs import replace

from eventfeed.domain.errors import Failure, LogDamaged, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Feed
from eventfeed.domain.ports import EventLog, Head
from eventfeed.log.memory.recent_entries import BYTES_MAX, ENTRIES_MAX, RecentEntries
from eventfeed.log.memory.waiters import Waiter, Waiters
from eventfeed.single_flight import SingleFlight

_log = logging.getLogger(__name__)

# An event that another process acknowledged is visible after at most this and one read: well within 250 ms.
REFRESH_SECONDS = 0.1
# One step of catching up.
FOLLOW_ENTRIES_MAX = 1_000
# The most positions beyond the end that another process can have written while a replica lags, and the most callers
# that wait for one: a forged cursor costs its client nothing.
REACH_ENTRIES_MAX = 100_000
REACH_CALLERS_MAX = 100
# Memory is filled again after this time (s) if the log turned out to be damaged.
REPAIR_SECONDS = 5.0
# One step of filling memory: together no more bytes than a page, with the attributes that the service adds.
FILL_ENTRIES_MAX = 60


class Tail:
    """The verified end of the log and the newest entries. Call `start` first.

    `head` holds both ends as last verified, `recent` the newest entries. The ends need no
    refresh until `fresh_until` (monotonic clock, s): `REFRESH_SECONDS` after they were read.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.head = Head(log="", log_start=0, end_offset=0, time=0)
        self.recent = RecentEntries()
        self.fresh_until = float("-inf")
        self._unread_since: float | None = None
        self.waiters = Waiters()
        self._refreshing = SingleFlight[None]()
        self._reaching = 0
        self._follower: asyncio.Task[None] | None = None
        self._needs_filling = asyncio.Event()
        self._damage: LogDamaged | None = None

    async def start(self) -> None:
        """Take both ends from the store. The log is dense, so every entry before its end exists."""
        self._reset(await self._log.head())

    @property
    def staleness(self) -> float:
        """Seconds since the first read of the end without a success after it; 0 for an idle process."""
        return 0.0 if self._unread_since is None else time.monotonic() - self._unread_since

    async def refresh(self, *, past: int = 0) -> Head:
        """Return both ends, no older than `REFRESH_SECONDS`; always read the store if `past` is beyond the end.

        Raises `LogDamaged` at a gap, also one among the entries that memory was to be filled with, and `Unavailable`
        when the store does not respond.
        """
        if self._damage is not None:
            raise self._damage.with_traceback(None)
        if past > self.head.end_offset:
            await self._refreshing.run_after(self._read_end)
        elif time.monotonic() > self.fresh_until:
            await self._refreshing.run(self._read_end)
        return self.head

    async def read_up_to(self, position: int) -> None:
        """Read the entries up to a position that the store has: other processes may have written them."""
        if position > self.head.end_offset:
            await self.refresh(past=position)

    async def reach(self, position: int) -> None:
        """Refresh until the log reaches a position of another process, or no replica of the store can lag so long.

        Raises `Unavailable` if many callers wait already.
        """
        if not self.head.end_offset < position <= self.head.end_offset + REACH_ENTRIES_MAX:
            return
        if self._reaching >= REACH_CALLERS_MAX:
            raise Unavailable("Many readers wait for the newest events.", retry_seconds=1)
        deadline = time.monotonic() + self._log.lag_seconds_max
        self._reaching += 1
        try:
            while self.head.end_offset < position and time.monotonic() < deadline:
                await asyncio.sleep(REFRESH_SECONDS)
                await self.refresh(past=position)
        finally:
            self._reaching -= 1

    def wait(self, feed: Feed, waiter: Waiter, *, past: int, until: float) -> Awaitable[int | None]:
        """See `Waiters.wait`; meanwhile the tail refreshes itself."""
        if self._follower is None:
            self._follower = asyncio.create_task(self._keep_fresh())
        return self.waiters.wait(feed, waiter, past=past, until=until)

    async def _keep_fresh(self) -> None:
        """Refresh while readers wait. A store that does not respond is asked again; readers see the failure."""
        while True:
            try:
                await self.refresh()
            except Failure:
                pass
            except Exception:  # noqa: BLE001  # waiting readers depend on this loop
                _log.exception("the log could not be followed")
            await asyncio.sleep(REFRESH_SECONDS)
            if not self.waiters.count:
                break
        self._follower = None

    async def stop(self) -> None:
        """End all waiting, and stop following the log."""
        self.waiters.close()
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    def advance(self, entries: Sequence[Entry]) -> None:
        """Move past entries that are durable. Skips those before the end; raises `LogDamaged` at a gap."""
        for entry in entries:
            if entry.sequence <= self.head.end_offset:
                continue
            if entry.sequence != self.head.end_offset + 1:
                raise LogDamaged(f"Entry {entry.sequence} follows {self.head.end_offset}: the log has a gap.")
            keys = self.recent.add(entry)
            self.head = replace(self.head, end_offset=entry.sequence, time=entry.time)
            if self.waiters.count:
                self.waiters.notify(entry, keys)
        self.recent.trim()

    def entries_after(self, position: int) -> Sequence[Entry] | None:
        """Return every entry after this position, from memory; None if memory does not reach back to it."""
        return self.recent.after(position) if position < self.head.end_offset else ()

    async def _read_end(self) -> None:
        """Read the entries after the verified end, and verify them."""
        began, previous = time.monotonic(), self.head
        self._unread_since = began if self._unread_since is None else self._unread_since
        head = await self._log.head()
        if head.log == previous.log and head.end_offset < previous.end_offset:
            raise LogDamaged(
                f"The log ends at {head.end_offset}, before {previous.end_offset}: was an older copy restored?"
            )
        if head.log != previous.log and self.head.end_offset > previous.end_offset:
            return  # this process appended meanwhile, so this head is old: the next read takes the new name
        if head.log != self.head.log or head.end_offset - self.head.end_offset > ENTRIES_MAX:
            self._reset(head)
        while self.head.end_offset < head.end_offset:
            entries = await self._log.follow(after=self.head.end_offset, limit=FOLLOW_ENTRIES_MAX)
            if not entries:
                raise LogDamaged(f"The log ends at {head.end_offset}, but nothing follows {self.head.end_offset}.")
            self.advance(entries)
        self.head = replace(head, end_offset=self.head.end_offset, time=self.head.time)
        self.fresh_until, self._unread_since = began + REFRESH_SECONDS, None

    def _reset(self, head: Head) -> None:
        self.head, self.recent = head, RecentEntries()
        self._needs_filling.set()
        self.waiters.wake_all()

    async def fill_memory(self) -> None:
        """After each reset, read the entries before the end into memory, until cancelled.

        Meanwhile, and after a failure, readers use the store, and memory fills with new entries.
        """
        while True:
            await self._needs_filling.wait()
            self._needs_filling.clear()
            try:
                await self._fill()
                self._note_damage(None)
            except LogDamaged as damage:
                self._note_damage(damage)
                await asyncio.sleep(REPAIR_SECONDS)
                self._needs_filling.set()
            except Failure:
                pass
            except Exception:  # noqa: BLE001  # readers work without it
                _log.exception("the newest entries could not be read")

    def _note_damage(self, damage: LogDamaged | None) -> None:
        """Refuse reads while the log is damaged. Log each change of this state."""
        if damage is not None and self._damage is None:
            _log.error("the log is not served: %s", damage)
        elif damage is None and self._damage is not None:
            _log.warning("the log is served again")
        self._damage = damage
        if damage is not None:
            self.fresh_until = float("-inf")

    async def _fill(self) -> None:
        """Read backwards as much as memory holds, then add the entries learnt meanwhile."""
        end = self.head.end_offset if self.recent.start is None else self.recent.start
        recent = RecentEntries()
        for part in await self._read_backwards(end):
            for entry in part:
                recent.add(entry)
            recent.trim()
            await asyncio.sleep(0)
        newer = self.recent.after(end)
        if self._needs_filling.is_set() or (newer is None and self.recent.start is not None):
            return  # the tail was reset, or memory is full of newer entries
        for entry in newer or ():
            recent.add(entry)
        recent.trim()
        self.recent = recent

    async def _read_backwards(self, end: int) -> Sequence[Sequence[Entry]]:
        """Return parts of the log that end at `end`, in order, as many as memory holds."""
        parts, count, size = deque[Sequence[Entry]](), 0, 0
        while end > self.head.log_start and count < ENTRIES_MAX and size < BYTES_MAX:
            limit = min(FILL_ENTRIES_MAX, ENTRIES_MAX - count, end - self.head.log_start)
            entries = await self._log.follow(after=end - limit, limit=limit)
            # If retention has deleted the first ones, later ones come instead.
            part = [entry for entry in entries if entry.sequence <= end]
            if not part:
                break
            _require_dense(part, end=end)
            parts.appendleft(part)
            end -= len(part)
            count += len(part)
            size += sum(len(entry.event.body) for entry in part)
        return parts


def _require_dense(entries: Sequence[Entry], *, end: int) -> None:
    """Raise `LogDamaged` unless these entries follow one another up to `end`."""
    for position, entry in zip(range(end, 0, -1), reversed(entries), strict=False):
        if entry.sequence != position:
            raise LogDamaged(f"Entry {position} is missing: the log has a gap.")
