"""Spans. Without tracing they cost next to nothing; with it, most requests have none, and those cost little more.

Which requests are traced is decided by dice here, whatever their callers want: neither a flag nor a trace id, which is
theirs to choose, decides anything. The SDK's samplers are asked too late: a span that is not wanted costs them 5 us.
"""

import contextlib
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import Token
from typing import NamedTuple

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as ReadableSpan
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)

from eventfeed.domain.event import TRACEPARENT_LENGTH

# More events than this are not linked to from one page.
LINKS_MAX = 16

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

_CHARGE = "azure.cosmosdb.operation.request_charge"

CLIENT, INTERNAL = SpanKind.CLIENT, SpanKind.INTERNAL


class _Switch:
    """Who makes spans, and for which requests; nobody, until tracing is on."""

    tracer: Tracer | None = None
    sampled: Callable[[], bool] = staticmethod(lambda: True)


def use(tracer: Tracer | None, *, sampled: Callable[[], bool] = _Switch.sampled) -> None:
    """Make spans with this tracer from now on, or none; for requests where `sampled` says so."""
    _Switch.tracer, _Switch.sampled = tracer, staticmethod(sampled)


class Served(NamedTuple):
    """A request that is being served: its span, whether anybody wants it, and how to leave it."""

    span: Span
    wanted: bool
    token: Token[Context]


def on() -> bool:
    """Whether anything is traced at all."""
    return _Switch.tracer is not None


def begin(method: str, traceparent: str) -> Served | None:
    """Begin a server span, in the caller's trace where it names one; None when nothing is traced. See `end`.

    Not a context manager: that costs a microsecond, and every request goes through here.
    """
    tracer = _Switch.tracer
    if tracer is None:
        return None
    wanted = _Switch.sampled()
    if wanted:
        span = tracer.start_span(method, context=_remote(traceparent), kind=SpanKind.SERVER)
    else:
        span = _unwanted(traceparent)
    return Served(span, wanted, context.attach(trace.set_span_in_context(span)))


def end(served: Served) -> None:
    """End what `begin` began."""
    context.detach(served.token)
    served.span.end()


@contextlib.contextmanager
def doing(
    name: str,
    *,
    kind: SpanKind = INTERNAL,
    attributes: Mapping[str, str | int | float] | None = None,
    within: Sequence[str] = (),
) -> Iterator[Span | None]:
    """A span of something done while the block lasts, in the first of the traces `within`, linked to the others.

    Without those it is a part of what is being done already; where that is not traced, neither is this.
    """
    tracer = _Switch.tracer
    parents = [parsed for each in within if each and (parsed := _parsed(each)) and parsed.trace_flags.sampled]
    inside = NonRecordingSpan(parents[0]) if parents else trace.get_current_span()
    if tracer is None or not inside.get_span_context().trace_flags.sampled:
        yield None
        return
    links = [Link(each) for each in parents[1 : LINKS_MAX + 1]]
    span = tracer.start_span(
        name, context=trace.set_span_in_context(inside), kind=kind, attributes=attributes, links=links
    )
    token = context.attach(trace.set_span_in_context(span))
    done = False
    try:
        yield span
        done = True
    finally:
        if not done and (failed := sys.exc_info()[0]):
            # Never its message, which may hold what a caller sent.
            span.set_status(Status(StatusCode.ERROR, failed.__name__))
        context.detach(token)
        span.end()


def here() -> str:
    """The trace and span that this is done in, as a `traceparent`; "" where nothing is traced."""
    if _Switch.tracer is None:
        return ""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return ""
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


def origin(traceparent: str) -> str:
    """Where an event comes from: the trace that its publisher names, else this one, when it is traced; or ""."""
    if traceparent and _parsed(traceparent):
        # What another version adds has no bound, and says nothing here.
        return traceparent[:TRACEPARENT_LENGTH]
    return here() if recording() else ""


def link(traceparents: Iterable[str]) -> None:
    """Link what is being done to the traces of what it serves: the first so many that differ."""
    # Told apart by their text, in which the trace id has its place: to parse each takes longer than the page.
    span, linked = trace.get_current_span(), set[str]()
    for each in traceparents:
        if each[3:35] in linked or (parsed := _parsed(each)) is None:
            continue
        span.add_link(parsed)
        linked.add(each[3:35])
        if len(linked) == LINKS_MAX:
            return


def charged(units: float) -> None:
    """Add request units of Cosmos DB to what is being done."""
    span = trace.get_current_span()
    if isinstance(span, ReadableSpan) and span.is_recording():
        before = (span.attributes or {}).get(_CHARGE, 0.0)
        span.set_attribute(_CHARGE, float(str(before)) + units)


def recording() -> bool:
    """Whether what is being done is traced."""
    return _Switch.tracer is not None and trace.get_current_span().is_recording()


def _parsed(traceparent: str) -> SpanContext | None:
    """The context that a `traceparent` names (W3C Trace Context), None when it is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    flags = TraceFlags(int(found[3], 16) & TraceFlags.SAMPLED)
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=False, trace_flags=flags)


def _unwanted(traceparent: str) -> Span:
    """No span, but ids for what is logged."""
    found = _parsed(traceparent)
    trace_id = found.trace_id if found else random.getrandbits(128)
    return NonRecordingSpan(SpanContext(trace_id, random.getrandbits(64), is_remote=False))


def _remote(traceparent: str) -> Context:
    found = _parsed(traceparent)
    if found is None:
        return Context()
    remote = SpanContext(found.trace_id, found.span_id, is_remote=True, trace_flags=found.trace_flags)
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())
