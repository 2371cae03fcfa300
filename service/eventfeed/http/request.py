"""Requests and the routes whose handlers take them.

The framework matches the route and turns exceptions into responses. Handlers run as middleware before its signature
parsing, dependency injection and conversions, which cost as much as the rest of a poll.
"""

import asyncio
import contextlib
import functools
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from litestar import HttpMethod, Request, Response
from litestar.connection.base import empty_receive, empty_send
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Middleware, Receive, Send

from eventfeed.domain.cloudevents import REQUEST_BYTES_MAX
from eventfeed.domain.errors import Fault, InvalidRequest, TooLarge
from eventfeed.http.body import decode_content, invalid_body
from eventfeed.http.response import BytesResponse, parse_media_type

# Bytes of a body over its limit that are read and dropped before the response.
DRAIN_BYTES_MAX = 16 * REQUEST_BYTES_MAX
# A body of the full size over a line of 0.5 Mbit/s.
BODY_SECONDS_MAX = 30.0
# For requests that carry no events.
BODY_BYTES_MAX = 16 * 1024

# Bytes of path and query. RFC 9110 §4.1 asks for 8,000; the HTTP server itself takes 65,534.
URL_LENGTH_MAX = 16 * 1024
# A separator that a path component cannot hold without another meaning (RFC 3986 §2.2).
_ENCODED_SEPARATOR = re.compile(rb"%(?:2f|5c)", re.IGNORECASE)

# Characters of the headers that are keys of caches. A host name has at most 253 (RFC 1035 §2.3.4).
HEADER_LENGTH_MAX = 8 * 1024
_CACHED = ("accept", "accept-encoding", "content-type")
_HOST_LENGTH_MAX = 300
# Headers that are lists, and headers with a single value.
_LISTS = frozenset({"accept", "accept-encoding", "content-encoding", "if-none-match", "prefer"})
_SINGLE = frozenset(
    {
        "altinn-alternativesubject",
        "authorization",
        "content-type",
        "host",
        "last-event-id",
        "person",
        "platformaccesstoken",
    }
)


class HttpRequest(Request[None, None, State]):
    """A request, with its headers as text, and a body that is bounded in bytes and time.

    `fields` holds each header, by its name in lower case: lists joined, of others the first value (RFC 9110 §5.3).
    """

    def __init__(self, scope: HTTPScope, receive: Receive = empty_receive, *, send: Send = empty_send) -> None:
        # The framework's own method would prepare forms, cookies and a session, which no handler has.
        self.scope, self.receive, self.send = scope, receive, send
        lines = list(scope["headers"])
        self.fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(lines)}
        self.host = self.fields.get("host", "")[:_HOST_LENGTH_MAX]
        # Headers that must not be repeated, and are.
        self._repeated: Sequence[str] = ()
        if len(self.fields) < len(lines):
            self._join(lines)

    def _join(self, lines: Sequence[tuple[bytes, bytes]]) -> None:
        values = defaultdict[str, list[str]](list)
        for name, value in lines:
            values[name.decode("latin-1")].append(value.decode("latin-1"))
        self._repeated = sorted(name for name in _SINGLE if len(values.get(name, ())) > 1)
        self.fields |= {name: ", ".join(values[name]) for name in _LISTS & values.keys()}
        if len(values.get("traceparent", ())) > 1:  # no trace is better than the wrong one (W3C Trace Context §3.2)
            del self.fields["traceparent"]

    @property
    def media_type(self) -> str:
        """The media type of the body, see `parse_media_type`."""
        return parse_media_type(self.fields.get("content-type", ""))

    def check(self) -> None:
        """Refuse a path, query or header that no handler may see.

        Raises `InvalidRequest` for a repeated header or a missing Host (RFC 9110 §5.3, RFC 9112 §3.2), else 404, 414 or
        431.
        """
        path, query = self.scope["raw_path"], self.scope["query_string"]
        if len(path) + len(query) > URL_LENGTH_MAX:
            raise HTTPException(status_code=HTTPStatus.REQUEST_URI_TOO_LONG)
        if b"%" in path and _ENCODED_SEPARATOR.search(path):
            raise NotFoundException
        if self._repeated:
            faults = [Fault(parameter=name, detail="must not be repeated") for name in self._repeated]
            raise InvalidRequest(f"The request repeats {', '.join(self._repeated)}.", faults=faults)
        for name in _CACHED:  # a generator would cost every request twice as much
            if len(self.fields.get(name, "")) > HEADER_LENGTH_MAX:
                raise HTTPException(status_code=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if not self.host and self.scope["http_version"] == "1.1":  # granian adds an empty Host
            faults = [Fault(parameter="host", detail="is required")]
            raise InvalidRequest("The request has no Host header.", faults=faults)

    async def drain(self) -> None:
        """Read the body, unless it has been read: a client that is still sending would lose a refusal."""
        if self.method in ("GET", "HEAD") or "body_read" in self.scope.get("state", ()):
            return
        with contextlib.suppress(InvalidRequest, TooLarge):
            await self.read(bytes_max=0)

    async def read(self, *, bytes_max: int) -> bytes:
        """Return the body, without its content coding, see `decode_content`.

        Raises `TooLarge` after reading a longer one, `InvalidRequest` if it does not arrive.
        """
        self.scope.setdefault("state", {})["body_read"] = True
        parts, length, more = list[bytes](), 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                while more and length <= DRAIN_BYTES_MAX:
                    message = await self.receive()
                    if message["type"] != "http.request":
                        raise invalid_body("is not complete: the request ended before")
                    part = message.get("body", b"")
                    length += len(part)
                    if length <= bytes_max:
                        parts.append(part)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise invalid_body(f"did not arrive within {BODY_SECONDS_MAX:.0f} seconds") from None
        if length > bytes_max:
            raise TooLarge(f"The body of this request must not exceed {bytes_max} bytes.")
        body, coding = b"".join(parts), self.fields.get("content-encoding")
        return body if coding is None else decode_content(body, coding, bytes_max=bytes_max)


HttpResponse = Response[bytes] | Response[str] | Response[None] | BytesResponse
Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]
Route = Callable[[Handler], HTTPRouteHandler]
_RouteOf = Callable[[str | Sequence[str]], Route]


