"""Steps as requests of httpx: what both drivers share."""

from ipaddress import ip_address
from typing import Any

import httpx

from eventfeed.client.steps import Answer, Broken, Request

CONNECT_SECONDS_MAX = 10.0


def client_options(url: str) -> dict[str, Any]:
    """How a client of this service is made; a proxy of the environment is not asked for what is on this machine."""
    return {"trust_env": not _here(httpx.URL(url).host)}


def sent(http: httpx.Client | httpx.AsyncClient, request: Request, *, url: str) -> httpx.Request:
    """The request to send."""
    timeout = httpx.Timeout(request.seconds, connect=CONNECT_SECONDS_MAX)
    return http.build_request(
        request.method, url + request.target, headers=request.headers, content=request.content, timeout=timeout
    )


def streamed(response: httpx.Response) -> bool:
    """Whether an answer is a stream of events."""
    return response.status_code == httpx.codes.OK and response.headers.get("content-type", "").startswith(
        "text/event-stream"
    )


def answer_of(response: httpx.Response) -> Answer:
    """A whole answer."""
    return Answer(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
    )


def broken(failure: httpx.TransportError) -> Broken:
    """A connection that failed."""
    return Broken(
        str(failure) or type(failure).__name__,
        silent=isinstance(failure, httpx.ReadTimeout),
        refused=isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol),
    )


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
