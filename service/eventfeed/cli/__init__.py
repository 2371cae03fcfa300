"""The command line: `eventfeed`."""

import asyncio
import sys

import click
from rich.console import Console
from rich.table import Table

from eventfeed.cli.audit import audit
from eventfeed.cli.options import settings_here, stored_here
from eventfeed.cli.publish import publish
from eventfeed.cli.read import read
from eventfeed.cli.scenarios import scenarios
from eventfeed.cli.token import token
from eventfeed.domain.errors import Failure
from eventfeed.settings import PREFIX, SECRETS, SettingsError, described

# Wide enough that a meaning is one line when nobody looks at a terminal.
PLAIN_COLUMNS = 240


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="eventfeed")
def main() -> None:
    """eventfeed: publish CloudEvents, follow them in one strictly increasing sequence."""


@main.command()
@click.option("--host", metavar="H", help="The address to listen on.")
@click.option("--port", metavar="P", type=click.IntRange(1, 65535), help="The port to listen on.")
@click.option("--sample", is_flag=True, help="Fill an empty development log with generated cases.")
@click.option("--observe", is_flag=True, help="Show traces and charts of it on a page beside it.")
def serve(host: str | None, port: int | None, *, sample: bool, observe: bool) -> None:
    """Run the service."""
    # Not at the top: the other commands start in a fraction of the time without a server.
    from eventfeed.cli.serve import serve as run  # noqa: PLC0415

    try:
        run(settings_here(host=host, port=port), sample=sample, observe=observe)
    except SettingsError as fault:
        raise click.UsageError(str(fault)) from None
    except (Failure, OSError) as failure:
        raise click.ClickException(str(failure)) from None


@main.command()
def settings() -> None:
    """List every setting: name, value, default, unit, meaning."""
    here = settings_here()
    table = Table("name", "value", "default", "unit", "meaning", box=None, padding=(0, 2, 0, 0))
    for each in described():
        value = getattr(here, each.name)
        shown = "(set)" if each.name in SECRETS and value else str(value)
        table.add_row(PREFIX + each.name.upper(), shown, str(each.default), each.unit, each.meaning)
    Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS, highlight=False).print(table)


@main.group()
def store() -> None:
    """Look after the store."""


@store.command()
@click.option(
    "--segment-entries", type=click.IntRange(1), metavar="N", help="Entries a partition, for good; for tests."
)
def create(segment_entries: int | None) -> None:
    """Make a store in a Cosmos DB emulator. In Azure `infra/` makes what a log needs."""
    from eventfeed.app.application import Store  # noqa: PLC0415  # as for serve

    here = settings_here()
    if here.cosmos is None or not here.cosmos.emulator:
        raise click.UsageError("This is for an emulator on this machine: EVENTFEED_STORE=cosmos://127.0.0.1:8081/name.")
    try:
        asyncio.run(Store(here, segment_entries=segment_entries).create())
    except (Failure, OSError) as failure:
        raise click.ClickException(str(failure)) from None
    click.echo(f"{here.cosmos.database} is there")


@store.command(name="new-log")
def new_log() -> None:
    """Give the log a new name, after a restore: cursors given out before are refused, not misread."""
    from eventfeed.app.application import Store  # noqa: PLC0415  # as for serve

    async def rename() -> str:
        stored = Store(stored_here())
        async with stored.opened():
            return await stored.log.rename()

    try:
        click.echo(asyncio.run(rename()))
    except (Failure, OSError) as failure:
        raise click.ClickException(str(failure)) from None


for command in (audit, publish, read, scenarios, token):
    main.add_command(command)
