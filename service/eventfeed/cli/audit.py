"""`eventfeed audit`: who was shown what of every party, read from the store itself."""

import asyncio
import sys

import click
import msgspec

from eventfeed.cli.options import stored_here
from eventfeed.domain.approval import Audited, AuditRange
from eventfeed.domain.errors import Failure
from eventfeed.domain.moment import format_moment, parse_moment


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An entry as an operator reads it."""

    time: str
    organisation: str
    action: str
    types: tuple[str, ...] = ()
    log: str = ""
    first: int = 0
    last: int = 0
    events: int = 0
    subject: str = ""
    source: str = ""
    approved: str = ""
    valid_to: str = ""
    reason: str = ""
    trace: str = ""


@click.command()
@click.option("--org-number", "organisation", metavar="N", help="Of this organisation alone.")
@click.option("--from", "since", metavar="T", help="At this time or later (RFC 3339).")
@click.option("--to", "until", metavar="T", help="Before this time (RFC 3339).")
def audit(organisation: str | None, since: str | None, until: str | None) -> None:
    """Print the audit log, one entry a line: who read what for every party, and who was let to."""
    start, end = _moment(since, "--from"), _moment(until, "--to")
    wanted = AuditRange(since=start or 0, until=end, organisation=organisation)
    try:
        asyncio.run(_print(wanted))
    except (Failure, OSError) as failure:
        raise click.ClickException(str(failure)) from None


async def _print(wanted: AuditRange) -> None:
    # Not at the top: other commands start faster without a server.
    from eventfeed.app.application import Store  # noqa: PLC0415

    store = Store(stored_here())
    async with store.opened():
        async for entry in store.access.recorded(wanted):
            sys.stdout.buffer.write(msgspec.json.encode(_line(entry)) + b"\n")
    sys.stdout.flush()


def _line(entry: Audited) -> Line:
    return Line(
        time=format_moment(entry.time),
        organisation=entry.organisation,
        action=entry.action,
        types=tuple(entry.types),
        log=entry.log,
        first=entry.first,
        last=entry.last,
        events=entry.events,
        subject=entry.subject,
        source=entry.source,
        approved=entry.approved,
        valid_to=format_moment(entry.valid_to) if entry.valid_to else "",
        reason=entry.reason,
        trace=entry.trace,
    )


def _moment(text: str | None, option: str) -> int | None:
    moment = None if text is None else parse_moment(text)
    if text is not None and moment is None:
        raise click.UsageError(f"{option} {text}: must be a time with an offset, such as 2026-01-31T12:00:00Z.")
    return moment
