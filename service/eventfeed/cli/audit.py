"""`eventfeed audit`: the audit log of the reportees feed, read from the store itself."""

from typing import TYPE_CHECKING

import click
import msgspec

from eventfeed.cli.options import run_on_store
from eventfeed.domain.approval import AuditRange
from eventfeed.domain.moment import format_moment, parse_moment

if TYPE_CHECKING:
    from eventfeed.app.store import Store


@click.command()
@click.option("--org-number", "organisation", metavar="N", help="Only entries of this organisation.")
@click.option("--from", "since", metavar="T", help="Only entries at this time or later (RFC 3339).")
@click.option("--to", "until", metavar="T", help="Only entries before this time (RFC 3339).")
def audit(organisation: str | None, since: str | None, until: str | None) -> None:
    """Print the audit log, one entry a line: each page of the reportees feed, and each decision on an approval."""
    start, end = _moment(since, "--from"), _moment(until, "--to")
    selection = AuditRange(since=start or 0, until=end, organisation=organisation)

    async def print_entries(store: "Store") -> None:
        async for entry in store.records.entries(selection):
            members: dict[str, object] = {**msgspec.to_builtins(entry), "time": format_moment(entry.time)}
            if "valid_to" in members:
                members["valid_to"] = format_moment(entry.valid_to)
            names = {"valid_to": "validTo"}
            click.echo(msgspec.json.encode({names.get(name, name): value for name, value in members.items()}))

    run_on_store(print_entries)


def _moment(text: str | None, option: str) -> int | None:
    moment = None if text is None else parse_moment(text)
    if text is not None and moment is None:
        raise click.UsageError(f"{option} {text}: must be a time with an offset, such as 2026-01-31T12:00:00Z.")
    return moment
