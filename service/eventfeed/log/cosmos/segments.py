"""The entries of a log in Cosmos DB, queried segment by segment.

A replica that lags behind may lack entries that this process has read or written. Therefore each response must prove
that it is current, or the query is repeated: it contains a known entry that a current replica has.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Feed
from eventfeed.log.cosmos.database import Calls, Document
from eventfeed.log.cosmos.documents import COLUMNS, entry_of
from eventfeed.log.cosmos.manifest import ManifestStore
from eventfeed.log.cosmos.queries import Values, feed_clause, value_list
from eventfeed.log.cosmos.retry import StaleReplica, read_until_current


class End(NamedTuple):
    """The last entry of the log or of a segment, and its registration time; 0 if there is none."""

    position: int = 0
    time: int = 0


class ScanBudget(NamedTuple):
    """The most entries, at least 1, and bytes of events that a scan may return. One event of any size always fits."""

    entries: int
    bytes: int


class SegmentSlice(NamedTuple):
    """The matches in a part of a segment, and the last position of that part."""

    entries: Sequence[Entry]
    through: int


class Segments:
    """The segments of one log. `newest` is the last entry that this process has read or written."""

    def __init__(self, events: Calls, manifest: ManifestStore) -> None:
        self._events, self._manifest = events, manifest
        self.newest = End()
        # The ends of full segments never change.
        self._full_ends: dict[int, End] = {}
        # The last segment that the store has deleted because of its age.
        self._last_deleted = -1

    def of(self, sequence: int) -> int:
        """Return the segment of an entry."""
        return sequence // self._manifest.latest.segment_entries

    def last_position(self, segment: int) -> int:
        """Return the last position of a segment."""
        return (segment + 1) * self._manifest.latest.segment_entries - 1

    def observe(self, end: End) -> None:
        """Note an entry that exists."""
        self.newest = max(self.newest, end)

    async def read_end(self, *, least: int) -> End:
        """Return the last entry, at `least` or after it. Raises `LogDamaged` if there is none."""
        segment = self.of(least)
        try:
            end = await self._segment_end(segment, least=least)
        except StaleReplica:
            raise LogDamaged(f"The log has reached {least}, but it has no entry there or after it.") from None
        while end.position == self.last_position(segment):
            segment += 1
            end = max(end, await self._segment_end(segment))
        return end

    async def read_last_position(self) -> int:
        """Return the position of the last entry in the store, whatever the manifest says; 0 if there is none."""
        documents = await self._events.query(
            "head", "SELECT TOP 1 c.sequence FROM c WHERE c.segment >= 0 ORDER BY c.sequence DESC", values={}
        )
        return int(documents[0]["sequence"]) if documents else 0

    async def follow(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Return at most `limit` entries that come right after `after`, all of one segment."""
        segment = self.of(after + 1)

        async def read() -> Sequence[Entry] | None:
            least = min(self.newest.position, self.last_position(segment))
            documents = await self._events.query(
                "follow",
                f"SELECT TOP {limit} {COLUMNS} FROM c "  # noqa: S608  # a number and constants
                "WHERE c.segment = @segment AND c.sequence > @after ORDER BY c.sequence",
                partition=segment,
                values={"segment": segment, "after": after},
            )
            last = documents[-1]["sequence"] if documents else after
            return None if len(documents) < limit and last < least else [entry_of(each) for each in documents]

        return await read_until_current(read)

    async def scan(self, feed: Feed, *, after: int, through: int, budget: ScanBudget) -> SegmentSlice:
        """Return the entries of a feed in a part of one segment."""
        segment, (where, values) = self.of(through), feed_clause(feed)

        async def read() -> SegmentSlice | None:
            documents = await self._events.query(
                "scan",
                f"SELECT TOP {budget.entries + 1} {COLUMNS} FROM c WHERE c.segment = @segment "  # noqa: S608  # constants
                f"AND c.sequence > @after AND c.sequence <= @through AND ({where} OR c.sequence = @through) "
                "ORDER BY c.sequence",
                partition=segment,
                values={"segment": segment, "after": after, "through": through, **values},
            )
            return fit(documents, feed, through=through, budget=budget)

        return await read_until_current(read)

    async def query_all(
        self, columns: str, where: str, *, values: Values, first: int | None = None
    ) -> Sequence[Document]:
        """Return matching documents of all segments: all, or the `first` ones in order. It may add some others.

        Those are sentinels, which a current replica has: the newest known entry, and the last one of the segment before
        it, which may be in another partition.
        """
        newest = self.of(self.newest.position)
        ends = [self.newest.position, *([self.last_position(newest - 1)] if newest - 1 > self._last_deleted else [])]
        sentinels = [each for each in ends if each > self._manifest.latest.log_start]
        limit = None if first is None else first + len(sentinels) + 1
        top, order = ("", "") if limit is None else (f"TOP {limit}", "ORDER BY c.sequence")
        names, sentinel_values = value_list("sentinel", sentinels)
        condition = f"({where}) OR c.sequence IN ({names})" if sentinels else where

        async def read() -> Sequence[Document] | None:
            documents = await self._events.query(
                "find",
                f"SELECT {top} {columns} FROM c WHERE c.segment >= @first AND ({condition}) {order}",  # noqa: S608  # constants
                values={"first": self.of(self._manifest.latest.log_start), **values, **sentinel_values},
            )
            is_current = len(documents) == limit or {each["sequence"] for each in documents}.issuperset(sentinels)
            return documents if is_current else None

        try:
            return await read_until_current(read)
        except StaleReplica:
            if self.last_position(newest - 1) not in sentinels or not await self._is_deleted(newest - 1):
                raise
            return await self.query_all(columns, where, values=values, first=first)

    async def seek(self, time: int, *, log_start: int, end: int) -> int:
        """Return the first position after `log_start` registered at `time` or later. The entry at `end` must be."""
        while True:
            segment = await self._first_segment_ending_at(time, first=self.of(log_start + 1), last=self.of(end))
            try:
                return await read_until_current(functools.partial(self._first_at, time, segment=segment))
            except StaleReplica:
                if not await self._is_deleted(segment):
                    raise

    async def _first_at(self, time: int, *, segment: int) -> int | None:
        """Return the first position of a segment registered at `time` or later; None from a replica without it."""
        documents = await self._events.query(
            "seek",
            "SELECT TOP 1 c.sequence FROM c WHERE c.segment = @segment AND c.time >= @time ORDER BY c.time, c.sequence",
            partition=segment,
            values={"segment": segment, "time": time},
        )
        return int(documents[0]["sequence"]) if documents else None

    async def _segment_end(self, segment: int, *, least: int = 0) -> End:
        """Return a segment's last entry, at `least` or after it. Raises `StaleReplica` if there is none."""

        async def read() -> End | None:
            documents = await self._events.query(
                "head",
                "SELECT TOP 1 c.sequence, c.time FROM c WHERE c.segment = @segment ORDER BY c.sequence DESC",
                partition=segment,
                values={"segment": segment},
            )
            end = End(documents[0]["sequence"], documents[0]["time"]) if documents else End()
            return end if end.position >= least else None

        return await read_until_current(read)

    async def _first_segment_ending_at(self, time: int, *, first: int, last: int) -> int:
        """Return the first segment from `first` to `last` with an entry at `time` or later; `last` if none has one."""
        while first < last:
            middle = (first + last) // 2
            end = await self._full_end(middle)
            if end is None or end.time < time:
                first = middle + 1
            else:
                last = middle
        return first

    async def _full_end(self, segment: int) -> End | None:
        """Return the last entry of a full segment; None if the store has deleted it."""
        if segment > self._last_deleted and segment not in self._full_ends:
            try:
                self._full_ends[segment] = await self._segment_end(segment, least=self.last_position(segment))
            except StaleReplica:
                if not await self._is_deleted(segment):
                    raise
        return self._full_ends[segment] if segment > self._last_deleted else None

    async def _is_deleted(self, segment: int) -> bool:
        """True if the store has deleted a full segment: its last entry expires last. Note such a segment."""
        is_empty = await self._segment_end(segment) == End()
        if is_empty:
            self._last_deleted = max(self._last_deleted, segment)
        return is_empty


def fit(documents: Sequence[Document], feed: Feed, *, through: int, budget: ScanBudget) -> SegmentSlice | None:
    """Return the matches that fit into the budget; None if the response is of a replica that lags behind."""
    if len(documents) <= budget.entries and (not documents or documents[-1]["sequence"] != through):
        return None
    entries = map(entry_of, documents)
    # The query adds the entry at `through`, as proof.
    matches = (entry for entry in entries if entry.sequence != through or feed.matches(entry.event))
    return fill(matches, budget, through=through)


def fill(matches: Iterable[Entry], budget: ScanBudget, *, through: int) -> SegmentSlice:
    """Return the first matches that fit into the budget: through `through`, or through the last one that fits."""
    entries, size = list[Entry](), 0
    for entry in matches:
        size += len(entry.event.body)
        if entries and size > budget.bytes:
            return SegmentSlice(entries, entries[-1].sequence)
        entries.append(entry)
        if len(entries) == budget.entries:
            return SegmentSlice(entries, entry.sequence)
    return SegmentSlice(entries, through)
