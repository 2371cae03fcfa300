"""Telemetry: the verbs by which the service measures and traces its work.

Measurements are added up here, in plain tables that the event loop alone writes; `exporting` sends them now and then.
The SDK's own instruments take several microseconds a measurement, and a page has half a dozen of them.

Sampling is random per request; the caller's sampled flag and trace id decide nothing. The SDK's samplers run too late:
a span that is not recorded costs them 5 us.
"""

import contextlib
import random
import secrets
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import Token
from typing import Literal, NamedTuple

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Tracer

from eventfeed.domain.event import TRACEPARENT_LENGTH
from eventfeed.domain.page_entries import PageEntries
from eventfeed.telemetry import spans
from eventfeed.telemetry.metrics import COUNTER, HISTOGRAM, METRICS, UP_DOWN_COUNTER, Metric
from eventfeed.telemetry.traceparent import current_traceparent, parse_traceparent

# Attributes are chosen so that there are few series; more than this are added up in one of their own.
SERIES_MAX = 1_000
OVERFLOW = "overflow"

Value = str | int
Values = tuple[Value, ...]

_NO_SPAN = contextlib.nullcontext()
_DATABASE = "db.system.name"
# The histograms of every page.
_PAGE = ("eventfeed.page.events", "eventfeed.page.examined", "eventfeed.consumer.lag", "eventfeed.page.duration")


class Counter:
    """A sum for each series of attribute values, which are in the order of the metric's attributes."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.series: dict[Values, float] = {}

    def add(self, amount: float, *values: Value) -> None:
        """Add to the series with these attribute values."""
        try:
            self.series[values] += amount
        except KeyError:
            key = values if len(self.series) < SERIES_MAX else (OVERFLOW,) * len(values)
            self.series[key] = self.series.get(key, 0) + amount


class Distribution:
    """The values of one series: how many are in each bucket, their sum, the least and the greatest."""

    __slots__ = ("bounds", "counts", "greatest", "least", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts = bounds, [0] * (len(bounds) + 1)
        self.total, self.least, self.greatest = 0.0, float("inf"), float("-inf")

    def add(self, value: float) -> None:
        """Count a value in the bucket of the first bound that is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        # Calls of min() and max() would be a third of the work, and there are half a dozen values a request.
        if value < self.least:  # noqa: PLR1730
            self.least = value
        if value > self.greatest:  # noqa: PLR1730
            self.greatest = value


