"""Access of an import to store, register and table."""

import contextlib
from collections.abc import AsyncIterator
from typing import IO, NamedTuple

from eventfeed.app.backup import require_ready_for_import
from eventfeed.app.identity import Identity
from eventfeed.app.migration.csv_table import CsvTable
from eventfeed.app.migration.importing import Import, Retention
from eventfeed.app.migration.rows import Table
from eventfeed.app.migration.verification import Verification
from eventfeed.app.store import Store
from eventfeed.domain.moment import DAY
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry


class Migration(NamedTuple):
    """An import of a table, and the comparison after it."""

    importing: Import
    verification: Verification


@contextlib.asynccontextmanager
async def open_migration(settings: Settings, table: Table, *, skip_expired: bool) -> AsyncIterator[Migration]:
    """Open the store of the settings for an import; create one if there is none. No service may run on SQLite."""
    require_ready_for_import(settings)
    telemetry = Telemetry()
    store = Store(settings, telemetry, for_import=True)
    retention = Retention(keep=int(settings.retention_days * DAY), skip_expired=skip_expired)
    identity = Identity(settings, telemetry, clock=store.clock)
    async with store.open(create=True), identity.client:
        parties = identity.access().parties
        importing = Import(store.log, table, parties=parties, clock=store.clock, retention=retention)
        yield Migration(importing, Verification(store.log, table, clock=store.clock, retention=retention))


@contextlib.asynccontextmanager
async def open_table(source: str | IO[bytes], *, name: str) -> AsyncIterator[Table]:
    """Open the table of a PostgreSQL URL, or of the content of a CSV file. Raises `TableError`."""
    if isinstance(source, str):
        # Not at the top: its driver comes with an extra.
        from eventfeed.app.migration.postgres_table import PostgresTable  # noqa: PLC0415

        async with PostgresTable.connect(source, table=name) as table:
            yield table
    else:
        yield CsvTable(source)
