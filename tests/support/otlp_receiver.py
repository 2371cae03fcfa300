"""A receiver of OTLP over HTTP, as any backend has one, and of Application Insights: keeps what it is sent."""

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

SECONDS_MAX = 20.0


class Seen(NamedTuple):
    """A span: whose trace, what it was, and the traces it is linked to."""

    trace: str
    name: str
    kind: int
    attributes: Mapping[str, object]
    links: frozenset[str]
    parent: str
    id: str


class Receiver(ThreadingHTTPServer):
    """Keeps spans, and the newest of each series of measurements. It can be told not to answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans = list[Seen]()
        self.series: dict[tuple[str, tuple[tuple[str, object], ...]], Any] = {}
        self.requests, self.silent = 0, threading.Event()
        self.logs = list[tuple[str, str]]()
        self.bodies = list[bytes]()
        self.rows = list[dict[str, Any]]()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what is being sent."""
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.02)

    def names(self) -> set[str]:
        """The metrics that came."""
        return {name for name, _ in self.series}

    def take(self, path: str, body: bytes) -> None:
        """Keep what was sent."""
        self.requests += 1
        self.bodies.append(body)
        match path:
            case "/v1/traces":
                self._take_spans(ExportTraceServiceRequest.FromString(body))
            case "/v1/logs":
                self._take_logs(ExportLogsServiceRequest.FromString(body))
            case "/v1/metrics":
                self._take_metrics(ExportMetricsServiceRequest.FromString(body))
            case "/v2.1/track":
                self.rows += [each["data"]["baseData"] for each in json.loads(body)]

    def _take_spans(self, sent: Any) -> None:
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_seen(span) for span in scope.spans]

    def _take_logs(self, sent: Any) -> None:
        for resource in sent.resource_logs:
            for scope in resource.scope_logs:
                self.logs += [(each.body.string_value, each.trace_id.hex()) for each in scope.log_records]

    def _take_metrics(self, sent: Any) -> None:
        for resource in sent.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        self.series[metric.name, tuple(sorted(_values(point.attributes).items()))] = point


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Take what is sent."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.silent.is_set():
            time.sleep(SECONDS_MAX)
        self.server.take(self.path, body)
        answer = b'{"itemsReceived": 1, "itemsAccepted": 1, "errors": []}' if self.path == "/v2.1/track" else b""
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if answer else "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _seen(span: Any) -> Seen:
    return Seen(
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
    """A receiver while the block lasts."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


@contextmanager
def agent(receiver: Receiver) -> Iterator[str]:
    """Where an agent listens that takes spans and logs by gRPC alone, for the receiver, while the block lasts."""
    services = {
        "opentelemetry.proto.collector.trace.v1.TraceService": "/v1/traces",
        "opentelemetry.proto.collector.logs.v1.LogsService": "/v1/logs",
    }
    server = grpc.server(ThreadPoolExecutor(2))
    for service, path in services.items():

        def take(body: bytes, _: object, path: str = path) -> bytes:
            receiver.take(path, body)
            return b""

        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Export": grpc.unary_unary_rpc_method_handler(take)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(grace=None).wait()


def sending_to(receiver: Receiver, *, ratio: float = 1.0) -> Mapping[str, str]:
    """The settings of a service that sends everything there, often."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_TRACES_SAMPLER_ARG": str(ratio),
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
