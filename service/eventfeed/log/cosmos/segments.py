"""The entries of a log in Cosmos DB, asked segment by segment.

No answer is believed that came from a replica which lacks what this process knows to be there: each holds its proof,
or it is asked for again.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Query
from eventfeed.log.cosmos.database import Calls, Document, StaleReplica, read_until_current
from eventfeed.log.cosmos.documents import COLUMNS, entry_of
from eventfeed.log.cosmos.manifest import ManifestStore
from eventfeed.log.cosmos.queries import Values, conditions, listing


class End(NamedTuple):
    """The last entry of the log or of a segment, and its registration time; 0 when there is none."""

    position: int = 0
    time: int = 0


class ScanBudget(NamedTuple):
    """What a scan may still take."""

    entries: int
    bytes: int


class SegmentSlice(NamedTuple):
    """Matches in a part of a segment, and how far it was examined."""

    entries: Sequence[Entry]
    examined: int


class Segments:
    """The segments of one log, and how far this process has seen it: `seen`."""

    def __init__(self, events: Calls, records: ManifestStore) -> None:
        self._events, self._manifest = events, records
        self.seen = End()
        # The ends of full segments: they do not change.
        self._ends: dict[int, End] = {}
        # The last segment that the store has deleted for its age.
        self._gone = -1

    def of(self, sequence: int) -> int:
        """The segment of an entry."""
        return sequence // self._manifest.last.segment_entries

    def last_of(self, segment: int) -> int:
        """The last position of a segment."""
        return (segment + 1) * self._manifest.last.segment_entries - 1

    def saw(self, end: End) -> None:
        """Note an entry that exists."""
        self.seen = max(self.seen, end)

    async def end(self, known: int) -> End:
        """The last entry, which is `known` or comes after it. Raises `LogDamaged` when neither is there."""
        segment = self.of(known)
        try:
            end = await self._newest(segment, least=known)
        except StaleReplica:
            raise LogDamaged(f"The log has reached {known}; no such entry is there, nor one after it.") from None
        while end.position == self.last_of(segment):
            segment += 1
            end = max(end, await self._newest(segment))
        return end

    async def last(self) -> int:
        """The position of the last entry there is, whatever anybody knows; 0 when there is none."""
        found = await self._events.query(
            "head", "SELECT TOP 1 c.sequence FROM c WHERE c.segment >= 0 ORDER BY c.sequence DESC", values={}
        )
        return int(found[0]["sequence"]) if found else 0

    async def part(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Entries that come right after `after`, of one segment."""
        segment = self.of(after + 1)

        async def ask() -> Sequence[Entry] | None:
            known = min(self.seen.position, self.last_of(segment))
            documents = await self._events.query(
                "follow",
                f"SELECT TOP {limit} {COLUMNS} FROM c "  # noqa: S608  # a number and constants
                "WHERE c.segment = @segment AND c.sequence > @after ORDER BY c.sequence",
                partition=segment,
                values={"segment": segment, "after": after},
            )
            reached = documents[-1]["sequence"] if documents else after
            return None if len(documents) < limit and reached < known else [entry_of(each) for each in documents]

        return await read_until_current(ask)

    async def slice_segment(self, query: Query, *, after: int, upto: int, room: ScanBudget) -> SegmentSlice:
        """The matches in a part of one segment."""
        segment, (where, values) = self.of(upto), conditions(query)

        async def ask() -> SegmentSlice | None:
            documents = await self._events.query(
                "scan",
                f"SELECT TOP {room.entries + 1} {COLUMNS} FROM c WHERE c.segment = @segment "  # noqa: S608  # constants
                f"AND c.sequence > @after AND c.sequence <= @upto AND (({where}) OR c.sequence = @upto) "
                "ORDER BY c.sequence",
                partition=segment,
                values={"segment": segment, "after": after, "upto": upto, **values},
            )
            return fit(documents, query, upto=upto, room=room)

        return await read_until_current(ask)

    async def everywhere(
        self, columns: str, where: str, *, values: Values, first: int | None = None
    ) -> Sequence[Document]:
        """Documents of all segments, and the proofs that each replica had what is known to be; `first` ones in order.

        Proof is the last known entry, and of the segment before, which may be in another partition, the last one.
        """
        newest = self.of(self.seen.position)
        ends = [self.seen.position, *([self.last_of(newest - 1)] if newest - 1 > self._gone else [])]
        proofs = [each for each in ends if each > self._manifest.last.log_start]
        most = None if first is None else first + len(proofs) + 1
        top, order = ("", "") if most is None else (f"TOP {most}", "ORDER BY c.sequence")
        listed, proving = listing("proof", proofs)
        proved = f"({where}) OR c.sequence IN ({listed})" if proofs else where

        async def ask() -> Sequence[Document] | None:
            documents = await self._events.query(
                "find",
                f"SELECT {top} {columns} FROM c WHERE c.segment >= @first AND ({proved}) {order}",  # noqa: S608  # constants
                values={"first": self.of(self._manifest.last.log_start), **values, **proving},
            )
            whole = len(documents) == most or {each["sequence"] for each in documents}.issuperset(proofs)
            return documents if whole else None

        try:
            return await read_until_current(ask)
        except StaleReplica:
            if self.last_of(newest - 1) not in proofs or not await self._deleted(newest - 1):
                raise
            return await self.everywhere(columns, where, values=values, first=first)

    async def seek(self, time: int, *, log_start: int, end: int) -> int:
        """The first position after `log_start` registered at `time` or later, as the end is."""
        while True:
            place = await self._first_ending_at(time, first=self.of(log_start + 1), last=self.of(end))
            try:
                return await read_until_current(functools.partial(self._first_at, time, segment=place))
            except StaleReplica:
                if not await self._deleted(place):
                    raise

    async def _first_at(self, time: int, *, segment: int) -> int | None:
        """The first position of a segment registered at `time` or later; None from a replica without it."""
        found = await self._events.query(
            "seek",
            "SELECT TOP 1 c.sequence FROM c WHERE c.segment = @segment AND c.time >= @time ORDER BY c.time, c.sequence",
            partition=segment,
            values={"segment": segment, "time": time},
        )
        return int(found[0]["sequence"]) if found else None

    async def _newest(self, segment: int, *, least: int = 0) -> End:
        """A segment's last entry, which is `least` or comes after it. Raises `StaleReplica`."""

        async def ask() -> End | None:
            found = await self._events.query(
                "head",
                "SELECT TOP 1 c.sequence, c.time FROM c WHERE c.segment = @segment ORDER BY c.sequence DESC",
                partition=segment,
                values={"segment": segment},
            )
            end = End(found[0]["sequence"], found[0]["time"]) if found else End()
            return end if end.position >= least else None

        return await read_until_current(ask)

    async def _first_ending_at(self, time: int, *, first: int, last: int) -> int:
        """The first segment from `first` to `last` with an entry at `time` or later; `last` when none before has."""
        while first < last:
            middle = (first + last) // 2
            end = await self._end_of(middle)
            if end is None or end.time < time:
                first = middle + 1
            else:
                last = middle
        return first

    async def _end_of(self, segment: int) -> End | None:
        """The last entry of a full segment; None of one that the store has deleted."""
        if segment > self._gone and segment not in self._ends:
            try:
                self._ends[segment] = await self._newest(segment, least=self.last_of(segment))
            except StaleReplica:
                if not await self._deleted(segment):
                    raise
        return self._ends[segment] if segment > self._gone else None

    async def _deleted(self, segment: int) -> bool:
        """Whether nothing is left of a segment that was full: its last entry is the last to go."""
        deleted = await self._newest(segment) == End()
        if deleted:
            self._gone = max(self._gone, segment)
        return deleted


def fit(documents: Sequence[Document], query: Query, *, upto: int, room: ScanBudget) -> SegmentSlice | None:
    """What of an answer fits; None when it came from a replica that is behind."""
    if len(documents) <= room.entries and (not documents or documents[-1]["sequence"] != upto):
        return None
    entries, weight = list[Entry](), 0
    for document in documents:
        entry = entry_of(document)
        if entry.sequence == upto and not query.matches(entry.event):
            break
        weight += len(entry.event.body)
        if len(entries) == room.entries or (entries and weight > room.bytes):
            return SegmentSlice(entries, entries[-1].sequence)
        entries.append(entry)
    return SegmentSlice(entries, entries[-1].sequence if len(entries) == room.entries else upto)
