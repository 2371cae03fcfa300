"""The page and what it is made of: OTLP in, JSON out. For this machine alone; it keeps nothing when it ends."""

import gzip
import time
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get, post
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventfeed.devtools.charts import Charts
from eventfeed.devtools.traces import Traces

TRACES_SHOWN = 60

AnyRequest = Request[Any, Any, Any]  # nobody is authenticated here


def create() -> Litestar:
    """The application: what its process runs."""
    traces, charts = Traces(), Charts(time.time)

    @post("/v1/traces", status_code=200)
    async def take_traces(request: AnyRequest) -> Response[bytes]:
        traces.take(ExportTraceServiceRequest.FromString(await _body(request)))
        return Response(b"", media_type="application/x-protobuf")

    @post("/v1/metrics", status_code=200)
    async def take_metrics(request: AnyRequest) -> Response[bytes]:
        charts.take(ExportMetricsServiceRequest.FromString(await _body(request)))
        return Response(b"", media_type="application/x-protobuf")

    @post("/v1/logs", status_code=200)
    async def take_logs(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001  # they stand on the terminal
        return Response(b"", media_type="application/x-protobuf")

    @get("/data")
    async def data(request: AnyRequest) -> Response[bytes]:
        opened = request.query_params.get("open", "")
        told = {"traces": traces.newest(TRACES_SHOWN, also=opened), "charts": charts.lines()}
        return Response(msgspec.json.encode(told), media_type="application/json")

    @get("/")
    async def page(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001
        return Response(_own("page.html"), media_type="text/html; charset=utf-8")

    @get("/page.js")
    async def script(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001
        return Response(_own("page.js"), media_type="text/javascript; charset=utf-8")

    @get("/chart.js")
    async def chart(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001
        return Response(_chart(), media_type="text/javascript; charset=utf-8")

    return Litestar(
        [take_traces, take_metrics, take_logs, data, page, script, chart], openapi_config=None, logging_config=None
    )


async def _body(request: AnyRequest) -> bytes:
    body = await request.body()
    return gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body


def _own(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


def _chart() -> bytes:
    """Chart.js, as the package `chartkick` brings it; its own code is not needed."""
    spec = find_spec("chartkick")
    if spec is None or spec.submodule_search_locations is None:
        raise FileNotFoundError("chartkick")
    return Path(spec.submodule_search_locations[0], "django", "static", "chartkick", "Chart.bundle.js").read_bytes()
