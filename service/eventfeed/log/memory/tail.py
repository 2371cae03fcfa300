"""The tail: the newest end of the log, one for all readers of this process.

It moves only past entries it has seen follow one another without a hole. A look at the store is shared by everyone
who waits for it, and is at most `LOOK_SECONDS` apart from the next, however many consumers ask. While anybody waits for
new entries it looks by itself.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence

from eventfeed.domain.errors import Failure, LogDamaged
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Query
from eventfeed.domain.ports import EventLog, Head, Scan
from eventfeed.log.memory.index_keys import event_keys
from eventfeed.log.memory.recent_entries import BYTES_MAX, ENTRIES_MAX, RecentEntries
from eventfeed.log.memory.waiters import Waiters
from eventfeed.single_flight import SingleFlight

_log = logging.getLogger(__name__)

# What another process acknowledged is seen after at most this and one look: well inside the promised 250 ms.
LOOK_SECONDS = 0.1
# One step of catching up.
FOLLOW_ENTRIES_MAX = 1_000
# One step of filling memory: together no more than a page may weigh, whatever the service adds to each.
FILL_ENTRIES_MAX = 100


class Tail:
    """Where the log ends, as this process has verified it, and the newest entries. Start it with `start`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._head = Head(log="", log_start=0, end_offset=0, time=0)
        self._recent = RecentEntries()
        self._looked = float("-inf")
        self._looking = SingleFlight()
        self.waiters = Waiters()
        self._interested = 0
        self._following: asyncio.Task[None] | None = None
        self._forgot = asyncio.Event()

    async def start(self) -> None:
        """Take the store's word for where the log ends. By the log's first law everything before its end exists."""
        self._reset(await self._log.head())

    @property
    def head(self) -> Head:
        """Both ends as last verified, without asking anyone."""
        return self._head

    @property
    def staleness(self) -> float:
        """How long ago this process looked for the end (s), as far as anybody asked."""
        return time.monotonic() - self._looked if self._looked > 0 else 0.0

    @property
    def fresh(self) -> bool:
        """Whether the ends were looked for within `LOOK_SECONDS`."""
        return time.monotonic() - self._looked <= LOOK_SECONDS

    async def look(self, *, past: int = 0) -> Head:
        """Both ends, no older than `LOOK_SECONDS`; looks at the store anew when `past` is ahead of them.

        Raises `LogDamaged` at a hole, `Unavailable` when the store does not answer.
        """
        if past > self._head.end_offset:
            await self._looking.run_after(self._follow)
        elif not self.fresh:
            await self._looking.run(self._follow)
        return self._head

    @contextlib.contextmanager
    def waiting(self, query: Query, *, past: int) -> Iterator[asyncio.Future[int]]:
        """See `Waiters.waiting`; while the block lasts the log is followed."""
        self._interested += 1
        if self._following is None:
            self._following = asyncio.create_task(self._keep_looking())
        try:
            with self.waiters.waiting(query, past=past) as arrived:
                yield arrived
        finally:
            self._interested -= 1

    async def _keep_looking(self) -> None:
        """Look as long as anybody waits. A store that does not answer is asked again; who reads is told of it."""
        while self._interested:
            try:
                await self.look()
            except Failure:
                pass
            except Exception:  # noqa: BLE001  # who waits must not wait for ever
                _log.exception("the log could not be followed")
            await asyncio.sleep(LOOK_SECONDS)
        self._following = None

    async def stop(self) -> None:
        """Let nobody wait any more, and follow the log no longer."""
        self.waiters.end()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def learn(self, entries: Sequence[Entry]) -> None:
        """Move past entries that are durably in the log. Known ones are passed over; a gap raises `LogDamaged`."""
        for entry in entries:
            if entry.sequence <= self._head.end_offset:
                continue
            if entry.sequence != self._head.end_offset + 1:
                raise LogDamaged(f"Entry {entry.sequence} follows {self._head.end_offset}: the log has a hole.")
            keys = event_keys(entry.event)
            self._recent.add(entry, keys)
            self._head = Head(
                log=self._head.log, log_start=self._head.log_start, end_offset=entry.sequence, time=entry.time
            )
            self.waiters.came(entry, keys)
        self._recent.trim()

    def recent(self, *, after: int) -> Sequence[Entry] | None:
        """Everything after this position, from memory; None when memory does not reach back."""
        return self._recent.after(after) if after < self._head.end_offset else ()

    def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan | None:
        """See `EventLog.scan`: from memory, within what was verified; None when memory does not reach back."""
        return self._recent.scan(query, after=after, through=through, limit=limit)

    async def _follow(self) -> None:
        """Read what came after the verified end, and verify it."""
        started, verified = time.monotonic(), self._head
        head = await self._log.head()
        if head.log == verified.log and head.end_offset < verified.end_offset:
            raise LogDamaged(
                f"The log ends at {head.end_offset}, before {verified.end_offset}: was an older copy restored?"
            )
        if head.log != verified.log and self._head.end_offset > verified.end_offset:
            return  # an own append was learnt of meanwhile, so this head is old: the next look takes up the new name
        if head.log != self._head.log or head.end_offset - self._head.end_offset > ENTRIES_MAX:
            self._reset(head)
        while self._head.end_offset < head.end_offset:
            entries = await self._log.follow(after=self._head.end_offset, limit=FOLLOW_ENTRIES_MAX)
            if not entries:
                raise LogDamaged(f"The log ends at {head.end_offset}, but nothing follows {self._head.end_offset}.")
            self.learn(entries)
        self._head = Head(log=head.log, log_start=head.log_start, end_offset=self._head.end_offset, time=self._head.time)
        self._looked = started

    def _reset(self, head: Head) -> None:
        self._head, self._recent = head, RecentEntries()
        self._forgot.set()
        self.waiters.unknown()

    async def remember(self) -> None:
        """Until cancelled: after a start, and whenever the end was taken anew, fill memory with what stands before it.

        While that lasts, and where it fails, the store is read, and memory fills with what comes.
        """
        while True:
            await self._forgot.wait()
            self._forgot.clear()
            try:
                await self._fill()
            except Failure:
                pass
            except Exception:  # noqa: BLE001  # a help to readers, which fails none of them
                _log.exception("the newest entries could not be read")

    async def _fill(self) -> None:
        """Read backwards what memory has room for, and put what came meanwhile behind it."""
        end = position = self._head.end_offset if self._recent.start is None else self._recent.start
        parts, entries, size = deque[Sequence[Entry]](), 0, 0
        while position > self._head.log_start and entries < ENTRIES_MAX and size < BYTES_MAX:
            limit = min(FILL_ENTRIES_MAX, ENTRIES_MAX - entries, position - self._head.log_start)
            found = await self._log.follow(after=position - limit, limit=limit)
            # Retention may have taken the first ones: others come in their place.
            part = [entry for entry in found if entry.sequence <= position]
            if [entry.sequence for entry in part] != list(range(position + 1 - len(part), position + 1)) or not part:
                break
            parts.appendleft(part)
            position -= len(part)
            entries += len(part)
            size += sum(len(entry.event.body) for entry in part)
        recent = RecentEntries()
        for older in parts:
            for entry in older:
                recent.add(entry, event_keys(entry.event))
            recent.trim()
            await asyncio.sleep(0)
        came = self._recent.after(end)
        if self._forgot.is_set() or (came is None and self._recent.start is not None):
            return  # it would not fit: the end was taken anew, or so much came that memory is full
        for entry in came or ():
            recent.add(entry, event_keys(entry.event))
        recent.trim()
        self._recent = recent
