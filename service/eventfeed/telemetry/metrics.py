"""All metrics of the service. No id, party, person, cursor or token is ever an attribute."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

HISTOGRAM, COUNTER, UP_DOWN_COUNTER, GAUGE = "histogram", "counter", "up-down counter", "gauge"

# The unit of a histogram, and the upper bounds of its buckets.
_SECONDS = ("s", (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0))
_AGES = ("s", (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0, 604_800.0))
_COUNTS = ("{event}", (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000))
_DISTANCES = ("{event}", (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000))


class Metric(NamedTuple):
    """A metric: its unit (UCUM), the names of its attributes, and of a histogram the upper bounds of its buckets."""

    name: str
    kind: str
    unit: str
    description: str
    attributes: Sequence[str] = ()
    bounds: Sequence[float] = ()


def _counter(name: str, description: str, *attributes: str, unit: str) -> Metric:
    return Metric(name, COUNTER, unit, description, attributes)


def _histogram(name: str, description: str, *attributes: str, scale: tuple[str, Sequence[float]] = _SECONDS) -> Metric:
    unit, bounds = scale
    return Metric(name, HISTOGRAM, unit, description, attributes, bounds)


_ALL = (
    _histogram(
        "http.server.request.duration",
        "Duration of a request, until its response was sent; of a stream, until it ended.",
        "http.request.method",
        "http.route",
        "http.response.status_code",
    ),
    _counter("eventfeed.events.published", "Events that were published for the first time.", "org", unit="{event}"),
    _counter("eventfeed.events.duplicates", "Events that were in the log already.", "org", unit="{event}"),
    _counter(
        "eventfeed.events.refused",
        "Publishing requests that were refused, by the problem's code.",
        "reason",
        unit="{request}",
    ),
    _histogram("eventfeed.append.batch.size", "New events of one durable write.", "engine", scale=_COUNTS),
    _histogram("eventfeed.append.batch.wait", "Time that a publish waited before its write began.", "engine"),
    _histogram(
        "eventfeed.append.duration",
        "Duration of a write, including the lookup of duplicates and all attempts.",
        "engine",
    ),
    _counter(
        "eventfeed.append.failed",
        "Batches that failed, by what is known of their events: `not_done`, `unknown`, or `unusable` (the store takes "
        "none).",
        "engine",
        "outcome",
        unit="{batch}",
    ),
    _counter(
        "eventfeed.append.races.lost",
        "Writes that lost a race, or had an unknown outcome, and were planned again.",
        "engine",
        unit="{race}",
    ),
    _histogram("eventfeed.page.events", "Events of a page.", "feed", scale=_COUNTS),
    _histogram(
        "eventfeed.page.examined",
        "Positions that a page moved the cursor: the entries examined, returned or not.",
        "feed",
        scale=_DISTANCES,
    ),
    _histogram("eventfeed.page.duration", "Duration of finding a page, including its decisions.", "feed"),
    _counter(
        "eventfeed.polls.caught_up",
        "Responses without new events: `304`, `empty`, `wait` (a long poll that ended), `stream` (a heartbeat).",
        "feed",
        "kind",
        unit="{poll}",
    ),
    _histogram(
        "eventfeed.consumer.lag",
        "Positions between the cursor of a page and the end of the log, over all feeds.",
        "feed",
        scale=_DISTANCES,
    ),
    _histogram(
        "eventfeed.age_at_read",
        "Time from the registration of the newest event of a page to its read.",
        "feed",
        scale=_AGES,
    ),
    Metric(
        "eventfeed.waiting",
        UP_DOWN_COUNTER,
        "{request}",
        "Requests that wait for something new: `poll` or `stream`.",
        ("kind",),
    ),
    Metric("eventfeed.response.memory", GAUGE, "By", "Memory of large pages and streams that clients are reading."),
    Metric(
        "eventfeed.log_lines.dropped", GAUGE, "{line}", "Log lines dropped since the start, because they were not read."
    ),
    Metric("eventfeed.queue.depth", GAUGE, "{event}", "Events that wait to be written."),
    Metric("eventfeed.tail.sequence", GAUGE, "{event}", "The last position that this process knows."),
    Metric(
        "eventfeed.tail.staleness",
        GAUGE,
        "s",
        "Time since the first failed read of the end of the log, 0 after a success.",
    ),
    _counter(
        "eventfeed.store.request_units",
        "Request units that Cosmos DB charged, by the engine's verb.",
        "verb",
        unit="{request_unit}",
    ),
    _counter(
        "eventfeed.store.requests",
        "Requests to Cosmos DB, by the engine's verb, refused ones as well.",
        "verb",
        unit="{request}",
    ),
    _counter(
        "eventfeed.store.throttled",
        "Requests that Cosmos DB refused because there were too many (429).",
        "verb",
        unit="{request}",
    ),
    _counter(
        "eventfeed.decisions",
        "Decisions by outcome (`allowed`, `hidden`, `undecided`) and source (`memory`, `asked`).",
        "outcome",
        "source",
        unit="{decision}",
    ),
    _histogram(
        "eventfeed.decisions.duration", "Duration of a request to the decision point (`answered`, `failed`).", "outcome"
    ),
    _counter(
        "eventfeed.tokens",
        "Tokens exchanged (`maskinporten`, `id-porten`), by outcome: `given` or the problem's code.",
        "operation",
        "outcome",
        unit="{token}",
    ),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
