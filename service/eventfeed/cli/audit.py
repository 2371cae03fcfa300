"""`eventfeed audit`: the audit log, read from the store itself."""

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from eventfeed.cli.arguments import Command
from eventfeed.cli.options import moment, run_on_store
from eventfeed.cli.terminal import escape_controls
from eventfeed.domain.approval import AuditRange
from eventfeed.domain.moment import format_moment

if TYPE_CHECKING:
    from eventfeed.app.store import Store


@click.command(cls=Command)
@click.option("--org-number", "organisation", metavar="N", help="Only entries of this organisation.")
@click.option("--from", "since", metavar="T", type=moment, help="Only entries at this time or later (RFC 3339).")
@click.option("--to", "until", metavar="T", type=moment, help="Only entries before this time (RFC 3339).")
def audit(organisation: str | None, since: int | None, until: int | None) -> None:
    """Print the audit log, one entry a line: pages that were read, and each decision on an approval."""
    selection = AuditRange(since=since or 0, until=until, organisation=organisation)

    async def print_entries(store: "Store") -> None:
        if not store.has_records:
            return
        async for entry in store.records.entries(selection):
            members: dict[str, object] = {**msgspec.to_builtins(entry), "time": format_moment(entry.time)}
            if "valid_to" in members:
                members["valid_to"] = format_moment(entry.valid_to)
            names = {"valid_to": "validTo"}
            line = msgspec.json.encode({names.get(name, name): value for name, value in members.items()}).decode()
            click.echo(escape_controls(line) if sys.stdout.isatty() else line)

    run_on_store(print_entries, reads_only=True)
