"""`eventfeed store`: maintenance of the store. A command that destroys or ends something needs a confirmation."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import click

from eventfeed.cli.arguments import Group
from eventfeed.cli.backup import backup, check, restore
from eventfeed.cli.confirmation import require_confirmation, yes_option
from eventfeed.cli.copy import copy
from eventfeed.cli.cost import cost
from eventfeed.cli.measure import measure
from eventfeed.cli.options import moment, plain_failures, run_on_store, settings_here
from eventfeed.cli.terminal import count_of_events
from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.moment import format_moment

if TYPE_CHECKING:
    from eventfeed.app.store import Store
    from eventfeed.domain.ports import EventLog


@click.group(cls=Group)
def store() -> None:
    """Maintain the store."""


@store.command()
@click.option(
    "--segment-entries",
    type=click.IntRange(1),
    metavar="N",
    help="Entries in each partition of Cosmos DB; cannot be changed later. For tests.",
)
def create(segment_entries: int | None) -> None:
    """Create an empty log in a SQLite file, or in a Cosmos DB emulator. In Azure, `infra/` creates the store."""
    from eventfeed.app.store import Store  # noqa: PLC0415  # as for serve
    from eventfeed.telemetry.telemetry import Telemetry  # noqa: PLC0415  # as for serve

    here = settings_here()
    if here.cosmos is not None and not here.cosmos.emulator:
        raise click.UsageError(
            "This command is for a SQLite file or an emulator: EVENTFEED_STORE=cosmos://127.0.0.1:8081/name."
        )
    with plain_failures():
        asyncio.run(Store(here, Telemetry(), segment_entries=segment_entries).create())
    click.echo(f"{here.cosmos.database if here.cosmos else here.sqlite_path} exists")


@store.command(name="new-log")
@yes_option
def new_log(*, yes: bool) -> None:
    """Give the log a new name, after a restore. The service then refuses all older cursors."""

    async def rename(store: "Store") -> str:
        require_confirmation(await _end_of_log(store.log), yes=yes)
        return await store.log.rename()

    name = run_on_store(rename)
    click.echo(f"The log now has the name {name}. Cursors that begin with another name are refused.")


async def _end_of_log(log: "EventLog") -> str:
    """Say what a new name ends."""
    try:
        head = await log.head()
    except LogDamaged as failure:
        name = f"this log ({failure})"
    else:
        name = f"the log {head.log}, which ends at sequence {head.end_offset}"
    return (
        f"This ends {name}. The events stay, but every cursor given out so far is refused (410), "
        "and each consumer must start again."
    )


class Trim(NamedTuple):
    """Entries to delete: the number, the last position, and the registration times of the first and the last."""

    events: int
    last: int
    first_time: int
    last_time: int


@store.command()
@click.option("--before", metavar="T", type=moment, required=True, help="The time (RFC 3339).")
@yes_option
def trim(before: int, *, yes: bool) -> None:
    """Delete all events registered before a time, but never the newest event."""

    async def delete(store: "Store") -> str:
        plan = await _plan_trim(store.log, before=before)
        if plan is None:
            return f"No event was deleted: none before {format_moment(before)}, or only the newest, which always stays."
        require_confirmation(
            f"This deletes {count_of_events(plan.events)}, registered from {format_moment(plan.first_time)} to "
            f"{format_moment(plan.last_time)}. Cursors before sequence {plan.last} are refused from then on (410).",
            yes=yes,
        )
        # The entries of the plan, even if more have become old during the question.
        log_start = -1
        while (new_start := await store.log.expire(before=plan.last_time + 1)) != log_start:
            log_start = new_start
        return f"Deleted {count_of_events(plan.events)}. The oldest event has sequence {log_start + 1}."

    click.echo(run_on_store(delete))


async def _plan_trim(log: "EventLog", *, before: int) -> Trim | None:
    """Return the entries that an expiry deletes, None if there are none."""
    head = await log.head()
    last = min(await log.seek(before), head.end_offset - 1)
    if last <= head.log_start:
        return None
    # A store that deletes by age may have deleted them already.
    (first_entry,) = await log.follow(after=head.log_start, limit=1)
    if first_entry.sequence > last:
        return None
    (last_entry,) = await log.follow(after=last - 1, limit=1)
    return Trim(last - first_entry.sequence + 1, last, first_entry.time, last_entry.time)


for command in (backup, check, copy, cost, measure, restore):
    store.add_command(command)
