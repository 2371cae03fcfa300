"""The middleware: one server span, one measurement and one log line a request."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from eventfeed.telemetry.telemetry import Telemetry

# ASGI: each framework has types of its own for the three arguments of an application.
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

UNMATCHED = "unmatched"

_log = logging.getLogger("eventfeed.requests")

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
_OTHER = "_OTHER"


class RequestTelemetry:
    """Measures, traces and logs the requests of an ASGI application, by their routes: paths hold ids."""

    def __init__(self, application: ASGIApp, telemetry: Telemetry) -> None:
        self._application, self._telemetry = application, telemetry

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Respond as the application does."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        status, start, telemetry = 500, time.perf_counter(), self._telemetry

        async def send_and_note_status(message: Any) -> None:
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


def _traceparent(scope: Any) -> str:
    values = [value for name, value in scope["headers"] if name == b"traceparent"]
    return str(values[0].decode("latin-1")) if len(values) == 1 else ""