class Histogram:
    """A distribution for each series of attribute values."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.series: dict[Values, Distribution] = {}

    def distribution(self, *values: Value) -> Distribution:
        """Return the distribution of the series with these attribute values."""
        try:
            return self.series[values]
        except KeyError:
            key = values if len(self.series) < SERIES_MAX else (OVERFLOW,) * len(values)
            return self.series.setdefault(key, Distribution(self.metric.bounds))

    def record(self, value: float, *values: Value) -> None:
        """Add a value to the series with these attribute values."""
        self.distribution(*values).add(value)


class RequestSpan(NamedTuple):
    """The span of a request under way. If the request is not sampled, it is only an id for the log."""

    span: Span
    is_sampled: bool
    token: Token[Context]


class Telemetry:
    """The measurements and spans of one process. `clock_ns` returns nanoseconds since 1970."""

    def __init__(self, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        metrics = METRICS.values()
        self.counters = {each.name: Counter(each) for each in metrics if each.kind in (COUNTER, UP_DOWN_COUNTER)}
        self.histograms = {each.name: Histogram(each) for each in metrics if each.kind == HISTOGRAM}
        self.gauges: dict[str, Callable[[], float]] = {}
        # By the names of feeds, in the order of `_PAGE`.
        self._pages: dict[str, Sequence[Distribution]] = {}
        self.tracer: Tracer | None = None
        self._is_sampled: Callable[[], bool] = lambda: True

    @contextlib.contextmanager
    def tracing(self, tracer: Tracer, *, is_sampled: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Trace with this tracer while the block lasts: the requests for which `is_sampled` returns True."""
        self.tracer, self._is_sampled = tracer, is_sampled
        try:
            yield
        finally:
            self.tracer = None

    # Requests

    def begin_request(self, method: str, traceparent: str) -> RequestSpan | None:
        """Begin the span of a request, in the caller's trace if it names one. None if nothing is traced.

        No context manager: that costs a microsecond for every request.
        """
        if self.tracer is None:
            return None
        parent, is_sampled = parse_traceparent(traceparent) if traceparent else None, self._is_sampled()
        if is_sampled:
            span = spans.start_server_span(self.tracer, method, parent=parent)
        else:
            trace_id = parent.trace_id if parent else random.getrandbits(128)
            span = NonRecordingSpan(SpanContext(trace_id, random.getrandbits(64), is_remote=False))
        return RequestSpan(span, is_sampled, context.attach(trace.set_span_in_context(span)))

    def end_request(self, method: str, route: str, *, status: int, seconds: float, request: RequestSpan | None) -> None:
        """Count a request when its response is complete, and end its span."""
        self.histograms["http.server.request.duration"].record(seconds, method, route, status)
        if request is not None:
            if request.is_sampled:
                spans.describe_server_span(request.span, method, route=route, status=status)
            context.detach(request.token)
            request.span.end()

    def trace_id(self, traceparent: str) -> str:
        """Return the id of the current trace, else of the caller's, else a new one: 32 hexadecimal digits."""
        current = trace.get_current_span().get_span_context() if self.tracer else None
        origin = current if current and current.is_valid else parse_traceparent(traceparent)
        return f"{origin.trace_id:032x}" if origin else secrets.token_hex(16)

    # Spans within a request

    def span(self, name: str) -> AbstractContextManager[None]:
        """Record the block as a span, if the request is sampled."""
        return self._span(name, SpanKind.INTERNAL)

    def client_span(self, name: str) -> AbstractContextManager[None]:
        """Record a call to another service as a span, if the request is sampled."""
        return self._span(name, SpanKind.CLIENT)

    def store_span(self, name: str, *, engine: str) -> AbstractContextManager[None]:
        """Record a call to the store as a span, if the request is sampled."""
        return self._span(name, SpanKind.CLIENT, engine=engine)

    def _span(self, name: str, kind: SpanKind, *, engine: str = "") -> AbstractContextManager[None]:
        if self.tracer is None or not trace.get_current_span().get_span_context().trace_flags.sampled:
            return _NO_SPAN
        return spans.span(self.tracer, name, kind=kind, attributes={_DATABASE: engine} if engine else {})

    def is_recording(self) -> bool:
        """True if the current request is sampled."""
        return self.tracer is not None and trace.get_current_span().is_recording()

    # Publishing

    def request_traceparent(self) -> str:
        """Return the `traceparent` of the current span, "" if the request is not sampled."""
        return current_traceparent() if self.is_recording() else ""

    def event_traceparent(self, traceparent: str) -> str:
        """Return the `traceparent` for an event without one: the publisher's if it is valid, else the request's."""
        if traceparent and parse_traceparent(traceparent):
            # Additions of a later version have no bound.
            return traceparent[:TRACEPARENT_LENGTH]
        return self.request_traceparent()

    def event_published(self, org: str, *, is_duplicate: bool) -> None:
        """Count an event of a publish."""
        self.counters["eventfeed.events.duplicates" if is_duplicate else "eventfeed.events.published"].add(1, org)

    def publish_refused(self, code: str) -> None:
        """Count a publish that ends with a problem."""
        self.counters["eventfeed.events.refused"].add(1, code)

    def batch_started(
        self, engine: str, *, waits: Iterable[float], traceparents: Iterable[str]
    ) -> AbstractContextManager[None]:
        """Record how long (s) each publish of a batch waited. Return the span of its write.

        The span is a child of the first sampled publish and linked to the others.
        """
        histogram = self.histograms["eventfeed.append.batch.wait"]
        for seconds in waits:
            histogram.record(seconds, engine)
        if self.tracer is None:
            return _NO_SPAN
        contexts = [parse_traceparent(each, is_remote=False) for each in traceparents if each]
        parents = [each for each in contexts if each and each.trace_flags.sampled]
        if not parents:
            return _NO_SPAN
        attributes = {"eventfeed.engine": engine}
        return spans.span(self.tracer, "append", kind=SpanKind.INTERNAL, attributes=attributes, parents=parents)

    def batch_written(self, engine: str, *, events: int, seconds: float) -> None:
        """Record a durable write: its new events, and how long it took with all attempts."""
        self.histograms["eventfeed.append.batch.size"].record(events, engine)
        self.histograms["eventfeed.append.duration"].record(seconds, engine)

    def batch_failed(self, engine: str, outcome: Literal["not_done", "unknown", "unusable"]) -> None:
        """Count a batch whose publishers get a failure, by what is known of its events."""
        self.counters["eventfeed.append.failed"].add(1, engine, outcome)

    def race_lost(self, engine: str) -> None:
        """Count a write that another process overtook, or that was in doubt."""
        self.counters["eventfeed.append.races.lost"].add(1, engine)

    # Reading

    def page_served(self, feed: str, entries: PageEntries, *, examined: int, lag: int, seconds: float) -> None:
        """Record a page of a feed and link the request to the traces of its events.

        `examined` and `lag` are positions: how far the cursor moved, and how far it is from the end of the log.
        """
        distributions = self._pages.get(feed)
        if distributions is None:
            distributions = self._pages[feed] = [self.histograms[name].distribution(feed) for name in _PAGE]
        for distribution, value in zip(distributions, (len(entries), examined, lag, seconds), strict=True):
            distribution.add(value)
        if entries:
            age = self._clock_ns() - entries[-1].time * 1_000
            self.histograms["eventfeed.age_at_read"].record(max(0, age) / 1_000_000_000, feed)
            if self.tracer is not None and self.is_recording():
                spans.link_current_span(entry.traceparent for entry in entries if entry.traceparent)

    def poll_caught_up(self, feed: str, kind: Literal["304", "empty", "wait", "stream"]) -> None:
        """Count a response without anything new."""
        self.counters["eventfeed.polls.caught_up"].add(1, feed, kind)

    def waiting_changed(self, kind: Literal["poll", "stream"], change: int) -> None:
        """Add to the number of requests that wait for something new."""
        self.counters["eventfeed.waiting"].add(change, kind)

    # Identity and access

    def token_exchanged(self, provider: str, outcome: str) -> None:
        """Count an exchange: its outcome is `given` or the code of the problem."""
        self.counters["eventfeed.tokens"].add(1, provider, outcome)

    def decisions_made(self, outcomes: Iterable[tuple[str, str]]) -> None:
        """Count decisions, each by its outcome and its origin."""
        counter = self.counters["eventfeed.decisions"]
        for outcome, source in outcomes:
            counter.add(1, outcome, source)

    @contextlib.contextmanager
    def decision_request(self) -> Iterator[None]:
        """Measure the block, a request for decisions, and record it as a span."""
        start, outcome = time.perf_counter(), "failed"
        try:
            with self.client_span("decide"):
                yield
            outcome = "answered"
        finally:
            self.histograms["eventfeed.decisions.duration"].record(time.perf_counter() - start, outcome)

    # Cosmos DB

    def store_responded(self, verb: str, units: float) -> None:
        """Count a request to Cosmos DB and its charge, also of a failure."""
        self.counters["eventfeed.store.requests"].add(1, verb)
        self.counters["eventfeed.store.request_units"].add(units, verb)
        if self.tracer is not None:
            spans.add_charge(units)

    def store_throttled(self, verb: str) -> None:
        """Count a request that Cosmos DB refused because there were too many."""
        self.counters["eventfeed.store.throttled"].add(1, verb)

    # State of the process, read when measurements are sent

    def observe_queue(self, depth: Callable[[], int]) -> None:
        """Measure the queue of events that wait to be written."""
        self.gauges["eventfeed.queue.depth"] = depth

    def observe_tail(self, end_offset: Callable[[], int], *, staleness: Callable[[], float]) -> None:
        """Measure the end of the log that this process knows, and how old (s) that knowledge is."""
        self.gauges["eventfeed.tail.sequence"] = end_offset
        self.gauges["eventfeed.tail.staleness"] = staleness

    def observe_memory(self, used: Callable[[], int]) -> None:
        """Measure the bytes of responses that clients are reading."""
        self.gauges["eventfeed.response.memory"] = used

    def observe_log(self, dropped_lines: Callable[[], int]) -> None:
        """Measure the log lines that were dropped since the start of the process."""
        self.gauges["eventfeed.log_lines.dropped"] = dropped_lines
