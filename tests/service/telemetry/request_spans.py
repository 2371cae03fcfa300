"""A request in progress, for tests of its spans."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span

from eventfeed.telemetry.telemetry import Telemetry


@contextmanager
def request_span(telemetry: Telemetry, method: str, traceparent: str) -> Iterator[Span | None]:
    """Run the block within a request; provides its span, None if the request is not sampled."""
    request = telemetry.begin_request(method, traceparent)
    try:
        yield request.span if request and request.is_sampled else None
    finally:
        telemetry.end_request(method, "/", status=200, seconds=0.0, request=request)
