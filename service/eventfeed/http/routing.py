"""Routes whose handler takes a request and returns a response.

The framework matches the route and turns exceptions into responses. Handlers run as middleware before its signature
parsing, dependency injection and conversions, which cost as much as the rest of a poll.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from litestar import HttpMethod, Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Middleware

from eventfeed.http.request import AnyRequest

Handler = Callable[[AnyRequest], Awaitable[Response[Any]]]
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
        request: AnyRequest = Request(*connection)
        response = await handler(request)
        await response.to_asgi_response(app=None, request=request)(*connection)

    def factory(app: ASGIApp) -> ASGIApp:  # noqa: ARG001  # the handler replaces the rest of the stack
        return respond

    return factory


async def _unreachable() -> None:
    """Stand in for the handler function that the framework requires."""
