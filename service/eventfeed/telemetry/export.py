"""Export: traces, measurements and logs by OTLP to where the SDK's own settings (`OTEL_*`) say.

Measurements go to Application Insights instead if its connection string is set: its agent takes none by OTLP.
"""

import contextlib
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from eventfeed.telemetry import application_insights, logs
from eventfeed.telemetry.data_points import SCOPE, measurements
from eventfeed.telemetry.telemetry import Telemetry

SAMPLED_RATIO = 0.1
INTERVAL_MILLISECONDS = 60_000
# A stop does not wait longer for a collector that does not respond.
FLUSH_SECONDS_MAX = 5.0

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def exporting(telemetry: Telemetry) -> Iterator[None]:
    """Send telemetry while the block lasts, and the rest at its end. Nothing is sent if no endpoint is set."""
    with contextlib.ExitStack() as stack:
        if _is_exported("TRACES"):
            stack.enter_context(_traces(telemetry))
        if application_insights.CONNECTION in os.environ and not _is_disabled():
            increments = application_insights.Increments()
            exporter = application_insights.exporter()
            stack.enter_context(_metrics(telemetry, exporter, transform=increments.since_last_call))
        elif _is_exported("METRICS"):
            stack.enter_context(_metrics(telemetry, _metric_exporter()))
        if _is_exported("LOGS"):
            stack.enter_context(_logs())
        yield


def _is_exported(signal: str) -> bool:
    """True if the signal has an endpoint and is not switched off."""
    is_off = os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp") == "none"
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return not (_is_disabled() or is_off) and any(os.environ.get(each) for each in endpoints)


def _is_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"


def _is_grpc(signal: str) -> bool:
    """True if the signal is sent by gRPC, False if by HTTP in protobuf."""
    default = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", default) == "grpc"


def _resource() -> Resource:
    """Return this process, under the service name of the environment or else ours."""
    resource = Resource.create({"service.instance.id": str(uuid.uuid4())})
    has_name = not str(resource.attributes["service.name"]).startswith("unknown_service")
    return resource if has_name else resource.merge(Resource({"service.name": SCOPE}))


@contextlib.contextmanager
def _traces(telemetry: Telemetry) -> Iterator[None]:
    ratio, rng = _number("OTEL_TRACES_SAMPLER_ARG", SAMPLED_RATIO), random.random
    provider = TracerProvider(resource=_resource(), sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_span_exporter()))
    try:
        with telemetry.tracing(provider.get_tracer(SCOPE), is_sampled=lambda: rng() < ratio):
            yield
    finally:
        _run_at_most(FLUSH_SECONDS_MAX, provider.shutdown)


def _span_exporter() -> SpanExporter:
    if _is_grpc("TRACES"):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415

    return Http()


def _metric_exporter() -> MetricExporter:
    if _is_grpc("METRICS"):
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http  # noqa: PLC0415

    return Http()


@contextlib.contextmanager
def _logs() -> Iterator[None]:
    provider = LoggerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(_log_exporter()))
    handler, root = logs.OpenTelemetryHandler(provider.get_logger(SCOPE)), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        _run_at_most(FLUSH_SECONDS_MAX, provider.shutdown)


def _log_exporter() -> LogRecordExporter:
    if _is_grpc("LOGS"):
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http  # noqa: PLC0415

    return Http()


@contextlib.contextmanager
def _metrics(
    telemetry: Telemetry, exporter: MetricExporter, *, transform: Callable[[MetricsData], MetricsData] | None = None
) -> Iterator[None]:
    """Run a thread that sends all measurements at intervals: they are few, however many requests there were."""
    resource, start = _resource(), time.time_ns()
    seconds, end = _number("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MILLISECONDS) / 1_000, threading.Event()

    def send() -> None:
        try:
            totals = measurements(telemetry, resource, since=start)
            exporter.export(transform(totals) if transform else totals)
        except Exception:  # noqa: BLE001  # the next one may get through
            _log.exception("measurements could not be sent")

    def send_at_intervals() -> None:
        while not end.wait(seconds):
            send()

    threading.Thread(target=send_at_intervals, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        end.set()
        _run_at_most(FLUSH_SECONDS_MAX, send)
        exporter.shutdown(1_000)


def _number(name: str, default: float) -> float:
    try:
        return float(os.environ.get(name, default))
    except ValueError:
        return default


def _run_at_most(seconds: float, work: Callable[[], object]) -> None:
    """Run work that may hang, and wait for it no longer than this."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
