"""All metrics of the service. No id, party, person, cursor or token is ever an attribute."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

HISTOGRAM, COUNTER, UP_DOWN_COUNTER, GAUGE = "histogram", "counter", "up-down counter", "gauge"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_AGES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0, 604_800.0)
_COUNTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
_DISTANCES = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)


class Metric(NamedTuple):
    """A metric: its unit (UCUM), the names of its attributes, and of a histogram the upper bounds of its buckets."""

    name: str
    kind: str
    unit: str
    description: str
    attributes: Sequence[str] = ()
    bounds: Sequence[float] = ()


_ALL = (
    Metric(
        "http.server.request.duration",
        HISTOGRAM,
        "s",
        "Duration of a request, until its response was sent; of a stream, until it ended.",
        attributes=("http.request.method", "http.route", "http.response.status_code"),
        bounds=_SECONDS,
    ),
    Metric(
        "eventfeed.events.published",
        COUNTER,
        "{event}",
        "Events that were published for the first time.",
        attributes=("org",),
    ),
    Metric(
        "eventfeed.events.duplicates", COUNTER, "{event}", "Events that were in the log already.", attributes=("org",)
    ),
    Metric(
        "eventfeed.events.refused",
        COUNTER,
        "{request}",
        "Publishing requests that were refused, by the problem's code.",
        attributes=("reason",),
    ),
    Metric(
        "eventfeed.append.batch.size",
        HISTOGRAM,
        "{event}",
        "New events of one durable write.",
        attributes=("engine",),
        bounds=_COUNTS,
    ),
    Metric(
        "eventfeed.append.batch.wait",
        HISTOGRAM,
        "s",
        "Time that a publish waited before its write began.",
        attributes=("engine",),
        bounds=_SECONDS,
    ),
    Metric(
        "eventfeed.append.duration",
        HISTOGRAM,
        "s",
        "Duration of a write, including the lookup of duplicates and all attempts.",
        attributes=("engine",),
        bounds=_SECONDS,
    ),
    Metric(
        "eventfeed.append.races.lost",
        COUNTER,
        "{race}",
        "Writes that lost a race, or had an unknown outcome, and were planned again.",
        attributes=("engine",),
    ),
    Metric("eventfeed.page.events", HISTOGRAM, "{event}", "Events of a page.", attributes=("feed",), bounds=_COUNTS),
    Metric(
        "eventfeed.page.examined",
        HISTOGRAM,
        "{event}",
        "Positions that a page moved the cursor: the entries examined, returned or not.",
        attributes=("feed",),
        bounds=_DISTANCES,
    ),
    Metric(
        "eventfeed.page.duration",
        HISTOGRAM,
        "s",
        "Duration of finding a page, including its decisions.",
        attributes=("feed",),
        bounds=_SECONDS,
    ),
    Metric(
        "eventfeed.polls.caught_up",
        COUNTER,
        "{poll}",
        "Responses without new events: `304`, `empty`, `wait` (a long poll that ended), `stream` (a heartbeat).",
        attributes=("feed", "kind"),
    ),
    Metric(
        "eventfeed.consumer.lag",
        HISTOGRAM,
        "{event}",
        "Positions between the cursor of a page and the end of the log, over all feeds.",
        attributes=("feed",),
        bounds=_DISTANCES,
    ),
    Metric(
        "eventfeed.age_at_read",
        HISTOGRAM,
        "s",
        "Time from the registration of the newest event of a page to its read.",
        attributes=("feed",),
        bounds=_AGES,
    ),
    Metric(
        "eventfeed.waiting",
        UP_DOWN_COUNTER,
        "{request}",
        "Requests that wait for something new: `poll` or `stream`.",
        attributes=("kind",),
    ),
    Metric("eventfeed.queue.depth", GAUGE, "{event}", "Events that wait to be written."),
    Metric("eventfeed.tail.sequence", GAUGE, "{event}", "The last position that this process has seen."),
    Metric("eventfeed.tail.staleness", GAUGE, "s", "Time since this process last read the end of the log."),
    Metric(
        "eventfeed.store.request_units",
        COUNTER,
        "{request_unit}",
        "Request units that Cosmos DB charged, by the engine's verb.",
        attributes=("verb",),
    ),
    Metric(
        "eventfeed.store.requests",
        COUNTER,
        "{request}",
        "Requests to Cosmos DB, by the engine's verb, refused ones as well.",
        attributes=("verb",),
    ),
    Metric(
        "eventfeed.store.throttled",
        COUNTER,
        "{request}",
        "Requests that Cosmos DB refused because there were too many (429).",
        attributes=("verb",),
    ),
    Metric(
        "eventfeed.decisions",
        COUNTER,
        "{decision}",
        "Decisions by outcome (`allowed`, `hidden`, `undecided`) and source (`memory`, `asked`).",
        attributes=("outcome", "source"),
    ),
    Metric(
        "eventfeed.decisions.duration",
        HISTOGRAM,
        "s",
        "Duration of a request to the decision point (`answered`, `failed`).",
        attributes=("outcome",),
        bounds=_SECONDS,
    ),
    Metric(
        "eventfeed.tokens",
        COUNTER,
        "{token}",
        "Tokens exchanged (`maskinporten`, `id-porten`), by outcome: `given` or the problem's code.",
        attributes=("operation", "outcome"),
    ),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
