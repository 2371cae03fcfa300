"""Routes whose handler takes the request and gives the answer, and nothing else.

The framework finds the route and turns failures into answers. What it does between for signatures, dependencies and
conversions takes as long as all of this service's own work on a poll, so these handlers stand before it, as middleware.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Middleware

from eventfeed.http.request import AnyRequest

Handler = Callable[[AnyRequest], Awaitable[Response[bytes]]]


def getting(path: str) -> Callable[[Handler], HTTPRouteHandler]:
    """Answer GET requests of this path."""
    return lambda handler: get(path, middleware=[_before(handler)])(_never)


def posting(path: str | Sequence[str]) -> Callable[[Handler], HTTPRouteHandler]:
    """Answer POST requests of this path, or of these."""
    return lambda handler: post(path, middleware=[_before(handler)])(_never)


def _before(handler: Handler) -> Middleware:
    async def answered(*connection: Any) -> None:  # scope, receive and send of ASGI
        request: AnyRequest = Request(*connection)
        answer = await handler(request)
        await answer.to_asgi_response(app=None, request=request)(*connection)

    def factory(app: ASGIApp) -> ASGIApp:  # noqa: ARG001  # what stands behind is never asked
        return answered

    return factory


async def _never() -> None:
    """What the framework would call."""
