"""The reader: pages of a feed, from memory or from the store.

A page never reaches past the end that this process has verified. Its cursor is the last position examined: it passes
events that were filtered out, and never an event that this process has not read yet.
"""

import enum
import time
from array import array
from collections.abc import Sequence
from itertools import islice

from cachetools import LRUCache
from msgspec.structs import replace

from eventfeed.domain.cloudevents import STORED_BYTES_MAX
from eventfeed.domain.conditions import Equal
from eventfeed.domain.cursor import After, BareSequence, Cursor, EventId, cursor_at
from eventfeed.domain.decision import Undecided, question_of
from eventfeed.domain.errors import CursorExpired, CursorOfAnotherLog, InvalidCursor, StoreAway, Unavailable
from eventfeed.domain.event import Entry, Event
from eventfeed.domain.feed import PAGE_BYTES_MAX, ByDecision, ByScope, Feed, Page, PageBounds
from eventfeed.domain.page_entries import EntryList, PageEntries, bytes_after, sequence_of, whole_entries
from eventfeed.domain.ports import DecisionPoint, EventLog, Head, Scan
from eventfeed.domain.principal import Principal
from eventfeed.log.memory.tail import Tail
from eventfeed.log.memory.waiters import Waiter
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry

# The most scans for one request (a few tenths of a second). After them the request returns the entries found so far.
SCANS_MAX = 10
# Seconds for the scans of one request, even if the store is slow.
SCANS_SECONDS_MAX = 4.0
# Cursors of entries that are not in memory, kept until their consumers return.
CURSORS_MAX = 4_096
# Positions of event ids, kept until their consumers return: at most 16 KiB each, and mostly 1 KiB.
IDS_MAX = 1_000
# This number of entries cannot exceed the bytes of a page, even if each event has the maximum size.
UNMEASURED_ENTRIES_MAX = PAGE_BYTES_MAX // STORED_BYTES_MAX
# The smallest limit of a scan that follows a scan with hidden entries: the next visible entry may be far away.
CANDIDATES_MIN = 200

_OLDER_COPY = "This cursor is not from this copy of the log {}: an older copy was restored."

_ONE = PageBounds(size=1)


class NeedsLookup(enum.Enum):
    """A start that needs the store: for the position of an event id, or the time of the oldest entry."""

    EVENT_ID = enum.auto()
    EXPIRED = enum.auto()


def start_of(after: After, head: Head) -> int | NeedsLookup:
    """Return the position to read after. Raises `CursorOfAnotherLog`, or `InvalidCursor` if it is beyond the end."""
    match after:
        case BareSequence(position=0):
            return head.log_start
        case Cursor(log=log) if log != head.log:
            raise CursorOfAnotherLog(f"This cursor belongs to another log; the name of this log is {head.log}.")
        case EventId():
            return NeedsLookup.EVENT_ID
        case Cursor(position=position) | BareSequence(position=position):
            if position > head.end_offset:
                if isinstance(after, Cursor) and after.proof:
                    raise CursorOfAnotherLog(f"{_OLDER_COPY.format(head.log)} Start again.")
                end = f"{head.log}.{head.end_offset}"
                raise InvalidCursor(
                    f"This cursor is ahead of the log, which ends at {end}.", fault="is ahead of the log"
                )
            return position if position >= head.log_start else NeedsLookup.EXPIRED


def check_proof(cursor: Cursor, present: Cursor) -> None:
    """Raise `CursorOfAnotherLog` if another entry is at the cursor's position than when it was given out."""
    if present.proof not in ("", cursor.proof):
        raise CursorOfAnotherLog(
            f"{_OLDER_COPY.format(cursor.log)} Other entries have taken the positions after its end. Start again."
        )


