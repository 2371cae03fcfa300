"""`eventfeed migrate`: the events of the replaced platform, from its table, into an empty log."""

import asyncio
import sys
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from eventfeed.cli.arguments import Command
from eventfeed.cli.input_file import open_content
from eventfeed.cli.options import plain_failures, settings_here
from eventfeed.cli.progress import plain_interrupt, print_time, show_progress
from eventfeed.cli.terminal import escape_controls

if TYPE_CHECKING:
    from eventfeed.app.migration.importing import Import
    from eventfeed.app.migration.verification import Verification

DEFAULT_TABLE = "events.events"
POSTGRES_SCHEMES = ("postgresql://", "postgres://")


@click.command(cls=Command)
@click.argument("source")
@click.option(
    "--table",
    metavar="SCHEMA.NAME",
    help="The table in PostgreSQL. Default: events.events. The header of a file names its table.",
)
@click.option("--skip-expired", is_flag=True, help="Leave out rows that are older than the retention.")
def migrate(source: str, table: str | None, *, skip_expired: bool) -> None:
    """Import the events of the replaced platform from SOURCE into the store, and compare them.

    SOURCE is a CSV file with a header, also gzipped, - for standard input, or a postgresql:// URL. The log must be
    empty, or have imports alone.
    """
    with plain_interrupt("Run the same command again: it goes on after the last row in the log."), plain_failures():
        verification = asyncio.run(_migrate(source, table, skip_expired=skip_expired))
    counts = verification.counts
    click.echo(counts)
    if counts.future_rows:
        click.echo(
            f"{counts.future_rows} rows had a registration in the future when they were imported; the log has that of "
            "the row before."
        )
    if verification.faults:
        raise click.ClickException(f"The log differs from the table in {verification.faults} places.")
    if counts.refusals:
        sys.exit(1)


async def _migrate(source: str, table: str | None, *, skip_expired: bool) -> "Verification":
    """Import and verify. Turn refusals of the table and of the log into one message (exit code 1)."""
    # Not at the top: other commands start faster without the service, and do not need it.
    from eventfeed.app.bulk_append import BulkAppendError  # noqa: PLC0415
    from eventfeed.app.migration.rows import START, TableError  # noqa: PLC0415
    from eventfeed.app.migration.running import open_migration, open_table  # noqa: PLC0415

    try:
        async with AsyncExitStack() as stack:
            content = source if source.startswith(POSTGRES_SCHEMES) else stack.enter_context(_open_file(source))
            rows = await stack.enter_async_context(open_table(content, name=table or DEFAULT_TABLE))
            if table and not isinstance(content, str):
                _require_columns_of(table, rows.name, source=source)
            migration = await stack.enter_async_context(
                open_migration(settings_here(), rows, skip_expired=skip_expired)
            )
            with print_time("Imported"):
                await _import(migration.importing)
            with print_time("Compared with the table"):
                await _verify(migration.verification, rows=await rows.count(after=START))
            return migration.verification
    except (TableError, BulkAppendError) as failure:
        raise click.ClickException(str(failure)) from None


def _require_columns_of(table: str, actual: str, *, source: str) -> None:
    """Refuse a file with the columns of another table than that of the option."""
    if table.rpartition(".")[2] != actual:
        raise click.UsageError(f"{source} has the columns of events.{actual}, not of {table}: leave out --table.")


def _open_file(name: str) -> IO[bytes]:
    if name != "-" and not Path(name).is_file():
        raise click.UsageError(f"{name} is no file and no postgresql:// URL.")
    return open_content(name)


async def _import(importing: "Import") -> None:
    with show_progress("importing", total=await importing.start()) as progress:
        async with aclosing(importing.steps()) as steps:
            async for step in steps:
                progress.advance(progress.task_ids[0], step.rows)


async def _verify(verification: "Verification", *, rows: int) -> None:
    """Print each row that was not imported, and each difference."""
    with show_progress("verifying", total=rows) as progress:
        async with aclosing(verification.messages()) as steps:
            async for messages in steps:
                progress.update(progress.task_ids[0], completed=verification.counts.rows)
                for message in messages:
                    line = escape_controls(message)
                    progress.console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
