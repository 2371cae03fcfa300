"""`eventfeed store measure`: the request units of each verb on an account, beside those of the price model."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from eventfeed.cli.arguments import Command
from eventfeed.cli.confirmation import require_confirmation
from eventfeed.cli.options import run_on_store, settings_here

if TYPE_CHECKING:
    from eventfeed.app.measure import Measurement
    from eventfeed.app.store import Store

_EMULATOR = "This is an emulator. The request units that it charges mean nothing."
_COLUMNS = ("action", "verb", "requests", "documents", "KB", "request units", "model", "indexes", "missing indexes")


@click.command(cls=Command)
@click.option("--appends", is_flag=True, help="Also append 521 events that no feed shows. It needs a confirmation.")
@click.option("--yes", is_flag=True, help="Append without a question.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def measure(*, appends: bool, yes: bool, as_json: bool) -> None:
    """Measure the request units of each verb on a log in Cosmos DB, beside those of the price model."""
    settings = settings_here()
    if settings.cosmos is None:
        raise click.UsageError(
            "This command measures a log in Cosmos DB: set EVENTFEED_STORE=cosmos://{account-host}/{database}."
        )
    if settings.cosmos.emulator:
        click.echo(_EMULATOR, err=True)
    if appends:
        require_confirmation(
            "This appends 521 events without app, party, resource or instance to the log. They are in no feed, take "
            "positions of the log, and expire like the others.",
            yes=yes,
        )

    async def run(store: "Store") -> tuple[Sequence["Measurement"], Mapping[str, int]]:
        from eventfeed.app.measure import Meter  # noqa: PLC0415  # as for serve

        if store.database is None:
            raise click.UsageError("The store is not in Cosmos DB.")
        meter = Meter(store.database, store.log)
        measurements = [*await meter.reads(), *(await meter.appends() if appends else ())]
        return measurements, await meter.partitions()

    measurements, partitions = run_on_store(run)
    if as_json:
        for each in measurements:
            click.echo(json.dumps({**each._asdict(), "emulator": settings.cosmos.emulator, "partitions": partitions}))
        return
    click.echo("\n".join(_table(measurements)))
    click.echo("".join(f"\nPhysical partitions of {name}: {count}" for name, count in partitions.items()))


def _table(measurements: Sequence["Measurement"]) -> Sequence[str]:
    rows = [_COLUMNS, *(_cells(each) for each in measurements)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(measurement: "Measurement") -> Sequence[str]:
    return (
        measurement.action,
        measurement.verb,
        str(measurement.requests),
        str(measurement.documents),
        f"{measurement.bytes / 1024:,.1f}",
        f"{measurement.request_units:,.2f}",
        f"{measurement.model_units:,.2f}",
        " ".join(measurement.indexes) or "-",
        " ".join(measurement.missing_indexes) or "-",
    )