def _route(methods: Sequence[HttpMethod], path: str | Sequence[str]) -> Route:
    return lambda handler: HTTPRouteHandler(path, http_method=methods, middleware=[_middleware(handler)])(_unreachable)


def _middleware(handler: Handler) -> Middleware:
    async def respond(*connection: Any) -> None:  # scope, receive and send of ASGI
        scope, receive, send = connection
        request = HttpRequest(scope, receive, send=send)
        request.check()
        send = without_body(send) if scope["method"] == "HEAD" else send
        response = await handler(request)
        if isinstance(response, BytesResponse):
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
            await send({"type": "http.response.body", "body": response.body, "more_body": False})
        else:
            await response.to_asgi_response(app=None, request=request)(scope, receive, send)

    def factory(app: ASGIApp) -> ASGIApp:  # noqa: ARG001  # the handler replaces the rest of the stack
        return respond

    return factory


def without_body(send: Send) -> Send:
    """Return a `send` that drops the body of a response: that to HEAD has none (RFC 9110 §9.3.2)."""

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


async def _unreachable() -> None:
    """Stand in for the handler function that the framework requires."""


# Routes of a path, or of several, for each method. HEAD is as GET, without a body (RFC 9110 §9.3.2).
get: _RouteOf = functools.partial(_route, (HttpMethod.GET, HttpMethod.HEAD))
post: _RouteOf = functools.partial(_route, (HttpMethod.POST,))
put: _RouteOf = functools.partial(_route, (HttpMethod.PUT,))
delete: _RouteOf = functools.partial(_route, (HttpMethod.DELETE,))


def options_routes(routes: Iterable[HTTPRouteHandler]) -> Iterator[HTTPRouteHandler]:
    """Yield routes for OPTIONS, which list all methods of a path: the framework lists those of one handler."""
    methods = defaultdict[str, set[str]](lambda: {"OPTIONS"})
    for route in routes:
        for path in route.paths:
            methods[path] |= set(route.http_methods)
    for path, each in methods.items():
        response = BytesResponse(204, [(b"allow", ", ".join(sorted(each)).encode())])
        yield _route((HttpMethod.OPTIONS,), path)(functools.partial(_respond_with, response))


async def _respond_with(response: BytesResponse, _: HttpRequest) -> BytesResponse:
    return response
