"""`eventfeed store copy`: a store, its log with every position, into another one of any engine."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from eventfeed.cli.arguments import Command
from eventfeed.cli.options import plain_failures
from eventfeed.cli.progress import plain_interrupt, print_time, show_progress
from eventfeed.cli.terminal import count_of_events
from eventfeed.settings import Settings, SettingsError, from_environment

if TYPE_CHECKING:
    from eventfeed.app.copying.log_copy import LogCopy
    from eventfeed.app.copying.records_copy import RecordCounts


def store_settings(address: str) -> Settings:
    """Return the settings of the environment with the store of an argument, as a type of click."""
    try:
        # The key is that of an emulator.
        return from_environment(store=address, cosmos_key=None if address.startswith("cosmos:") else "")
    except SettingsError as fault:
        raise click.BadParameter(str(fault)) from None


@click.command(cls=Command)
@click.argument("source", type=store_settings)
@click.argument("target", type=store_settings)
def copy(source: Settings, target: Settings) -> None:
    """Copy the store SOURCE to TARGET, and compare them: events, positions, name of the log, approvals and audit log.

    Both are written as EVENTFEED_STORE: sqlite:///path or cosmos://account-host/database. SOURCE is not changed, and
    its service may run. TARGET must be new, or an earlier copy, and no service may use it.
    """
    with plain_interrupt("Run the same command again: it goes on after the last event in TARGET."), plain_failures():
        asyncio.run(_copy(source, target))


async def _copy(source: Settings, target: Settings) -> None:
    # Not at the top: other commands start faster without the service, and do not need it.
    from eventfeed.app.bulk_append import BulkAppendError  # noqa: PLC0415
    from eventfeed.app.copying.running import open_copy  # noqa: PLC0415

    try:
        async with open_copy(source, target) as stores:
            await _copy_log(stores.log)
            _print_records(await stores.copy_records())
    except BulkAppendError as failure:
        raise click.ClickException(str(failure)) from None


async def _copy_log(log: "LogCopy") -> None:
    missing = await log.start()
    if missing:
        with print_time(f"Copied {count_of_events(missing)}"):
            await _advance("copying", log.steps(), total=missing)
    else:
        await _advance("copying", log.steps(), total=missing)
        click.echo("TARGET has every event of SOURCE.")
    with print_time("Compared"):
        await _advance("comparing", log.comparison(), total=log.head.end_offset - log.head.log_start)
    click.echo(f"Both stores have {log.head.events_text} of the log {log.head.log}: SHA-256 {log.digest}")


async def _advance(name: str, steps: AsyncGenerator[int, None], *, total: int) -> None:
    """Show the progress of steps, each the number of its entries."""
    with show_progress(name, total=total) as progress:
        async with aclosing(steps):
            async for entries in steps:
                progress.advance(progress.task_ids[0], entries)


def _print_records(counts: "RecordCounts | None") -> None:
    if counts is None:
        click.echo("SOURCE has no file with approvals and the audit log.")
    else:
        click.echo(f"Approvals of {counts.organisations} organisations, audit log of {counts.entries} entries")
