"""`eventfeed store backup`, `check` and `restore`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventfeed.cli.arguments import Command
from eventfeed.cli.confirmation import require_confirmation, yes_option
from eventfeed.cli.options import plain_failures, run_on_store, settings_here
from eventfeed.domain.errors import Failure
from eventfeed.domain.moment import format_moment
from eventfeed.settings import Settings

if TYPE_CHECKING:
    from eventfeed.app.store import Store

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")


@click.command(cls=Command)
@_file
def backup(file: Path) -> None:
    """Write a consistent copy of the log to a new file, also while the service runs."""
    from eventfeed.app.backup import back_up  # noqa: PLC0415  # as for serve

    here = _sqlite_settings()
    if not here.sqlite_path.exists():
        raise click.UsageError(f"There is no store at {here.sqlite_path}.")
    if file.exists():
        raise click.UsageError(f"{file} exists. Name a new file.")
    with plain_failures():
        back_up(here, file)
    click.echo(f"{file} is a copy of the log. Approvals, audit log and signing keys are not in it.")


@click.command(cls=Command)
def check() -> None:
    """Check that the log is complete: no gap, the recorded ends, and all that the engine derives from its entries."""
    from eventfeed.app.backup import FAULTS_MAX  # noqa: PLC0415  # as for serve

    async def find_faults(store: "Store") -> tuple[str, list[str]]:
        head = await store.log.head()
        faults = [each async for each in store.log.faults()]
        return f"The log {head.log} has {head.events_text}", faults

    state, faults = run_on_store(find_faults, reads_only=True)
    for fault in faults[:FAULTS_MAX]:
        click.echo(fault, err=True)
    if faults:
        raise click.ClickException(f"{state}, with {len(faults)} faults. Restore a backup.")
    click.echo(f"{state}, without a fault.")


@click.command(cls=Command)
@_file
@yes_option
def restore(file: Path, *, yes: bool) -> None:
    """Put a backup in the place of the log, with a new name. The service must be stopped."""
    from eventfeed.app import backup  # noqa: PLC0415  # as for serve

    here = _sqlite_settings()
    if not file.exists():
        raise click.UsageError(f"There is no file {file}.")
    if here.sqlite_path.exists() and file.samefile(here.sqlite_path):
        raise click.UsageError(f"{file} is the store itself. Name a backup.")
    with plain_failures(), backup.temporary_file(here) as new:
        backup.require_stopped(here)
        head = asyncio.run(backup.prepare_restore(file, new))
        time = f", registered at {format_moment(head.time)}" if head.end_offset else ""
        require_confirmation(
            f"This replaces {_describe(here)} by the backup, which ends at sequence {head.end_offset}{time}. "
            "Later events are then not in the log, every cursor given out so far is refused (410), and each consumer "
            "must start again.",
            yes=yes,
        )
        backup.require_stopped(here)
        kept = backup.restore(here, new)
    click.echo(f"The log now has the name {head.log} and ends at sequence {head.end_offset}.")
    if kept.exists():
        click.echo(f"The replaced file is kept as {kept}.")


def _sqlite_settings() -> Settings:
    here = settings_here()
    if here.cosmos is not None:
        raise click.UsageError(
            "This command is for a SQLite store. For Azure Cosmos DB see docs/deploy.md (az cosmosdb restore)."
        )
    return here


def _describe(settings: Settings) -> str:
    """Return the log to replace, by name and end if it can be read."""
    if not settings.sqlite_path.exists():
        return f"{settings.sqlite_path}, which does not exist,"

    async def read(store: "Store") -> str:
        head = await store.log.head()
        return f"the log {head.log}, which ends at sequence {head.end_offset},"

    try:
        return run_on_store(read, reads_only=True)
    except (Failure, click.ClickException) as failure:
        return f"{settings.sqlite_path} ({failure})"
