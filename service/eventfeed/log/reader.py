"""The reader: turns what a consumer asks into a page, from the tail's memory or from the store.

A page never reaches past the tail this process has verified, and its cursor is the last position examined: it passes
what was filtered away, and nothing that is not yet visible.
"""

import asyncio
import time
from array import array
from collections.abc import Sequence

from eventfeed.domain.cursor import Bare, Cursor, EventId
from eventfeed.domain.errors import CursorExpired, CursorOfAnotherLog, InvalidCursor, Unavailable
from eventfeed.domain.event import EVENT_BYTES_MAX, Entry, sequence_of, served_bytes
from eventfeed.domain.feed import (
    PAGE_BYTES_MAX,
    AppFeed,
    Feed,
    Filter,
    InstanceFeed,
    Page,
    PageRequest,
    PartyFeed,
    Query,
    ReporteeFeed,
    ResourceFeed,
    Undecided,
    name_of,
    question_of,
)
from eventfeed.domain.ports import DecisionPoint, EventLog, Head, Scan
from eventfeed.log.memory.tail import Tail
from eventfeed.log.retention import Retention
from eventfeed.telemetry.metrics import AGE, LAG, PAGE_DURATION, PAGE_EVENTS, PAGE_EXAMINED
from eventfeed.telemetry.tracing import CLIENT, doing, link, recording

_DECIDED_BY_SCOPE = (AppFeed, ReporteeFeed)

# What one request may ask of the store before it returns what it has: some tenths of a second.
SCANS_MAX = 10
# And how long, however slow the store is.
SCANS_SECONDS_MAX = 4.0
# So few events cannot be too much for one page, whatever the service adds to each.
LIGHT_ENTRIES_MAX = PAGE_BYTES_MAX // (EVENT_BYTES_MAX + 1024)
# Once something was hidden, more is looked at than the page has room for: the next visible entry may be far away.
CANDIDATES_MAX = 200


