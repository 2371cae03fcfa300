"""Imports of CSV files into a log, for tests."""

import io
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.access.parties import Parties
from eventfeed.app.migration.csv_table import CsvTable
from eventfeed.app.migration.importing import Import, Retention
from eventfeed.app.migration.rows import Table, microseconds
from eventfeed.app.migration.verification import Verification
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import ImportLog
from tests.support.altinn_rows import FIRST_TIME, AltinnRow, csv_file

FIRST = microseconds(FIRST_TIME)
DAY = 24 * 3_600 * 1_000_000
KEEP = 90 * DAY


class Report(NamedTuple):
    """The counts, the messages and the number of faults of a verification."""

    counts: str
    messages: Sequence[str]
    faults: int


class Importer:
    """Imports tables into a log, one day after the first time."""

    def __init__(self, log: ImportLog, *, now: int = FIRST + DAY) -> None:
        self.log, self.now = log, now

    async def run(self, rows: Iterable[AltinnRow], *, skip_expired: bool = False) -> Report:
        """Import a CSV file of these rows, and verify it."""
        table = CsvTable(io.BytesIO(csv_file(rows)))
        await self.add(table, skip_expired=skip_expired)
        return await self.verify(table)

    async def add(self, table: Table, *, skip_expired: bool = False) -> int:
        """Import a table, and return the number of rows imported."""
        parties = Parties(LocalRegister(population_file(None)))
        retention = Retention(keep=KEEP, skip_expired=skip_expired)
        importing = Import(self.log, table, parties=parties, clock=self._clock, retention=retention)
        await importing.start()
        async with aclosing(importing.steps()) as steps:
            return sum([step.entries async for step in steps])

    async def verify(self, table: Table) -> Report:
        """Compare a table with the log."""
        retention = Retention(keep=KEEP, skip_expired=False)
        verification = Verification(self.log, table, clock=self._clock, retention=retention)
        messages = [message async for step in verification.messages() for message in step]
        return Report(str(verification.counts), messages, verification.faults)

    async def entries(self) -> Sequence[Entry]:
        """Return every entry of the log."""
        return await self.log.follow(after=0, limit=100_000)

    def _clock(self) -> int:
        return self.now * 1_000