class Reader:
    """Reads pages of a log."""

    def __init__(
        self, log: EventLog, tail: Tail, *, retention: Retention, decisions: DecisionPoint, telemetry: Telemetry
    ) -> None:
        self._log, self._tail, self._retention = log, tail, retention
        self._decisions, self._telemetry = decisions, telemetry
        self._cursors = LRUCache[tuple[str, int], Cursor](CURSORS_MAX)
        self._id_positions = LRUCache[tuple[str, Feed], int](IDS_MAX)

    @property
    def is_stopping(self) -> bool:
        """True once the service is stopping: from then on no request waits."""
        return self._tail.waiters.is_closed

    async def head(self) -> Head:
        """Return both ends of the log. The log start follows from the retention, even if older entries still exist."""
        return await self._retention.refresh(await self._tail.refresh())

    async def read(self, feed: Feed, *, after: After, bounds: PageBounds) -> Page:
        """Return a page in order. Raises `InvalidCursor`, `CursorExpired`, `CursorOfAnotherLog`, `Unavailable`.

        A page may have fewer events than `size`, or none, although more follow. Its cursor still moves on. While the
        store is away, a page with events that are all in memory reaches up to the last verified end.
        """
        began = time.perf_counter()
        position = 0 if isinstance(after, EventId) else after.position
        tail = self._tail
        is_fresh = time.monotonic() <= tail.fresh_until and position <= tail.head.end_offset
        head, away = self._retention.apply(tail.head) if is_fresh else None, None
        if head is None:
            head, away = await self._refresh(after, position)
        start = start_of(after, head)
        if isinstance(start, NeedsLookup):
            start = await self._look_up(start, feed, after=after, head=head)
        elif isinstance(after, Cursor) and after.proof:
            check_proof(after, self._known_cursor(start, head.log) or await self._stored_cursor(start, head.log))
        first, oldest_time = start, None
        if bounds.since is not None:
            oldest_time = await self._oldest_time(bounds.since, start, head=head)
            first = await self._start_at(bounds.since, start, head=head)
        through = head.end_offset if bounds.until is None else await self._through(bounds.until, head)
        scan = await self._collect(feed, after=first, through=through, bounds=bounds)
        entries, positions = scan.entries, scan.positions
        if away is not None and (not entries or self._retention.has_expired(entries[0].time)):
            raise away
        end = max(start, scan.examined)
        cursor = self._known_cursor(end, head.log) or await self._stored_cursor(end, head.log, entries=entries)
        if positions is None:
            positions = array("Q", map(sequence_of, entries)).tobytes()
        self._telemetry.page_served(
            feed.name,
            entries,
            examined=end - start,
            lag=head.end_offset - end,
            seconds=time.perf_counter() - began,
        )
        return Page(entries=entries, cursor=cursor, more=end < through, positions=positions, oldest_time=oldest_time)

    async def _refresh(self, after: After, position: int) -> tuple[Head, StoreAway | None]:
        """Read both ends. While the store is away, return the last verified ones if they reach this position."""
        tail = self._tail
        try:
            await tail.refresh(past=position)
            if isinstance(after, Cursor) and after.proof and after.log == tail.head.log:
                await tail.reach(position)
            return await self._retention.refresh(tail.head), None
        except StoreAway as failure:
            if position > tail.head.end_offset:
                raise
            return self._retention.apply_latest(tail.head), failure

    async def cursor_at(self, position: int, *, log: str) -> Cursor:
        """Return the cursor of a position, with its proof unless its entry has expired."""
        return self._known_cursor(position, log) or await self._stored_cursor(position, log)

    def _known_cursor(self, position: int, log: str) -> Cursor | None:
        """Return the cursor of a position, None if neither its entry nor the cursor is in memory."""
        entry = self._tail.recent.at(position)
        return self._cursors.get((log, position)) if entry is None else cursor_at(entry, log=log)

    async def _stored_cursor(self, position: int, log: str, *, entries: Sequence[Entry] | PageEntries = ()) -> Cursor:
        """Return the cursor of a position whose entry is the last of `entries`, or in the store, or has expired."""
        if not (entries and entries[-1].sequence == position) and position:
            entries = await self._log.follow(after=position - 1, limit=1)
        if not entries or entries[-1].sequence != position:
            return Cursor(log=log, position=position)
        cursor = self._cursors[log, position] = cursor_at(entries[-1], log=log)
        return cursor

    def has_passed(self, until: int | None) -> bool:
        """True if the last entry is at or after this time (µs): then no earlier event can follow."""
        return until is not None and self._tail.head.time >= until

    @property
    def end_offset(self) -> int:
        """The last verified position of the log."""
        return self._tail.head.end_offset

    async def wait_for_entry(self, feed: Feed, waiter: Waiter, *, past: int, until: float) -> int:
        """Wait for the first entry of the feed after `past`, visible to the reader or not.

        Returns a position up to which the feed has no entry after `past`: the one before the first entry, or the end of
        the log after a time (event loop, s). Returns `past` immediately if the log already ends after it, the service
        stops, or the client is gone. Stops waiting when the client goes.
        """
        if self._tail.head.end_offset != past:
            return past
        position = await self._tail.wait(feed, waiter, past=past, until=until)
        return self._tail.head.end_offset if position is None else position

    async def _look_up(self, needs: NeedsLookup, feed: Feed, *, after: After, head: Head) -> int:
        """Find the position of an event id. Raises `CursorExpired` with the oldest time for `EXPIRED`."""
        if not isinstance(after, EventId) or needs is NeedsLookup.EXPIRED:
            raise await self._expiry_failure(head)
        by_id = feed.without_filters().where(Equal("id", after.id))
        position = self._id_positions.get((head.log, by_id), 0)
        if position > head.log_start:
            return position
        scan = await self._collect(by_id, after=head.log_start, through=head.end_offset, bounds=_ONE)
        if scan.entries:
            position = scan.entries[0].sequence
            if isinstance(feed.visibility, ByScope):  # no right to the event can end
                self._id_positions[head.log, by_id] = position
            return position
        if scan.examined < head.end_offset:
            raise Unavailable("The search for this event id took too long. Use a cursor instead.")
        fault = "is neither a cursor nor the id of an event in this feed"
        raise InvalidCursor(f"The value {fault}.", fault=fault)

    async def _oldest_time(self, since: int, start: int, *, head: Head) -> int | None:
        """Return the time of the oldest entry if the page begins there, because `since` is before the retention."""
        if start != head.log_start or not self._retention.has_expired(since):
            return None
        oldest = self._tail.recent.at(start + 1)
        entries = [oldest] if oldest else await self._log.follow(after=start, limit=1)
        return entries[0].time if entries and entries[0].time > since else None

    async def _start_at(self, since: int, start: int, *, head: Head) -> int:
        """Return the position to read after: the start, or the last position before `since` if that is later."""
        if start >= head.end_offset:
            return start
        recent = self._tail.entries_after(start)
        if recent and recent[0].time >= since:
            return start
        return max(start, await self._log.seek(since))

    async def _through(self, until: int, head: Head) -> int:
        """Return the last position to examine: the end of the log, or the last position before `until`."""
        return head.end_offset if until > head.time else await self._log.seek(until)

    async def _collect(self, feed: Feed, *, after: int, through: int, bounds: PageBounds) -> Scan:
        """Collect visible entries in order, up to the size and the bytes of a page or the budget of a request.

        The next scan excludes the resource or party of each entry that a decision has hidden: a few decisions hide many
        entries. The page ends before an entry without a decision. If that is the first entry, the request fails.
        """
        size = limit = bounds.size
        collected = Scan(entries=EntryList(), examined=after, log_start=after, positions=b"")
        deadline = time.monotonic() + SCANS_SECONDS_MAX
        for _ in range(SCANS_MAX if after < through else 0):
            scan = self._tail.recent.scan(feed, after=collected.examined, through=through, limit=limit)
            if scan is None:
                left = _bytes_left(feed, collected.entries, bounds=bounds)
                if collected.entries and left <= len(b"[]"):
                    break
                scan = await self._scan_store(feed, collected.examined, through=through, limit=limit, bytes_max=left)
            visible = scan
            if isinstance(feed.visibility, ByDecision):
                raise_at = after if collected.examined == after else None
                visible = await self._visible(feed.visibility.reader, scan, raise_at=raise_at)
            collected = _extend(collected, visible, bounds=bounds)
            is_full = len(collected.entries) == size or collected.is_full or collected.examined < scan.examined
            if is_full or collected.examined >= through or time.monotonic() > deadline:
                break
            hidden = _hidden_events(scan, visible)
            feed, limit = feed.without(hidden), max(size - len(collected.entries), CANDIDATES_MIN if hidden else 0)
        return collected

    async def _visible(self, principal: Principal, scan: Scan, *, raise_at: int | None) -> Scan:
        """Return the entries of a scan that the reader may see, up to the first without a decision.

        Raises `Undecided` if the first entry after `raise_at` has no decision.
        """
        entries = whole_entries(scan.entries)
        questions_of_entries = [(entry, question_of(entry.event)) for entry in entries]
        questions = {question for _, question in questions_of_entries if question is not None}
        try:
            allowed = await self._decisions.allowed(principal, questions) if questions else frozenset()
        except Undecided as failure:
            before, examined = _visible_before_undecided(failure, entries)
            if examined == raise_at:
                raise
            return Scan(entries=EntryList(before), examined=examined, log_start=scan.log_start)
        visible = EntryList([entry for entry, question in questions_of_entries if question in allowed])
        if len(visible) == len(entries):
            return scan
        return Scan(entries=visible, examined=scan.examined, log_start=scan.log_start)

    async def _scan_store(self, feed: Feed, after: int, *, through: int, limit: int, bytes_max: int) -> Scan:
        computed = feed.computed_conditions
        if computed:  # the next match may be far away, as after hidden entries
            limit = max(limit, CANDIDATES_MIN)
        with self._telemetry.store_span("scan", engine=self._log.engine):
            scan = await self._log.scan(feed, after=after, through=through, limit=limit, bytes_max=bytes_max)
        if scan.log_start > after:
            raise await self._expiry_failure(await self._retention.refresh(await self._tail.refresh()))
        if not computed:
            return scan
        entries = whole_entries(scan.entries)
        matches = [entry for entry in entries if all(condition.holds(entry.event) for condition in computed)]
        return Scan(entries=EntryList(matches), examined=scan.examined, log_start=scan.log_start)

    async def _expiry_failure(self, head: Head) -> CursorExpired:
        oldest = await self._log.follow(after=head.log_start, limit=1)
        oldest_time = oldest[0].time if oldest else None
        return CursorExpired(oldest=str(Cursor(log=head.log, position=head.log_start)), oldest_time=oldest_time)


