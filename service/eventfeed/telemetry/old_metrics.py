"""Everything that is measured. No id, party, person, cursor or token is ever an attribute."""

from collections.abc import Sequence

from eventfeed.telemetry.instruments import Counter, Gauge, Histogram, Instrument, UpDownCounter

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_AGES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0, 604_800.0)
_COUNTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
_DISTANCES = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)

REQUEST_DURATION = Histogram(
    "http.server.request.duration",
    "s",
    bounds=_SECONDS,
    attributes=("http.request.method", "http.route", "http.response.status_code"),
    description="Duration of a request, until its response was sent; of a stream, until it ended.",
)
PUBLISHED = Counter(
    "eventfeed.events.published",
    "{event}",
    attributes=("org",),
    description="Events that were published for the first time.",
)
DUPLICATES = Counter(
    "eventfeed.events.duplicates", "{event}", attributes=("org",), description="Events that were in the log already."
)
REFUSED = Counter(
    "eventfeed.events.refused",
    "{request}",
    attributes=("reason",),
    description="Publishing requests that were refused, by the problem's code.",
)
BATCH_SIZE = Histogram(
    "eventfeed.append.batch.size",
    "{event}",
    bounds=_COUNTS,
    attributes=("engine",),
    description="New events of one durable write.",
)
BATCH_WAIT = Histogram(
    "eventfeed.append.batch.wait",
    "s",
    bounds=_SECONDS,
    attributes=("engine",),
    description="Time that a publish waited before its write began.",
)
APPEND_DURATION = Histogram(
    "eventfeed.append.duration",
    "s",
    bounds=_SECONDS,
    attributes=("engine",),
    description="Duration of a write, including the lookup of duplicates and all attempts.",
)
RACES_LOST = Counter(
    "eventfeed.append.races.lost",
    "{race}",
    attributes=("engine",),
    description="Writes that lost a race, or had an unknown outcome, and were planned again.",
)
PAGE_EVENTS = Histogram(
    "eventfeed.page.events", "{event}", bounds=_COUNTS, attributes=("feed",), description="Events of a page."
)
PAGE_EXAMINED = Histogram(
    "eventfeed.page.examined",
    "{event}",
    bounds=_DISTANCES,
    attributes=("feed",),
    description="Positions that a page moved the cursor: the entries examined, returned or not.",
)
PAGE_DURATION = Histogram(
    "eventfeed.page.duration",
    "s",
    bounds=_SECONDS,
    attributes=("feed",),
    description="Duration of finding a page, including its decisions.",
)
CAUGHT_UP = Counter(
    "eventfeed.polls.caught_up",
    "{poll}",
    attributes=("feed", "kind"),
    description="Responses without new events: `304`, `empty`, `wait` (a long poll that ended), `stream` (a heartbeat).",
)
LAG = Histogram(
    "eventfeed.consumer.lag",
    "{event}",
    bounds=_DISTANCES,
    attributes=("feed",),
    description="Positions between the cursor of a page and the end of the log, over all feeds.",
)
AGE = Histogram(
    "eventfeed.age_at_read",
    "s",
    bounds=_AGES,
    attributes=("feed",),
    description="Time from the registration of the newest event of a page to its read.",
)
WAITING = UpDownCounter(
    "eventfeed.waiting",
    "{request}",
    attributes=("kind",),
    description="Requests that wait for something new: `poll` or `stream`.",
)
QUEUE_DEPTH = Gauge("eventfeed.queue.depth", "{event}", description="Events that wait to be written.")
TAIL_SEQUENCE = Gauge("eventfeed.tail.sequence", "{event}", description="The last position that this process has seen.")
TAIL_STALENESS = Gauge(
    "eventfeed.tail.staleness", "s", description="Time since this process last read the end of the log."
)
REQUEST_UNITS = Counter(
    "eventfeed.store.request_units",
    "{request_unit}",
    attributes=("verb",),
    description="Request units that Cosmos DB charged, by the engine's verb.",
)
STORE_REQUESTS = Counter(
    "eventfeed.store.requests",
    "{request}",
    attributes=("verb",),
    description="Requests to Cosmos DB, by the engine's verb, refused ones as well.",
)
THROTTLED = Counter(
    "eventfeed.store.throttled",
    "{request}",
    attributes=("verb",),
    description="Requests that Cosmos DB refused because there were too many (429).",
)
DECISIONS = Counter(
    "eventfeed.decisions",
    "{decision}",
    attributes=("outcome", "source"),
    description="Decisions by outcome (`allowed`, `hidden`, `undecided`) and source (`memory`, `asked`).",
)
DECISIONS_DURATION = Histogram(
    "eventfeed.decisions.duration",
    "s",
    bounds=_SECONDS,
    attributes=("outcome",),
    description="Duration of a request to the decision point (`answered`, `failed`).",
)
TOKENS = Counter(
    "eventfeed.tokens",
    "{token}",
    attributes=("operation", "outcome"),
    description="Tokens exchanged (`maskinporten`, `id-porten`), by outcome: `given` or the problem's code.",
)

ALL: Sequence[Instrument] = tuple(each for each in list(globals().values()) if isinstance(each, Instrument))
