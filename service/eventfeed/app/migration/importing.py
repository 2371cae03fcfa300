"""The import of a table into a log that holds imports alone.

The write id of an imported entry names its table and row. So the last entry says where an interrupted import goes on,
in the same commit as the rows, and whether the log holds imports alone: an event that is published ends this for good.
It also says if the row's time was in the future then, since no later comparison can know the time of the import.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

from eventfeed.access.parties import Parties
from eventfeed.app.bulk_append import EMPTY, BulkAppend, BulkAppendError
from eventfeed.app.migration.parsers import parse_ahead
from eventfeed.app.migration.parsing import Candidate, resolve_parties
from eventfeed.app.migration.rows import START, TIMES, Row, Table, TableName
from eventfeed.domain.event import Entry, Event, Identity
from eventfeed.domain.moment import format_moment
from eventfeed.domain.ports import Clock, Head, ImportLog, StoredEvent
from eventfeed.log.clock import CLOCK_SKEW_MAX

_FUTURE = ".future"
_WRITE_ID = re.compile(rf"import\.(events|events_app)\.([0-9]+)({re.escape(_FUTURE)})?")


class ImportRefusedError(BulkAppendError):
    """An import that the log or the retention does not allow. The message says why, and the way out."""


class Retention(NamedTuple):
    """The time that events are kept (µs), and whether rows that are older are left out instead of refused."""

    keep: int
    skip_expired: bool


class Step(NamedTuple):
    """The rows of a step, and the entries that were written for them."""

    rows: int
    entries: int


class ImportedRow(NamedTuple):
    """The table and the number of an imported row, and whether its time was in the future at the import."""

    table: str
    number: int
    is_future: bool


def write_id(table: TableName, row: Row, *, time: int) -> str:
    """Return the write id of an entry that is imported with this time."""
    future = _FUTURE if row.time is not None and row.time > time else ""
    return f"import.{table}.{row.number}{future}"


def imported_row(entry: Entry) -> ImportedRow | None:
    """Return the row of an entry, None if it was not imported."""
    match = _WRITE_ID.fullmatch(entry.write_id)
    return ImportedRow(match[1], int(match[2]), match[3] is not None) if match else None


def registration(row: Row, *, newest: int, now: int) -> int:
    """Return the time of registration in the log (µs): the latest so far, without those in the future."""
    if row.time is None or row.time > now + CLOCK_SKEW_MAX // 1_000:
        return newest
    return max(newest, min(row.time, now))


class Import:
    """An import. `steps` may be called once."""

    def __init__(self, log: ImportLog, table: Table, *, parties: Parties, clock: Clock, retention: Retention) -> None:
        self._log, self._table, self._parties, self._clock = log, table, parties, clock
        self._retention = retention
        self._append = BulkAppend(log, head=EMPTY, total=0)
        self._newest = self._rows_left = 0
        self._last_number = START

    async def start(self) -> int:
        """Return the number of rows to import. Raises `ImportRefusedError`."""
        head = await self._log.head()
        self._newest = head.time
        self._last_number = await self._last_imported(head)
        self._rows_left = await self._table.count(after=self._last_number)
        self._append = BulkAppend(self._log, head=head, total=self._rows_left)
        return self._rows_left

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Import the rows, and yield each step when it is durable. The next step is parsed meanwhile."""
        writing: asyncio.Task[Step] | None = None
        chunks = self._table.rows(after=self._last_number, limit=self._log.import_entries_max)
        try:
            async with aclosing(chunks), aclosing(parse_ahead(chunks, rows=self._rows_left)) as parts:
                async for candidates in parts:
                    await resolve_parties(candidates, self._parties)
                    if writing is not None:
                        yield await writing
                    writing = asyncio.create_task(self._write(candidates))
            if writing is not None:
                yield await writing
            await self._append.finish()
        finally:
            if writing is not None:
                await asyncio.gather(writing, return_exceptions=True)

    async def _last_imported(self, head: Head) -> int:
        """Return the number of the last row of this table that the log has, `START` if it has none."""
        if not head.end_offset:
            return START
        if head.end_offset == head.log_start:
            raise ImportRefusedError("The log is a copy that has only begun. Import into an empty log.")
        (last,) = await self._log.follow(after=head.end_offset - 1, limit=1)
        row = imported_row(last)
        if row is None:
            raise ImportRefusedError(
                f"Sequence {last.sequence} was published, so the log takes no more imports: they would be new events "
                "for its consumers. Import into an empty log, before the service takes events."
            )
        tables = list(TIMES)
        if tables.index(row.table) < tables.index(self._table.name):  # type: ignore[arg-type]  # a name of a table
            raise ImportRefusedError(
                "The log has rows of events.events. Rows of events.events_app are older: import them first."
            )
        return row.number if row.table == self._table.name else START

    async def _write(self, candidates: Sequence[Candidate]) -> Step:
        identities = [each.event.identity for each in candidates if isinstance(each.event, Event)]
        entries = list(self._entries(candidates, await self._log.find_identities(identities)))
        if entries:
            await self._append.append(entries)
        return Step(len(candidates), len(entries))

    def _entries(self, candidates: Sequence[Candidate], matches: Mapping[Identity, StoredEvent]) -> Iterator[Entry]:
        """Yield the entries of the rows that are new, at the next positions."""
        now, identities, end = self._clock() // 1_000, set[Identity](), self._append.end
        for row, event in candidates:
            if isinstance(event, str) or event.identity in matches or event.identity in identities:
                continue
            time = registration(row, newest=self._newest, now=now)
            if time < now - self._retention.keep:
                self._require_skip(row, time)
                continue
            identities.add(event.identity)
            end += 1
            self._newest = time
            name = write_id(self._table.name, row, time=time)
            yield Entry(sequence=end, time=time, write_id=name, event=event.registered(time))

    def _require_skip(self, row: Row, time: int) -> None:
        if not self._retention.skip_expired:
            raise ImportRefusedError(
                f"{row} was registered at {format_moment(time)}, before the retention of the log: the service would "
                "delete it at once. Leave such rows out with --skip-expired, or raise EVENTFEED_RETENTION_DAYS."
            )
