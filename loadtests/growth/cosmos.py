"""Ten processes on Azure Cosmos DB, on paper: the limit that a load meets first, by its rate and retention."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests.growth.log_files import run_command

PROCESSES = 10
RETENTIONS_DAYS = (7, 30, 90)
EVENTS_A_SECOND = (10, 100, 1_000)


def cosmos_table() -> Sequence[Sequence[str]]:
    """Return the rows of a table, the first one with the titles, from the price model of the service."""
    titles = ["retention (days)"]
    titles += [f"RU/s, dollars a month at {events:,} events a second" for events in EVENTS_A_SECOND]
    return [[*titles, "first limit", "met at (events a second)"], *map(_row, RETENTIONS_DAYS)]


def _row(days: int) -> Sequence[str]:
    prices = list(_prices(days))
    cells = [f"{price['request_units_a_second']:,.0f}, {price['dollars_a_month']:,.0f}" for price in prices]
    limit, events = prices[-1]["first_limit"], prices[-1]["first_limit_events_a_second"]
    return [f"{days}", *cells, str(limit), f"{events:,.0f}"]


def _prices(days: int) -> Iterator[dict[str, float]]:
    """Yield the price of each rate."""
    rates = [part for events in EVENTS_A_SECOND for part in ("--events-a-second", f"{events}")]
    options = ("--processes", f"{PROCESSES}", "--retention-days", f"{days}", "--json")
    output = run_command("store", "cost", *rates, *options, folder=Path.cwd())
    yield from map(json.loads, output.splitlines())
