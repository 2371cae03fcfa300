"""Requests and the routes whose handlers take them.

The framework matches the route and turns exceptions into responses. Handlers run as middleware before its signature
parsing, dependency injection and conversions, which cost as much as the rest of a poll.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from litestar import HttpMethod, Request, Response
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Middleware

from eventfeed.domain.cloudevents import REQUEST_BYTES_MAX
from eventfeed.domain.errors import InvalidRequest, TooLarge
from eventfeed.http.response import BytesResponse

# Bytes of a body over its limit that are read and dropped before the response.
DRAIN_BYTES_MAX = 16 * REQUEST_BYTES_MAX
# A body of the full size over a line of 0.5 Mbit/s.
BODY_SECONDS_MAX = 30.0
# For requests that carry no events.
BODY_BYTES_MAX = 16 * 1024


class HttpRequest(Request[None, None, State]):
    """A request, with its headers as text, and a body that is bounded in bytes and time.

    `fields` holds the first value of each header, by its name in lower case.
    """

    def __init__(self, *connection: Any, **channels: Any) -> None:  # scope, receive and send of ASGI
        super().__init__(*connection, **channels)
        fields = reversed(list(self.scope["headers"]))
        self.fields: Mapping[str, str] = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}

    async def read(self, *, bytes_max: int) -> bytes:
        """Return the body. Raises `TooLarge` after reading a longer one, `InvalidRequest` if it does not arrive."""
        parts, length, more = list[bytes](), 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                while more and length <= DRAIN_BYTES_MAX:
                    message = await self.receive()
                    if message["type"] != "http.request":
                        raise InvalidRequest("The request ended before its body did.")
                    part = message.get("body", b"")
                    length += len(part)
                    if length <= bytes_max:
                        parts.append(part)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise InvalidRequest(f"The body did not arrive within {BODY_SECONDS_MAX:.0f} seconds.") from None
        if length > bytes_max:
            raise TooLarge(f"The body of this request must not exceed {bytes_max} bytes.")
        return b"".join(parts)


HttpResponse = Response[bytes] | Response[str] | Response[None] | BytesResponse
Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]
Route = Callable[[Handler], HTTPRouteHandler]


def get(path: str | Sequence[str]) -> Route:
    """Route GET requests of a path, or of several, to a handler."""
    return _route(HttpMethod.GET, path)


def post(path: str | Sequence[str]) -> Route:
    """Route POST requests of a path, or of several, to a handler."""
    return _route(HttpMethod.POST, path)


def put(path: str) -> Route:
    """Route PUT requests of a path to a handler."""
    return _route(HttpMethod.PUT, path)


def delete(path: str) -> Route:
    """Route DELETE requests of a path to a handler."""
    return _route(HttpMethod.DELETE, path)


def _route(method: HttpMethod, path: str | Sequence[str]) -> Route:
    return lambda handler: HTTPRouteHandler(path, http_method=method, middleware=[_middleware(handler)])(_unreachable)


def _middleware(handler: Handler) -> Middleware:
    async def respond(*connection: Any) -> None:  # scope, receive and send of ASGI
        request, send = HttpRequest(*connection), connection[-1]
        response = await handler(request)
        if isinstance(response, BytesResponse):
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
            await send({"type": "http.response.body", "body": response.body, "more_body": False})
        else:
            await response.to_asgi_response(app=None, request=request)(*connection)

    def factory(app: ASGIApp) -> ASGIApp:  # noqa: ARG001  # the handler replaces the rest of the stack
        return respond

    return factory


async def _unreachable() -> None:
    """Stand in for the handler function that the framework requires."""
