"""Spans of requests that are traced: the part of tracing that takes time."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as ReadableSpan
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from eventfeed.telemetry.traceparent import parse_traceparent

# A page is linked to the traces of so many events at most, a batch to so many publishes.
LINKS_MAX = 16

_CHARGE = "azure.cosmosdb.operation.request_charge"


def start_server_span(tracer: Tracer, method: str, *, parent: SpanContext | None) -> Span:
    """Start the span of a request, in the caller's trace if the request names one."""
    outside = Context()
    if parent is not None:
        outside = trace.set_span_in_context(NonRecordingSpan(parent), outside)
    return tracer.start_span(method, context=outside, kind=SpanKind.SERVER)


def describe_server_span(server_span: Span, method: str, *, route: str, status: int) -> None:
    """Name the span of a request and set its attributes (stable HTTP semantic conventions)."""
    server_span.update_name(f"{method} {route}")
    server_span.set_attributes(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        server_span.set_attribute("error.type", str(status))


@contextlib.contextmanager
def span(
    tracer: Tracer, name: str, *, kind: SpanKind, attributes: Mapping[str, str], parents: Sequence[SpanContext] = ()
) -> Iterator[None]:
    """Record the block as a span: a child of the first parent and linked to the others, or else of the current span."""
    inside = trace.set_span_in_context(NonRecordingSpan(parents[0])) if parents else None
    links = [Link(each) for each in parents[1 : LINKS_MAX + 1]]
    recording = tracer.start_span(name, context=inside, kind=kind, attributes=attributes, links=links)
    token = context.attach(trace.set_span_in_context(recording))
    is_complete = False
    try:
        yield
        is_complete = True
    finally:
        if not is_complete and (failure := sys.exc_info()[0]):
            # Never the message of the failure: it may hold data of a caller.
            recording.set_status(Status(StatusCode.ERROR, failure.__name__))
        context.detach(token)
        recording.end()


def link_current_span(traceparents: Iterable[str]) -> None:
    """Link the current span to the traces of the events that it returns: to the first `LINKS_MAX` different ones."""
    # Compared by their text, which holds the trace id at 3:35: to parse each takes longer than the page.
    current, trace_ids = trace.get_current_span(), set[str]()
    for each in traceparents:
        if each[3:35] in trace_ids or (origin := parse_traceparent(each)) is None:
            continue
        current.add_link(origin)
        trace_ids.add(each[3:35])
        if len(trace_ids) == LINKS_MAX:
            return


def add_charge(units: float) -> None:
    """Add request units of Cosmos DB to the current span."""
    current = trace.get_current_span()
    if isinstance(current, ReadableSpan) and current.is_recording():
        before = (current.attributes or {}).get(_CHARGE, 0.0)
        current.set_attribute(_CHARGE, float(str(before)) + units)
