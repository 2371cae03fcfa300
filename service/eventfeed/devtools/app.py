"""The page: it receives OTLP, returns JSON and serves its files, on this machine only. Nothing is stored."""

import gzip
import time
from collections.abc import Mapping
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

NEWEST_TRACES = 60

AnyRequest = Request[Any, Any, Any]  # no user, no authentication, no state


def create() -> Litestar:
    """Return the application: the factory of its process."""
    traces, charts, assets = Traces(), Charts(time.time), _assets()

    @post("/v1/traces", status_code=200)
    async def add_traces(request: AnyRequest) -> Response[bytes]:
        traces.add(ExportTraceServiceRequest.FromString(await _body(request)))
        return Response(b"", media_type="application/x-protobuf")

    @post("/v1/metrics", status_code=200)
    async def add_metrics(request: AnyRequest) -> Response[bytes]:
        charts.add(ExportMetricsServiceRequest.FromString(await _body(request)))
        return Response(b"", media_type="application/x-protobuf")

    @post("/v1/logs", status_code=200)
    async def ignore_logs(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001  # they are on the terminal
        return Response(b"", media_type="application/x-protobuf")

    @get("/data")
    async def data(request: AnyRequest) -> Response[bytes]:
        newest = traces.newest(NEWEST_TRACES, also=request.query_params.get("open", ""))
        content = {"traces": newest, "charts": charts.lines()}
        return Response(msgspec.json.encode(content), media_type="application/json")

    @get(list(assets))
    async def asset(request: AnyRequest) -> Response[bytes]:
        content, media_type = assets[request.scope["path_template"]]
        return Response(content, media_type=f"{media_type}; charset=utf-8")

    return Litestar([add_traces, add_metrics, ignore_logs, data, asset], openapi_config=None, logging_config=None)


async def _body(request: AnyRequest) -> bytes:
    body = await request.body()
    return gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body


def _assets() -> Mapping[str, tuple[bytes, str]]:
    """Return the content and media type of each file of the page, by its path."""
    folder = files(__package__)
    return {
        "/": (folder.joinpath("page.html").read_bytes(), "text/html"),
        "/page.js": (folder.joinpath("page.js").read_bytes(), "text/javascript"),
        "/chart.js": (_chart_js(), "text/javascript"),
    }


def _chart_js() -> bytes:
    """Return Chart.js, a file of the package `chartkick`, without running that package."""
    spec = find_spec("chartkick")
    if spec is None or spec.submodule_search_locations is None:
        raise FileNotFoundError("chartkick")
    return Path(spec.submodule_search_locations[0], "django", "static", "chartkick", "Chart.bundle.js").read_bytes()