class Reader:
    """Reads pages of a log."""

    def __init__(self, log: EventLog, tail: Tail, *, retention: Retention, decisions: DecisionPoint) -> None:
        self._log, self._tail, self._retention = log, tail, retention
        self._decisions = decisions

    @property
    def log(self) -> str:
        """The name of the log, as last seen; asks nobody."""
        return self._tail.head.log

    async def head(self) -> Head:
        """Both ends of the log; the floor is where retention has come to by now, taken away or not."""
        return await self._retention.applied(await self._tail.look())

    async def read(self, ask: PageRequest) -> Page:
        """A page in order. Raises `InvalidCursor`, `CursorExpired`, `CursorOfAnotherLog`, `Unavailable`.

        May be empty, and may hold fewer than asked while there is more: then its cursor has moved.
        """
        began = time.perf_counter()
        start, head = self._known_start(ask) or await self._start(ask)
        # Nothing is awaited, nor made a coroutine of, that most requests need not ask for.
        first = start if ask.since is None else await self._first(ask.since, start, head=head)
        through = head.end_offset if ask.until is None else await self._through(ask.until, head)
        found = self._at_once(ask, after=first, through=through)
        if found is None:
            found = await self._collect(ask, after=first, through=through)
        entries = found.entries
        cursor = Cursor(log=head.log, position=max(start, found.examined))
        name = name_of(ask.query.feed)
        self._measure(name, entries, examined=cursor.position - start, behind=head.end_offset - cursor.position)
        PAGE_DURATION.record(time.perf_counter() - began, name)
        places = array("Q", map(sequence_of, entries)).tobytes() if found.places is None else found.places
        return Page(entries=entries, cursor=cursor, more=cursor.position < through, places=places)

    def _measure(self, name: str, entries: Sequence[Entry], *, examined: int, behind: int) -> None:
        PAGE_EVENTS.record(len(entries), name)
        PAGE_EXAMINED.record(examined, name)
        LAG.record(behind, name)
        if entries:
            AGE.record(self._retention.age(entries[-1].time), name)
            if recording():
                link(entry.trace for entry in entries if entry.trace)

    @property
    def ended(self) -> bool:
        """Whether nobody can wait here any more: the service is stopping."""
        return self._tail.waiters.ended

    def past(self, until: int | None) -> bool:
        """Whether the log has come past this time (µs), so that nothing before it can come any more."""
        return until is not None and self._tail.head.time >= until

    async def arrival(self, query: Query, *, past: int, seconds: float, unless: asyncio.Task[None]) -> int:
        """Wait for the first entry after `past` that the query wants, and that somebody may or may not be shown.

        The position up to which there is none: before the entry that came, or where the log ends when the time is up.
        It returns at once when the log ends after `past` already, and when waiting has ended or `unless` has happened.
        """
        if self._tail.head.end_offset != past:
            return past
        with self._tail.waiting(query, past=past) as arrived:
            either: set[asyncio.Future[int] | asyncio.Future[None]] = {arrived, unless}
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return arrived.result() if arrived.done() else self._tail.head.end_offset

    def _known_start(self, ask: PageRequest) -> tuple[int, Head] | None:
        """What `_start` says of a cursor of this log, when nobody needs to be asked for it."""
        after, newest = ask.after, self._tail.head
        if isinstance(after, Cursor) and after.log == newest.log and self._tail.fresh:
            head = self._retention.known(newest)
            if head is not None and head.log_start <= after.position <= head.end_offset:
                return after.position, head
        return None

    async def _start(self, ask: PageRequest) -> tuple[int, Head]:
        """The position the cursor names, and the ends of the log that it was checked against."""
        ahead = 0 if isinstance(ask.after, EventId) else ask.after.position
        head = await self._retention.applied(await self._tail.look(past=ahead))
        match ask.after:
            case Bare(position=0):
                return head.log_start, head
            case Cursor(log=log) if log != head.log:
                raise CursorOfAnotherLog(f"This cursor belongs to another log; the one here is named {head.log}.")
            case EventId(id=event_id):
                return await self._place(ask.query, event_id, head=head), head
        if ahead > head.end_offset:
            raise InvalidCursor(f"This cursor is ahead of the log, which ends at {head.log}.{head.end_offset}.")
        if ahead < head.log_start:
            raise await self._expired(head)
        return ahead, head

    async def _place(self, query: Query, event_id: str, *, head: Head) -> int:
        """Where the first retained event of the feed with this id stands, of those that may be seen."""
        asked = PageRequest(query=Query(feed=query.feed, filter=Filter(id=event_id)), size=1)
        found = await self._collect(asked, after=head.log_start, through=head.end_offset)
        if found.entries:
            return found.entries[0].sequence
        if found.examined < head.end_offset:
            raise Unavailable(
                "This event id was not found in the time a request has. A cursor finds its place at once."
            )
        raise InvalidCursor("This is no cursor, and no event of this feed has it as its id.")

    async def _first(self, since: int, start: int, *, head: Head) -> int:
        """The position to examine after: the start, or further on where `since` begins."""
        if start >= head.end_offset:
            return start
        recent = self._tail.recent(after=start)
        if recent and recent[0].time >= since:
            return start
        return max(start, await self._log.seek(since))

    async def _through(self, until: int, head: Head) -> int:
        """The last position to examine: the end of the log, or before where `until` begins."""
        return head.end_offset if until > head.time else await self._log.seek(until)

    def _at_once(self, ask: PageRequest, *, after: int, through: int) -> Scan | None:
        """What `_collect` finds, when it is in memory, nobody decides on it, and it cannot be too much for a page."""
        if after >= through:
            return Scan(entries=(), examined=after, log_start=after, places=b"")
        if ask.size > LIGHT_ENTRIES_MAX or not isinstance(ask.query.feed, _DECIDED_BY_SCOPE):
            return None
        return self._tail.scan(ask.query, after=after, through=through, limit=ask.size)

    async def _collect(self, ask: PageRequest, *, after: int, through: int) -> Scan:
        """What may be seen, in order, up to the page's size, bytes or the request's budget; the last one examined.

        What was decided on is not searched for again, so that a few decisions hide any number of entries. An entry
        that nobody decides on now ends the page, and fails the request that begins with it.
        """
        page, query, limit, start = _Filling(ask.size), ask.query, ask.size, after
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SCANS_SECONDS_MAX
        for _ in range(SCANS_MAX):
            if after >= through:
                break
            scan = await self._scan(query, after=after, through=through, limit=limit)
            try:
                visible = await self._visible(query.feed, scan.entries)
            except Undecided as failure:
                visible, examined = _before(failure, scan.entries)
                after = page.take(visible, examined=examined)
                if after == start:
                    raise
                break
            after = page.take(visible, examined=scan.examined)
            if page.full or after >= through or loop.time() > deadline:
                break
            seen = {entry.sequence for entry in visible}
            hidden = [entry.event for entry in scan.entries if entry.sequence not in seen]
            query, limit = query.without(hidden), max(page.room, CANDIDATES_MAX if hidden else 0)
        return Scan(entries=page.entries, examined=after, log_start=start)

    async def _visible(self, feed: Feed, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those of a feed's entries that its reader may see."""
        match feed:
            case AppFeed() | ReporteeFeed():
                return entries
            case InstanceFeed():
                return [entry for entry in entries if feed.holds(entry.event)]
            case PartyFeed(reader=reader) | ResourceFeed(reader=reader):
                asked = [(entry, question_of(entry.event)) for entry in entries]
                questions = {question for _, question in asked if question is not None}
                allowed = await self._decisions.allowed(reader, questions) if questions else frozenset()
                return [entry for entry, question in asked if question in allowed]

    async def _scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan:
        """The next matches: from memory near the end of the log, from the store elsewhere."""
        recent = self._tail.scan(query, after=after, through=through, limit=limit)
        if recent is not None:
            return recent
        with doing("scan", kind=CLIENT, attributes={"db.system.name": self._log.engine}):
            scan = await self._log.scan(query, after=after, through=through, limit=limit)
        if scan.log_start > after:
            raise await self._expired(await self._retention.applied(await self._tail.look()))
        return scan

    async def _expired(self, head: Head) -> CursorExpired:
        oldest = await self._log.follow(after=head.log_start, limit=1)
        time = oldest[0].time if oldest else None
        return CursorExpired(oldest=str(Cursor(log=head.log, position=head.log_start)), oldest_time=time)


def _before(undecided: Undecided, entries: Sequence[Entry]) -> tuple[Sequence[Entry], int]:
    """The visible ones of these entries before the first that was not decided on, and the position before that one."""
    visible, verdicts = list[Entry](), undecided.verdicts
    for entry in entries:
        question = question_of(entry.event)
        verdict = False if question is None else verdicts.get(question)
        if verdict is None:
            return visible, entry.sequence - 1
        if verdict:
            visible.append(entry)
    raise undecided


class _Filling:
    """A page as it fills."""

    def __init__(self, size: int) -> None:
        self.entries: list[Entry] = []
        self.full = False
        self._size = size

    @property
    def room(self) -> int:
        """How many more entries fit."""
        return self._size - len(self.entries)

    def take(self, entries: Sequence[Entry], *, examined: int) -> int:
        """Add what fits of these, for which `examined` was the last one looked at; that of what is in the page."""
        # To add up what each weighs takes longer than to send it, and so few cannot weigh too much.
        if len(entries) <= min(self.room, LIGHT_ENTRIES_MAX - len(self.entries)):
            self.entries += entries
            self.full = self.room == 0
            return examined
        weight = len(b"[]") + sum(served_bytes(entry) + len(b",") for entry in self.entries)
        for entry in entries:
            if self.room == 0:
                self.full = True
                return self.entries[-1].sequence
            weight += served_bytes(entry) + len(b",")
            if self.entries and weight > PAGE_BYTES_MAX:
                self.full = True
                return self.entries[-1].sequence
            self.entries.append(entry)
        self.full = self.room == 0
        return examined
