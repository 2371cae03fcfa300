"""`eventfeed store cost`: the price of a log in Azure Cosmos DB, as a table or as JSON."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypedDict, Unpack

import click

from eventfeed.app.cost import azure, sizes, workload
from eventfeed.app.cost.limits import EVENTS_A_SECOND_MAX, EVENTS_A_SECOND_MIN, Limit, first_limit
from eventfeed.app.cost.model import Estimate, Load, estimate, linger_of
from eventfeed.app.cost.rules import Curve, Rule, Surface
from eventfeed.cli.arguments import Command
from eventfeed.domain.cloudevents import STORED_BYTES_MAX

# The store counts the age of documents in seconds, as a number of 31 bits.
DAYS_MAX = (2**31 - 1) // 86_400
PROCESSES_MAX = 100


def number(lowest: float, highest: float) -> Callable[[str | float], float]:
    """Return a type of click for numbers from `lowest` to `highest`."""

    def convert(text: str | float) -> float:
        try:
            value = float(text)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a number.") from None
        if not lowest <= value <= highest:  # also "nan"
            raise click.BadParameter(f"{text} is not from {lowest:,g} to {highest:,g}.")
        return value

    return convert


class LoadOptions(TypedDict):
    """The options that describe a load, except for its events a second."""

    event_bytes: float
    retention_days: float
    processes: int
    partitions: int | None


class Price(NamedTuple):
    """The price of a load, and the limit that it meets first."""

    estimate: Estimate
    limit: Limit


@click.command(cls=Command)
@click.option(
    "--events-a-second",
    type=number(EVENTS_A_SECOND_MIN, EVENTS_A_SECOND_MAX),
    metavar="N",
    required=True,
    multiple=True,
    help="Events a second in the busiest second of an hour. Several times: a column each.",
)
@click.option(
    "--bytes",
    "event_bytes",
    type=number(1, STORED_BYTES_MAX),
    metavar="N",
    default=500,
    show_default=True,
    help="Average bytes of an event, as consumers receive it.",
)
@click.option(
    "--retention-days",
    type=number(1 / 24, DAYS_MAX),
    metavar="N",
    default=90,
    show_default=True,
    help="The retention.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    metavar="N",
    default=2,
    show_default=True,
    help="Serving processes.",
)
@click.option(
    "--partitions",
    type=click.IntRange(1),
    metavar="N",
    help="Physical partitions of the commits, if an account shows it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@click.option("--explain", is_flag=True, help="Print each row's computation, and each rule with its source.")
def cost(events_a_second: Sequence[float], *, as_json: bool, explain: bool, **load: Unpack[LoadOptions]) -> None:
    """Estimate request units, storage and money of a log in Azure Cosmos DB. Nothing is contacted."""
    loads = [Load(each, **load) for each in events_a_second]
    prices = [Price(estimate(each), first_limit(each)) for each in loads]
    if as_json:
        for price in prices:
            click.echo(json.dumps(_as_json(price)))
        return
    click.echo("\n".join(_table(prices)))
    if explain:
        click.echo("\n".join(("", *_explanation())))


def _as_json(price: Price) -> Mapping[str, object]:
    value, limit = price
    return {
        **value.load._asdict(),
        "commits_a_second": round(value.commits.a_second, 2),
        "events_a_commit": round(value.commits.events, 2),
        "storage_gb": round(value.storage_gb, 1),
        "partitions": value.log.partitions,
        "request_units_a_second": round(sum(value.request_units.values()), 1),
        "request_units": {verb: round(units, 1) for verb, units in value.request_units.items()},
        "throughput_max": value.log.throughput_max,
        "dollars_a_month": round(sum(value.dollars.values()), 2),
        "dollars": {part: round(dollars, 2) for part, dollars in value.dollars.items()},
        "first_limit": limit.name,
        "first_limit_events_a_second": limit.events_a_second,
    }


class Row(NamedTuple):
    """A row of the table: its title, its figure, and its computation in words."""

    title: str
    figure: Callable[[Price], float | str]
    computation: str


def _verb(verb: str, computation: str) -> Row:
    return Row(f"{verb} (RU/s)", lambda price: price.estimate.request_units[verb], computation)


def _part(part: str, computation: str) -> Row:
    return Row(f"{part} (dollars)", lambda price: price.estimate.dollars[part], computation)


_PAID = "each partition's use or its smallest bill, x price of 100 RU/s x hours x autoscale x zones"
_ROWS = (
    Row(
        "linger time (ms)",
        lambda price: 1_000 * linger_of(price.estimate.load),
        "query x physical partitions x time for each request unit, at most the longest linger time",
    ),
    Row(
        "commits a second",
        lambda price: price.estimate.commits.a_second,
        "processes x commits of a process, and all of them one after another",
    ),
    Row("events a commit", lambda price: price.estimate.commits.events, "events a second / commits a second"),
    Row(
        "attempts a commit",
        lambda price: price.estimate.commits.attempts,
        "1 + commits of the other processes in the time of a commit (each repeats lookup and write)",
    ),
    Row(
        "bytes of a commit",
        lambda price: price.estimate.commits.document_bytes,
        "bytes without events + events x (event x share + other columns) + index terms",
    ),
    Row(
        "index terms of a commit",
        lambda price: price.estimate.commits.index_terms,
        "terms of an event x events + terms of a kind x kinds + terms of a commit",
    ),
    Row(
        "storage (GB)",
        lambda price: price.estimate.storage_gb,
        "commits x (document + index, as many bytes as its terms) and owners, for their time to live",
    ),
    Row(
        "physical partitions",
        lambda price: price.estimate.log.partitions,
        "the fewest that hold the commits of the linger time that so many have, or --partitions",
    ),
    _verb("append", "commits x attempts x (write of the document + index terms); partition of the newest segment"),
    _verb("find", "commits x attempts x physical partitions x query"),
    _verb("owners", "new instances x write + queries for instances new to a process x partitions of owners x query"),
    _verb("head", "processes x reads of the end x query; partition of the newest segment"),
    _verb("seek", "processes x reads of the log start x 3 queries; counted for the newest segment, an upper bound"),
    _verb("follow", "processes x (queries + reads of the other processes' commits); partition of the newest segment"),
    _verb("page", "events x reads from the store / 50 x (query + reads of the commits)"),
    _verb("records", "processes / time between two reads of the manifest x query"),
    Row(
        "start of a process (RU, once)",
        lambda price: price.estimate.start_units,
        "newest events / events a commit x read of a commit",
    ),
    Row(
        "newest partition (RU/s)",
        lambda price: price.estimate.log.busiest_units,
        "append, head, seek, follow, and one part of find and page",
    ),
    Row(
        "autoscale maximum of commits (RU/s)",
        lambda price: price.estimate.log.throughput_max,
        "newest partition x physical partitions, at least the minimum by storage, in whole steps",
    ),
    _part("throughput of commits", _PAID),
    _part("throughput of owners", _PAID),
    _part("throughput of records", _PAID),
    _part("storage", "GB x price of a GB"),
    _part("backup of 7 days", "GB x price of its backup"),
    Row("**dollars a month**", lambda price: sum(price.estimate.dollars.values()), "the sum"),
    Row("first limit", lambda price: price.limit.name, "the limit that is met first if only the events a second grow"),
    Row("met at (events a second)", lambda price: price.limit.events_a_second, "the same load with more events"),
)


def _table(prices: Sequence[Price]) -> Sequence[str]:
    """Return a Markdown table with a column for each price."""
    heads = [f"{price.estimate.load.events_a_second:,g} events a second" for price in prices]
    rows = [["", *heads], *([row.title, *(_text(row.figure(price)) for price in prices)] for row in _ROWS)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _text(figure: float | str) -> str:
    if isinstance(figure, str):
        return figure
    return f"{figure:,.1f}" if figure < 100 and figure != int(figure) else f"{figure:,.0f}"


def _explanation() -> Sequence[str]:
    """Return a line for each row of the table and for each rule."""
    rules = itertools.chain.from_iterable(vars(module).values() for module in (azure, sizes, workload))
    return [
        "How each row is computed:",
        *(f"- {row.title}: {row.computation}" for row in _ROWS),
        "",
        "The rules, each with its source:",
        *(
            f"- {rule.name}: {rule.figure} [{rule.source}]"
            for rule in rules
            if isinstance(rule, Rule | Curve | Surface)
        ),
    ]
