"""The commands of `eventfeed`."""

import sys

import click
import msgspec
from rich.console import Console
from rich.table import Table

from eventfeed.cli.arguments import Group
from eventfeed.cli.audit import audit
from eventfeed.cli.compare import compare
from eventfeed.cli.completion import completion
from eventfeed.cli.migrate import migrate
from eventfeed.cli.options import plain_failures, settings_here
from eventfeed.cli.publish import publish
from eventfeed.cli.read import read
from eventfeed.cli.scenarios import scenarios
from eventfeed.cli.store import store
from eventfeed.cli.token import token
from eventfeed.settings import PREFIX, SECRETS, describe_settings

# If the output is no terminal: wide enough for each meaning to fit on one line.
PLAIN_COLUMNS = 240


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="eventfeed")
def main() -> None:
    """Publish CloudEvents, and follow them in one strictly increasing sequence."""


@main.command()
@click.option("--host", metavar="H", help="The address to listen on.")
@click.option("--port", metavar="P", type=click.IntRange(1, 65535), help="The port to listen on.")
@click.option("--sample", is_flag=True, help="Fill an empty development log with generated events.")
@click.option("--observe", is_flag=True, help="Show traces and charts on a page.")
def serve(host: str | None, port: int | None, *, sample: bool, observe: bool) -> None:
    """Run the service."""
    # Not at the top: the other commands start faster without a server, and do not need one.
    from eventfeed.cli.serve import serve as run  # noqa: PLC0415

    with plain_failures():
        run(settings_here(host=host, port=port), sample=sample, observe=observe)


@main.command()
def settings() -> None:
    """List every setting: name, value, default, unit, meaning."""
    here = settings_here()
    table = Table("name", "value", "default", "unit", "meaning", box=None, padding=(0, 2, 0, 0))
    for each in describe_settings():
        value = getattr(here, each.name)
        text = "(set)" if each.name in SECRETS and value else str(value)
        table.add_row(PREFIX + each.name.upper(), text, str(each.default), each.unit, each.meaning)
    Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS, highlight=False, markup=False).print(table)


@main.command()
@click.option("--host", metavar="H", help="The address to listen on.")
@click.option("--port", metavar="P", type=click.IntRange(1, 65535), help="The port to listen on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def doctor(host: str | None, port: int | None, *, as_json: bool) -> None:
    """Check settings, store, clock, disk, keys, port and limits, and say how to mend what is wrong."""
    from eventfeed.cli.doctor import findings  # noqa: PLC0415  # as for serve

    has_fault = False
    for finding in findings(host=host, port=port):
        has_fault = has_fault or bool(finding.remedy)
        if as_json:
            click.echo(msgspec.json.encode({"ok": not finding.remedy, **finding._asdict()}))
        else:
            mark = "wrong" if finding.remedy else "ok"
            click.echo(f"{mark:<6}{finding.subject:<10}{' '.join(filter(None, finding[1:]))}")
    if has_fault:
        raise SystemExit(1)


for command in (audit, compare, completion, migrate, publish, read, scenarios, store, token):
    main.add_command(command)
