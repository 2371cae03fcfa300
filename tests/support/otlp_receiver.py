"""A receiver of OTLP over HTTP and of Application Insights: it keeps everything that is sent to it."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.waiting import wait_until

# Longer than the requests of a test take on a busy machine.
HANG_SECONDS = 120.0


class ReceivedSpan(NamedTuple):
    """A span, with the trace ids that it is linked to."""

    trace: str
    name: str
    kind: int
    attributes: Mapping[str, object]
    links: frozenset[str]
    parent: str
    id: str


class Receiver(ThreadingHTTPServer):
    """A server that keeps spans, log lines and the newest point of each series. With `hang` set it does not respond."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans = list[ReceivedSpan]()
        self.series: dict[tuple[str, tuple[tuple[str, object], ...]], Any] = {}
        self.requests, self.hang = 0, threading.Event()
        self.logs = list[tuple[str, str]]()
        self.bodies = list[bytes]()
        self.rows = list[dict[str, Any]]()

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for data."""
        wait_until(condition)

    def names(self) -> set[str]:
        """Return the names of the metrics that were received."""
        return {name for name, _ in self.series}

    def receive(self, path: str, body: bytes) -> None:
        """Keep the data of a request."""
        self.requests += 1
        self.bodies.append(body)
        match path:
            case "/v1/traces":
                self._add_spans(ExportTraceServiceRequest.FromString(body))
            case "/v1/logs":
                self._add_logs(ExportLogsServiceRequest.FromString(body))
            case "/v1/metrics":
                self._add_metrics(ExportMetricsServiceRequest.FromString(body))
            case "/v2.1/track":
                self.rows += [each["data"]["baseData"] for each in json.loads(body)]

    def _add_spans(self, request: Any) -> None:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_span(span) for span in scope.spans]

    def _add_logs(self, request: Any) -> None:
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                self.logs += [(each.body.string_value, each.trace_id.hex()) for each in scope.log_records]

    def _add_metrics(self, request: Any) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        self.series[metric.name, tuple(sorted(_values(point.attributes).items()))] = point


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Receive a request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.hang.is_set():
            time.sleep(HANG_SECONDS)
        self.server.receive(self.path, body)
        content = b'{"itemsReceived": 1, "itemsAccepted": 1, "errors": []}' if self.path == "/v2.1/track" else b""
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if content else "application/x-protobuf")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _span(span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        trace=span.trace_id.hex(),
        name=span.name,
        kind=span.kind,
        attributes=_values(span.attributes),
        links=frozenset(link.trace_id.hex() for link in span.links),
        parent=span.parent_span_id.hex(),
        id=span.span_id.hex(),
    )


def _values(attributes: Any) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver while the block lasts."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


@contextmanager
def grpc_agent(receiver: Receiver) -> Iterator[str]:
    """Run an agent that receives spans and logs by gRPC for the receiver. Yields its URL."""
    services = {
        "opentelemetry.proto.collector.trace.v1.TraceService": "/v1/traces",
        "opentelemetry.proto.collector.logs.v1.LogsService": "/v1/logs",
    }
    server = grpc.server(ThreadPoolExecutor(2))
    for service, path in services.items():

        def export(body: bytes, _: object, path: str = path) -> bytes:
            receiver.receive(path, body)
            return b""

        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(grace=None).wait()


def sending_to(receiver: Receiver, *, ratio: float = 1.0) -> Mapping[str, str]:
    """Return the settings of a service that sends everything to the receiver at short intervals."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_TRACES_SAMPLER_ARG": str(ratio),
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
