"""Panels: the charts of the page of `serve --observe` and of the dashboard on Azure."""

from typing import NamedTuple

from eventfeed.telemetry.metrics import METRICS, Metric

RATE, MEDIAN, HIGH, VALUE = "rate", "p50", "p99", "value"


class Panel(NamedTuple):
    """A chart of a metric: its `rate` (a second), `p50`, `p99` or `value`, with a line for each value of `by`."""

    title: str
    metric_name: str
    show: str
    by: str = ""

    @property
    def metric(self) -> Metric:
        """The metric of the chart."""
        return METRICS[self.metric_name]


PANELS = (
    Panel("Requests a second, by route", "http.server.request.duration", RATE, "http.route"),
    Panel("Requests a second, by status", "http.server.request.duration", RATE, "http.response.status_code"),
    Panel("Request duration, p99 (s)", "http.server.request.duration", HIGH, "http.route"),
    Panel("Events published a second", "eventfeed.events.published", RATE, "org"),
    Panel("Repeats a second", "eventfeed.events.duplicates", RATE, "org"),
    Panel("Age at read, median (s)", "eventfeed.age_at_read", MEDIAN, "feed"),
    Panel("Age at read, p99 (s)", "eventfeed.age_at_read", HIGH, "feed"),
    Panel("Consumers behind the end, p99 (positions)", "eventfeed.consumer.lag", HIGH, "feed"),
    Panel("Page duration, p99 (s)", "eventfeed.page.duration", HIGH, "feed"),
    Panel("Positions examined for a page, p99", "eventfeed.page.examined", HIGH, "feed"),
    Panel("Caught-up polls a second", "eventfeed.polls.caught_up", RATE, "kind"),
    Panel("Waiting polls and streams", "eventfeed.waiting", VALUE, "kind"),
    Panel("Append duration, p99 (s)", "eventfeed.append.duration", HIGH, "engine"),
    Panel("Events of a write, median", "eventfeed.append.batch.size", MEDIAN, "engine"),
    Panel("Races lost a second", "eventfeed.append.races.lost", RATE, "engine"),
    Panel("Events that wait to be written", "eventfeed.queue.depth", VALUE),
    Panel("Age of the end of the log (s)", "eventfeed.tail.staleness", VALUE),
    Panel("Request units a second, by verb", "eventfeed.store.request_units", RATE, "verb"),
    Panel("Throttled a second, by verb", "eventfeed.store.throttled", RATE, "verb"),
    Panel("Decisions a second, by outcome", "eventfeed.decisions", RATE, "outcome"),
    Panel("Tokens exchanged a second, by outcome", "eventfeed.tokens", RATE, "outcome"),
)
