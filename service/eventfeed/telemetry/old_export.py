"""Sending: what was traced, measured and logged, by OTLP to where the SDK's own settings (`OTEL_*`) say.

Measurements go to Application Insights instead where its connection string is set: its agent takes none by OTLP.
"""

import contextlib
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import (
    Gauge as GaugeData,
)
from opentelemetry.sdk.metrics.export import (
    Histogram as HistogramData,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from eventfeed.telemetry import application_insights, logs, tracing
from eventfeed.telemetry.instruments import Counter, Gauge, Histogram, Instrument, UpDownCounter
from eventfeed.telemetry.old_metrics import ALL

NAME = "eventfeed"
SAMPLED = 0.1
INTERVAL_MILLISECONDS = 60_000
# A stop does not wait longer for a receiver that does not answer.
FLUSH_SECONDS_MAX = 5.0

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Send while the block lasts, and what is left at its end. Nothing is sent where no endpoint is set."""
    with contextlib.ExitStack() as stack:
        if _wanted("TRACES"):
            stack.enter_context(_traces())
        if application_insights.CONNECTION in os.environ and not _disabled():
            changes = application_insights.Increments()
            stack.enter_context(_metrics(application_insights.exporter(), shaped=changes.since_last_call))
        elif _wanted("METRICS"):
            stack.enter_context(_metrics(_metric_exporter()))
        if _wanted("LOGS"):
            stack.enter_context(_logs())
        yield


def _wanted(signal: str) -> bool:
    """Whether there is somewhere to send it to, and nobody has switched it off."""
    none = os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp") == "none"
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return not (_disabled() or none) and any(os.environ.get(each) for each in endpoints)


def _disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"


def _grpc(signal: str) -> bool:
    """Whether it goes by gRPC; otherwise by HTTP, in protobuf."""
    default = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", default) == "grpc"


def _resource() -> Resource:
    """This process, under the name that the environment gives it, or ours."""
    found = Resource.create({"service.instance.id": str(uuid.uuid4())})
    unnamed = str(found.attributes["service.name"]).startswith("unknown_service")
    return found.merge(Resource({"service.name": NAME})) if unnamed else found


@contextlib.contextmanager
def _traces() -> Iterator[None]:
    ratio, rng = _number("OTEL_TRACES_SAMPLER_ARG", SAMPLED), random.random
    provider = TracerProvider(resource=_resource(), sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_span_exporter()))
    tracing.use(provider.get_tracer(NAME), sampled=lambda: rng() < ratio)
    try:
        yield
    finally:
        tracing.use(None)
        _within(FLUSH_SECONDS_MAX, provider.shutdown)


def _span_exporter() -> Any:  # the two have no kind in common but the SDK's own
    if _grpc("TRACES"):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415

    return Http()


def _metric_exporter() -> MetricExporter:
    if _grpc("METRICS"):
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http  # noqa: PLC0415

    return Http()


@contextlib.contextmanager
def _logs() -> Iterator[None]:
    provider = LoggerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(_log_exporter()))
    handler, root = logs.OpenTelemetryHandler(provider.get_logger(NAME)), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        _within(FLUSH_SECONDS_MAX, provider.shutdown)


def _log_exporter() -> LogRecordExporter:
    if _grpc("LOGS"):
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http  # noqa: PLC0415

    return Http()


@contextlib.contextmanager
def _metrics(
    exporter: MetricExporter, *, shaped: Callable[[MetricsData], MetricsData] = lambda totals: totals
) -> Iterator[None]:
    """A thread that sends all measurements now and then: they are few, however many requests there were."""
    resource, started = _resource(), time.time_ns()
    seconds, ended = _number("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MILLISECONDS) / 1_000, threading.Event()

    def send() -> None:
        try:
            exporter.export(shaped(measured(resource, since=started)))
        except Exception:  # noqa: BLE001  # the next one may get through
            _log.exception("measurements could not be sent")

    def work() -> None:
        while not ended.wait(seconds):
            send()

    thread = threading.Thread(target=work, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        _within(FLUSH_SECONDS_MAX, send)
        exporter.shutdown(1_000)


def measured(resource: Resource, *, since: int) -> MetricsData:
    """Everything measured `since` a time (ns), as the SDK's own data."""
    now = time.time_ns()
    metrics = [
        Metric(each.described.name, each.described.description, each.described.unit, data)
        for each in ALL
        if (data := _data(each, since=since, now=now)).data_points
    ]
    scope = ScopeMetrics(InstrumentationScope(NAME), metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource, [scope], schema_url="")])


def _data(each: Instrument, *, since: int, now: int) -> Sum | GaugeData | HistogramData:
    total = AggregationTemporality.CUMULATIVE
    match each:
        case Histogram(bounds=bounds):
            points = [
                HistogramDataPoint(
                    attributes=each.labelled(values),
                    start_time_unix_nano=since,
                    time_unix_nano=now,
                    count=sum(point.counts),
                    sum=point.total,
                    bucket_counts=list(point.counts),
                    explicit_bounds=bounds,
                    min=point.least,
                    max=point.most,
                )
                for values, point in each.points.copy().items()
            ]
            return HistogramData(points, aggregation_temporality=total)
        case Counter():
            sums = [
                NumberDataPoint(each.labelled(values), since, now, amount)
                for values, amount in each.points.copy().items()
            ]
            return Sum(sums, aggregation_temporality=total, is_monotonic=not isinstance(each, UpDownCounter))
        case Gauge():
            return GaugeData(
                [NumberDataPoint(each.labelled(values), since, now, value) for values, value in each.look()]
            )
    raise TypeError(each)


def _number(name: str, default: float) -> float:
    try:
        return float(os.environ.get(name, default))
    except ValueError:
        return default


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Do something that may hang, but do not wait for it longer than this."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
