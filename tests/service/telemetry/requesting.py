"""A request that is being served, for what is done in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventfeed.telemetry.tracing import begin, end
from opentelemetry.trace import Span


@contextmanager
def serving(method: str, traceparent: str) -> Iterator[Span | None]:
    """A server span while the block lasts; None when the request is not traced."""
    served = begin(method, traceparent)
    try:
        yield served.span if served and served.wanted else None
    finally:
        if served:
            end(served)
