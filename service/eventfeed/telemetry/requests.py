"""One server span and one measurement a request (stable HTTP semantic conventions), and nothing else."""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry.trace import Span

from eventfeed.telemetry.old_metrics import REQUEST_DURATION
from eventfeed.telemetry.telemetry import Telemetry
from eventfeed.telemetry.tracing import begin, end, on

# The messages of ASGI have no closer type.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

UNMATCHED = "unmatched"

_log = logging.getLogger("eventfeed.requests")

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
_OTHER = "_OTHER"


class RequestTelemetry:
    """Measures, traces and logs the requests of an ASGI application, by their routes: paths hold ids."""

    def __init__(self, application: ASGIApp, telemetry: Telemetry) -> None:
        self._application, self._telemetry = application, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond as the application does."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status, start, telemetry = 500, time.perf_counter(), self._telemetry

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        request = telemetry.begin_request(method, _traceparent(scope)) if telemetry.tracer is not None else None
        try:
            await self._application(scope, receive, send_and_note_status)
        finally:
            route, seconds = scope.get("path_template") or UNMATCHED, time.perf_counter() - start
            if _log.isEnabledFor(logging.INFO):
                _log.info("%s %s %d", method, route, status, extra={"seconds": round(seconds, 6)})
            telemetry.end_request(method, route, status=status, seconds=seconds, request=request)


class Observed:
    """An ASGI application, watched from outside. Routes are the application's, so that ids make no series."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, *connection: Any) -> None:
        """Answer as the application does."""
        if scope["type"] != "http":
            await self._application(scope, *connection)
            return
        receive, send = connection
        status, started = 500, time.perf_counter()

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        served = begin(method, _traceparent(scope)) if on() else None
        try:
            await self._application(scope, receive, sending)
        finally:
            route = scope.get("path_template") or UNMATCHED
            seconds = time.perf_counter() - started
            REQUEST_DURATION.record(seconds, method, route, status)
            if _log.isEnabledFor(logging.INFO):
                _log.info("%s %s %d", method, route, status, extra={"seconds": round(seconds, 6)})
            if served is not None:
                if served.wanted:
                    _describe(served.span, method=method, route=route, status=status)
                end(served)


def _describe(span: Span, *, method: str, route: str, status: int) -> None:
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= 500:
        span.set_attribute("error.type", str(status))


def _traceparent(scope: Any) -> str:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return str(value.decode("latin-1"))
    return ""
