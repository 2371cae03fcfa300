"""Conversion between steps and httpx, for both drivers."""

from typing import Any

import httpx

from eventfeed.client.steps import ConnectionFailure, Request, Response
from eventfeed.network import is_loopback

CONNECT_SECONDS_MAX = 10.0


def client_options(url: str) -> dict[str, Any]:
    """Return the options of an httpx client for this URL. A loopback address is reached without a proxy."""
    return {"trust_env": not is_loopback(httpx.URL(url).host)}


def build_request(http: httpx.Client | httpx.AsyncClient, request: Request, *, url: str) -> httpx.Request:
    """Return the request of httpx for a step."""
    timeout = httpx.Timeout(request.timeout_seconds, connect=CONNECT_SECONDS_MAX)
    return http.build_request(
        request.method, url + request.target, headers=request.headers, content=request.content, timeout=timeout
    )


def is_event_stream(response: httpx.Response, request: Request) -> bool:
    """True if the request is for an event stream and the body is one."""
    media_type = response.headers.get("content-type", "")
    return request.is_stream and response.status_code == httpx.codes.OK and media_type.startswith("text/event-stream")


def to_response(response: httpx.Response) -> Response:
    """Return the complete response as an outcome."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, response.content)


def to_failure(error: httpx.TransportError) -> ConnectionFailure:
    """Return a failed connection as an outcome."""
    return ConnectionFailure(
        str(error) or type(error).__name__,
        is_timeout=isinstance(error, httpx.ReadTimeout),
        is_connect_failure=isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol),
    )
