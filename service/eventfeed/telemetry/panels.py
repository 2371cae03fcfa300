"""What is worth looking at, once: the page of `serve --observe` and the dashboards in Azure are made of these."""

from typing import NamedTuple

from eventfeed.telemetry.instruments import Instrument
from eventfeed.telemetry.metrics import (
    AGE,
    APPEND_DURATION,
    BATCH_SIZE,
    CAUGHT_UP,
    DECISIONS,
    DUPLICATES,
    LAG,
    PAGE_DURATION,
    PAGE_EXAMINED,
    PUBLISHED,
    QUEUE_DEPTH,
    RACES_LOST,
    REQUEST_DURATION,
    REQUEST_UNITS,
    TAIL_STALENESS,
    THROTTLED,
    TOKENS,
    WAITING,
)

RATE, MEDIAN, HIGH, VALUE = "rate", "p50", "p99", "value"


class Panel(NamedTuple):
    """A chart: `show` of some metric (`rate` a second, `p50`, `p99` or `value`), a line for each value of `by`."""

    title: str
    metric: Instrument
    show: str
    by: str = ""


PANELS = (
    Panel("Requests a second, by route", REQUEST_DURATION, RATE, "http.route"),
    Panel("Requests a second, by status", REQUEST_DURATION, RATE, "http.response.status_code"),
    Panel("Request duration, p99 (s)", REQUEST_DURATION, HIGH, "http.route"),
    Panel("Events published a second", PUBLISHED, RATE, "org"),
    Panel("Repeats a second", DUPLICATES, RATE, "org"),
    Panel("Age at read, median (s)", AGE, MEDIAN, "feed"),
    Panel("Age at read, p99 (s)", AGE, HIGH, "feed"),
    Panel("Consumers behind the end, p99 (positions)", LAG, HIGH, "feed"),
    Panel("Page duration, p99 (s)", PAGE_DURATION, HIGH, "feed"),
    Panel("Examined for a page, p99", PAGE_EXAMINED, HIGH, "feed"),
    Panel("Caught-up polls a second", CAUGHT_UP, RATE, "kind"),
    Panel("Waiting polls and streams", WAITING, VALUE, "kind"),
    Panel("Append duration, p99 (s)", APPEND_DURATION, HIGH, "engine"),
    Panel("Events of a write, median", BATCH_SIZE, MEDIAN, "engine"),
    Panel("Races lost a second", RACES_LOST, RATE, "engine"),
    Panel("Events that wait to be written", QUEUE_DEPTH, VALUE),
    Panel("Since the end was looked for (s)", TAIL_STALENESS, VALUE),
    Panel("Request units a second, by verb", REQUEST_UNITS, RATE, "verb"),
    Panel("Throttled a second, by verb", THROTTLED, RATE, "verb"),
    Panel("Decisions a second, by outcome", DECISIONS, RATE, "outcome"),
    Panel("Tokens exchanged a second, by outcome", TOKENS, RATE, "outcome"),
)
