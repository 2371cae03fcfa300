"""Conversion between steps and httpx, for both drivers."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from eventfeed.client.errors import FeedError, UnreachableError
from eventfeed.client.steps import ConnectionFailure, Request, Response
from eventfeed.network import certificates, is_loopback, proxy_of

CONNECT_SECONDS_MAX = 10.0
# A page is at most 8 MiB, and takes a while over a slow line.
BODY_BYTES_MAX = 16 * 1024 * 1024
BODY_SECONDS_MAX = 300.0
# Errors of a request: of the connection, of the protocol, of the coding of its body, of the name of its host.
REQUEST_ERRORS = (httpx.RequestError, UnicodeError)


def client_options(url: str) -> dict[str, Any]:
    """Return the options of an httpx client for this URL: the proxy and certificates of the environment.

    A loopback address is reached without. Raises `EnvironmentVariableError` if they cannot be used.
    """
    try:
        if is_loopback(httpx.URL(url).host):
            return {"trust_env": False}
    except httpx.InvalidURL as failure:
        raise UnreachableError(f"this is not the URL of a service: {failure}") from None
    return {"trust_env": False, "proxy": proxy_of(url), "verify": certificates()}


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


def header_map(response: httpx.Response) -> Mapping[str, str]:
    """Return the headers of a response, their names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


class Body:
    """The body of a response, bounded in bytes and in time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._end = clock, clock() + BODY_SECONDS_MAX
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add a chunk. Raises `FeedError` if the body is too long, `httpx.ReadTimeout` if it is too slow."""
        self._content += chunk
        if len(self._content) > BODY_BYTES_MAX:
            raise FeedError(f"The response has more than {BODY_BYTES_MAX} bytes.")
        if self._clock() > self._end:
            raise httpx.ReadTimeout(f"the response was not complete after {BODY_SECONDS_MAX:.0f} s")

    def to_response(self, response: httpx.Response) -> Response:
        """Return the complete response as an outcome."""
        return Response(response.status_code, header_map(response), bytes(self._content))


def to_failure(error: Exception) -> ConnectionFailure:
    """Return a failed request as an outcome."""
    coding = "its body is not in its Content-Encoding: " if isinstance(error, httpx.DecodingError) else ""
    return ConnectionFailure(
        coding + (str(error) or type(error).__name__),
        is_timeout=isinstance(error, httpx.ReadTimeout),
        is_connect_failure=isinstance(
            error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol | UnicodeError
        ),
    )
