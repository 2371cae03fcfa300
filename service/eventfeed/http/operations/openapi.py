"""The OpenAPI document, a page for it that works without internet, and a page for each problem.

`python -m eventfeed.http.operations.openapi FOLDER` writes the document for the gateway, which imports it.
"""

import sys
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import msgspec
import yaml
from litestar import MediaType, Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_307_TEMPORARY_REDIRECT

from eventfeed.http.connections import Reset
from eventfeed.http.problems import KINDS, explanation_page
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.request import HttpRequest, get
from eventfeed.http.response import JSON, accepts_gzip, compress
from eventfeed.http.sending import LargeResponse, shared_memory

# Scripts and styles come from here alone; the page's icons are data: images.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
# Files of the page.
_ASSETS = {
    "swagger-ui.css": b"text/css; charset=utf-8",
    "swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    "favicon-32x32.png": b"image/png",
}


def schema_routes(public_url: PublicUrl, *, reset: Reset) -> list[HTTPRouteHandler]:
    """Return the routes of the OpenAPI document and its pages. `reset` ends the connection of a client."""
    openapi_document = document()
    page = files(__package__).joinpath("schema.html").read_text()
    script = files(__package__).joinpath("schema.js").read_text()

    @get("/")
    async def start(_: HttpRequest) -> Response[bytes]:
        return Response(b"", status_code=HTTP_307_TEMPORARY_REDIRECT, headers={"Location": "/schema"})

    @get("/schema/openapi.json")
    async def openapi(request: HttpRequest) -> Response[bytes]:
        servers = [{"url": public_url.base(request.host)}]
        return Response(msgspec.json.encode({**openapi_document, "servers": servers}), media_type=JSON)

    @get("/schema")
    async def schema_page(_: HttpRequest) -> Response[str]:
        return Response(page, media_type=MediaType.HTML, headers={"Content-Security-Policy": _POLICY})

    @get("/schema/page.js")
    async def schema_script(_: HttpRequest) -> Response[str]:
        return Response(script, media_type="text/javascript")

    @get("/problems/{code:str}")
    async def problem(request: HttpRequest) -> Response[bytes]:
        code = request.path_params["code"]
        if code not in KINDS:
            raise NotFoundException
        return Response(explanation_page(code), media_type=MediaType.HTML)

    return [start, openapi, schema_page, schema_script, problem, _asset_route(reset)]


def _asset_route(reset: Reset) -> HTTPRouteHandler:
    bodies = {name: (_swagger_ui() / name).read_bytes() for name in _ASSETS}
    compressed_bodies = dict[str, bytes]()  # those that a client has asked for

    @get("/schema/assets/{name:str}")
    async def asset(request: HttpRequest) -> Response[bytes]:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise NotFoundException
        headers = [
            (b"content-type", _ASSETS[name]),
            (b"cache-control", b"max-age=3600"),
            (b"vary", b"Accept-Encoding"),
        ]
        body = bodies[name]
        if accepts_gzip(request.fields.get("accept-encoding", "")):
            if name not in compressed_bodies:
                compressed_bodies[name] = await compress(body)
            body = compressed_bodies[name]
            headers.append((b"content-encoding", b"gzip"))
        return LargeResponse(headers, [body], memory=shared_memory, reset=reset, compresses=False)

    return asset


def document() -> Mapping[str, object]:
    """Return the OpenAPI 3.1 document without its servers."""
    text = files(__package__).joinpath("openapi.yaml").read_text()
    return msgspec.convert(yaml.load(text, yaml.CSafeLoader), dict[str, object])


def _swagger_ui() -> Path:
    """Return the files of Swagger UI in the package `swagger-ui-py`, whose code is not used."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("swagger-ui-py is not installed")
    return Path(spec.submodule_search_locations[0]) / "static"


if __name__ == "__main__":
    openapi = msgspec.json.format(msgspec.json.encode(document()), indent=2)
    Path(sys.argv[1], "openapi.json").write_bytes(openapi + b"\n")
