"""The comparison of an imported table with the log: each row with its entry, in order."""

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from eventfeed.app.migration.importing import ImportedRow, Retention, imported_row, registration
from eventfeed.app.migration.parsing import Candidate, parse_rows, row_members
from eventfeed.app.migration.rows import NUMBER, START, Row, Table
from eventfeed.domain.app_source import parse_app_source
from eventfeed.domain.event import Entry, Event, Identity
from eventfeed.domain.moment import format_moment, parse_moment
from eventfeed.domain.ports import Clock, ImportLog, StoredEvent

CHUNK_ROWS = 1_000


class Counts:
    """Rows of the table by what became of them."""

    rows = entries = repeats = old_rows = refusals = future_rows = 0

    def __str__(self) -> str:
        counts = {
            "imported": self.entries,
            "repeats": self.repeats,
            "expired": self.old_rows,
            "not imported": self.refusals,
        }
        return f"{self.rows} rows: {', '.join(f'{name} {count}' for name, count in counts.items())}"


class _RowEntry(NamedTuple):
    """An imported row, its entry, and the time of the entry before it, None if that has expired."""

    source: ImportedRow
    entry: Entry
    previous: int | None


class Verification:
    """Compares rows with entries. `counts` counts the rows, and `faults` the differences."""

    def __init__(self, log: ImportLog, table: Table, *, clock: Clock, retention: Retention) -> None:
        self._log, self._table, self._clock, self._keep = log, table, clock, retention.keep
        self.counts, self.faults = Counts(), 0
        self._entries = deque[_RowEntry]()
        self._position = 0
        self._newest: int | None = 0
        # The platform deletes its oldest rows each night, and a file may have only the last part of a table.
        self._first_number: int | None = None

    async def messages(self) -> AsyncGenerator[Sequence[str], None]:
        """Compare rows in steps. Yield the messages of each: rows that were not imported, and differences."""
        head = await self._log.head()
        self._position, self._newest = head.log_start, None if head.log_start else 0
        chunks = self._table.rows(after=START, limit=CHUNK_ROWS)
        async with aclosing(chunks):
            async for rows in chunks:
                if self._first_number is None:
                    self._first_number = rows[0].number
                await self._read_entries(through=rows[-1].number, end=head.end_offset)
                missing, messages = list[Row](), list[str]()
                for row in rows:
                    messages += self._compare(row, missing)
                self.counts.rows += len(rows)
                yield [*messages, *(await self._explain(missing))]

    async def _read_entries(self, *, through: int, end: int) -> None:
        """Read entries until one is of a row after `through`, or to the end of the log."""
        while self._position < end and not (self._entries and self._entries[-1].source.number > through):
            for entry in await self._log.follow(after=self._position, limit=CHUNK_ROWS):
                source = imported_row(entry)
                if (
                    source is not None
                    and source.table == self._table.name
                    and source.number >= (self._first_number or 0)
                ):
                    self._entries.append(_RowEntry(source, entry, self._newest))
                self._position, self._newest = entry.sequence, entry.time

    def _compare(self, row: Row, missing: list[Row]) -> Iterator[str]:
        """Yield the differences of a row and its entry; without one, add it to `missing`."""
        while self._entries and self._entries[0].source.number < row.number:
            extra = self._entries.popleft()
            yield self._fault(
                f"Sequence {extra.entry.sequence} is {NUMBER} {extra.source.number}, which the table does not have."
            )
        if not self._entries or self._entries[0].source.number > row.number:
            missing.append(row)
            return
        match = self._entries.popleft()
        self.counts.entries += 1
        self.counts.future_rows += _was_future(row, match)
        for difference in _differences(row, match):
            yield self._fault(f"{row} differs at sequence {match.entry.sequence}: {difference}.")

    async def _explain(self, rows: Sequence[Row]) -> Sequence[str]:
        """Count rows that are not in the log, and return a message for each that should be, or cannot be."""
        candidates = parse_rows(rows)
        identities = [each.event.identity for each in candidates if isinstance(each.event, Event)]
        matches = await self._log.find_identities(identities) if identities else {}
        return [message for each in candidates if (message := self._explain_row(each, matches))]

    def _explain_row(self, candidate: Candidate, matches: Mapping[Identity, StoredEvent]) -> str:
        row, event = candidate
        now = self._clock() // 1_000
        if isinstance(event, str):
            self.counts.refusals += 1
            return f"{row} was not imported: {event}"
        if (entry := matches.get(event.identity)) is not None:
            if entry.content == event.content:
                self.counts.repeats += 1
                return ""
            self.counts.refusals += 1
            return f"{row} was not imported: sequence {entry.sequence} has its source and id, and other content"
        if registration(row, newest=0, now=now) < now - self._keep:
            self.counts.old_rows += 1
            return ""
        return self._fault(f"{row} is not in the log. Was it committed after rows with higher numbers were imported?")

    def _fault(self, message: str) -> str:
        self.faults += 1
        return message


def _differences(row: Row, match: _RowEntry) -> Iterator[str]:
    """Yield the differences of a row and its entry."""
    entry, members = match.entry, row_members(row)
    actual = msgspec.json.decode(entry.event.body, type=dict[str, object])
    if (entry.event.identity.source, entry.event.identity.id) != (members.get("source"), members.get("id")):
        yield "source or id"
    if actual != members and (names := _different_members(actual, members, entry=entry)):
        yield ", ".join(names)
    if not (_was_future(row, match) or _has_latest_time(row, match)):
        yield "registration time"


def _was_future(row: Row, match: _RowEntry) -> bool:
    """True if the row's time does not count, since it was in the future at the import."""
    return match.source.is_future and row.time is not None and row.time > match.entry.time


def _has_latest_time(row: Row, match: _RowEntry) -> bool:
    """True if the registration of the entry is the latest of the rows so far."""
    own, time = row.time or 0, match.entry.time
    return time >= own if match.previous is None else time == max(match.previous, own)


def _different_members(actual: Mapping[str, object], members: Mapping[str, object], *, entry: Entry) -> Sequence[str]:
    """Return the names of the members that differ, but for what the log adds or restates."""
    members = {**_additions(actual, entry), **members}
    if _is_restated(members["time"], entry):
        members["time"] = format_moment(entry.time)
    return sorted(name for name in actual.keys() | members.keys() if actual.get(name) != members.get(name))


def _additions(actual: Mapping[str, object], entry: Entry) -> Mapping[str, object]:
    """Return the members that an event in the log may have and its row has not (contract section 3)."""
    source = parse_app_source(entry.event.identity.source)
    additions = {"resource": source.resource, "resourceinstance": source.resourceinstance} if source else {}
    return {"time": actual.get("time"), **{name: additions[name] for name in additions.keys() & actual.keys()}}


def _is_restated(time: object, entry: Entry) -> bool:
    """True if a row's time is later than the registration, which the log then has instead (contract section 3)."""
    moment = parse_moment(time) if isinstance(time, str) else None
    return moment is not None and moment > entry.time
