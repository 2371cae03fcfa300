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
from collections.abc import Callable, Iterator, Sequence

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from eventfeed.network import EnvironmentVariableError
from eventfeed.telemetry import application_insights, logs
from eventfeed.telemetry.data_points import SCOPE, measurements
from eventfeed.telemetry.telemetry import Telemetry

SAMPLED_RATIO = 0.1
INTERVAL_MILLISECONDS = 60_000
# A stop does not wait longer for collectors that do not respond, for all of them together.
FLUSH_SECONDS_MAX = 5.0

Flush = Callable[[], object]

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def exporting(
    telemetry: Telemetry, *, flush_seconds: Callable[[], float] = lambda: FLUSH_SECONDS_MAX
) -> Iterator[None]:
    """Send telemetry while the block lasts, and the rest at its end, within `flush_seconds`.

    Nothing is sent if no endpoint is set.
    """
    flushes = list[Flush]()
    try:
        with _exporting(telemetry, flushes):
            yield
    finally:
        _run_all(flushes, seconds=flush_seconds())


@contextlib.contextmanager
def _exporting(telemetry: Telemetry, flushes: list[Flush]) -> Iterator[None]:
    """Send telemetry while the block lasts. What sends the rest is added to `flushes`."""
    with contextlib.ExitStack() as stack:
        if _is_exported("TRACES"):
            stack.enter_context(_traces(telemetry, flushes))
        if application_insights.CONNECTION in os.environ and not _is_disabled():
            increments = application_insights.Increments()
            exporter = application_insights.exporter()
            stack.enter_context(_metrics(telemetry, exporter, flushes=flushes, transform=increments.since_last_call))
        elif _is_exported("METRICS"):
            stack.enter_context(_metrics(telemetry, _metric_exporter(), flushes=flushes))
        if _is_exported("LOGS"):
            stack.enter_context(_logs(flushes))
        yield


def check_environment() -> None:
    """Build what exports telemetry, and discard it. Raises `EnvironmentVariableError` if that is not possible."""
    try:
        if _is_exported("TRACES"):
            _ratio()
            _tracer_provider().shutdown()
        if _is_exported("LOGS"):
            _logger_provider().shutdown()
        if application_insights.CONNECTION in os.environ and not _is_disabled():
            application_insights.exporter().shutdown()
        elif _is_exported("METRICS"):
            _interval_seconds()
            _metric_exporter().shutdown()
    except EnvironmentVariableError:
        raise
    except Exception as failure:  # noqa: BLE001  # each library has classes of its own
        names = [
            name for name in sorted(os.environ) if name.startswith("OTEL_") or name == application_insights.CONNECTION
        ]
        raise EnvironmentVariableError(
            f"Telemetry cannot be exported: {str(failure).rstrip('.')}. Correct or remove one of: {', '.join(names)}."
        ) from None


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
def _traces(telemetry: Telemetry, flushes: list[Flush]) -> Iterator[None]:
    ratio, rng, provider = _ratio(), random.random, _tracer_provider()
    flushes.append(provider.shutdown)
    with telemetry.tracing(provider.get_tracer(SCOPE), is_sampled=lambda: rng() < ratio):
        yield


def _ratio() -> float:
    return _number("OTEL_TRACES_SAMPLER_ARG", SAMPLED_RATIO, least=0.0, greatest=1.0)


def _tracer_provider() -> TracerProvider:
    provider = TracerProvider(resource=_resource(), sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_span_exporter()))
    return provider


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
def _logs(flushes: list[Flush]) -> Iterator[None]:
    provider = _logger_provider()
    handler, root = logs.OpenTelemetryHandler(provider.get_logger(SCOPE)), logging.getLogger()
    flushes.append(provider.shutdown)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _logger_provider() -> LoggerProvider:
    provider = LoggerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(_log_exporter()))
    return provider


def _log_exporter() -> LogRecordExporter:
    if _is_grpc("LOGS"):
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http  # noqa: PLC0415

    return Http()


@contextlib.contextmanager
def _metrics(
    telemetry: Telemetry,
    exporter: MetricExporter,
    *,
    flushes: list[Flush],
    transform: Callable[[MetricsData], MetricsData] | None = None,
) -> Iterator[None]:
    """Run a thread that sends all measurements at intervals: they are few, however many requests there were."""
    resource, start = _resource(), time.time_ns()
    seconds, end = _interval_seconds(), threading.Event()

    def send() -> None:
        try:
            totals = measurements(telemetry, resource, since=start)
            exporter.export(transform(totals) if transform else totals)
        except Exception:  # noqa: BLE001  # the next one may get through
            _log.exception("measurements could not be sent")

    def send_at_intervals() -> None:
        while not end.wait(seconds):
            send()

    def flush() -> None:
        send()
        exporter.shutdown(1_000)

    flushes.append(flush)
    threading.Thread(target=send_at_intervals, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        end.set()


def _interval_seconds() -> float:
    day = 86_400_000.0
    return _number("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MILLISECONDS, least=1.0, greatest=day) / 1_000


def _number(name: str, default: float, *, least: float, greatest: float) -> float:
    """Return the number in a variable. An empty one counts as absent, as in the SDK."""
    text = os.environ.get(name) or str(default)
    with contextlib.suppress(ValueError):
        if least <= (number := float(text)) <= greatest:
            return number
    raise EnvironmentVariableError(f"{name}={text}: must be a number from {least:g} to {greatest:g}")


def _run_all(flushes: Sequence[Flush], *, seconds: float) -> None:
    """Run work that may hang, all at the same time, and wait for it no longer than this."""
    threads = [threading.Thread(target=flush, daemon=True) for flush in flushes]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