def _hidden_events(scan: Scan, visible: Scan) -> Sequence[Event]:
    if visible is scan:
        return ()
    sequences = {entry.sequence for entry in visible.entries}
    return [entry.event for entry in whole_entries(scan.entries) if entry.sequence not in sequences]


def _visible_before_undecided(failure: Undecided, entries: Sequence[Entry]) -> tuple[Sequence[Entry], int]:
    """Return the visible entries before the first without a decision, and the position before that one."""
    visible, verdicts = list[Entry](), failure.verdicts
    for entry in entries:
        question = question_of(entry.event)
        verdict = False if question is None else verdicts.get(question)
        if verdict is None:
            return visible, entry.sequence - 1
        if verdict:
            visible.append(entry)
    raise failure


def _extend(collected: Scan, scan: Scan, *, bounds: PageBounds) -> Scan:
    """Add the entries of the next scan that fit into the number and the bytes of a page.

    The last position examined is that of the scan if all its entries fit, else that of the last entry added.
    """
    if not scan.entries:
        return replace(collected, examined=scan.examined)
    entries, capacity = collected.entries, bounds.size - len(collected.entries)
    # Fewer entries always fit, so their bytes are not added up.
    if len(entries) + len(scan.entries) > UNMEASURED_ENTRIES_MAX or bounds.bytes_max < PAGE_BYTES_MAX:
        capacity = min(capacity, _count_fitting(entries, scan.entries, bytes_max=bounds.bytes_max))
    if capacity >= len(scan.entries):
        return scan if not entries else replace(scan, entries=EntryList([*entries, *scan.entries]), positions=None)
    entries = EntryList([*entries, *islice(scan.entries, capacity)])
    return replace(collected, entries=entries, examined=entries[-1].sequence, positions=None)


def _count_fitting(entries: PageEntries, more: PageEntries, *, bytes_max: int) -> int:
    """Return how many more entries fit into the bytes of a page: at least one on an empty page."""
    return max(0 if entries else 1, more.count_fitting(bytes_after(entries, bytes_max)))


def _bytes_left(feed: Feed, entries: PageEntries, *, bounds: PageBounds) -> int:
    """Return the bytes that a scan may read: those left on the page, or those of a whole page if it hides some."""
    return PAGE_BYTES_MAX if feed.needs_events else bytes_after(entries, bounds.bytes_max)
