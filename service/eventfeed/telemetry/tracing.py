"""Spans. Without tracing they cost next to nothing; with it, most requests have none, by the dice of the sampler."""

import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as ReadableSpan
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
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

# More events than this are not linked to from one page.
LINKS_MAX = 16

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

_CHARGE = "azure.cosmosdb.operation.request_charge"

CLIENT, INTERNAL = SpanKind.CLIENT, SpanKind.INTERNAL


class _Switch:
    """Who makes spans; nobody, until tracing is on."""

    tracer: Tracer | None = None


def use(tracer: Tracer | None) -> None:
    """Make spans with this tracer from now on, or none."""
    _Switch.tracer = tracer


@contextlib.contextmanager
def serving(method: str, traceparent: str) -> Iterator[Span | None]:
    """A server span while the block lasts, in the caller's trace where it names one; None when nothing is traced."""
    tracer = _Switch.tracer
    if tracer is None:
        yield None
        return
    span = tracer.start_span(method, context=_remote(traceparent), kind=SpanKind.SERVER)
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield span
    finally:
        context.detach(token)
        span.end()


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
    parents = [parsed for each in within if (parsed := _parsed(each)) and parsed.trace_flags.sampled]
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
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return ""
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


def origin(traceparent: str) -> str:
    """Where an event comes from: the trace that its publisher names, else the one that this is done in."""
    return traceparent if _parsed(traceparent) else here()


def link(traceparents: Iterable[str]) -> None:
    """Link what is being done to the traces of what it serves: the first so many that differ."""
    span = trace.get_current_span()
    linked = set[int]()
    for each in traceparents:
        found = _parsed(each)
        if found is not None and found.trace_id not in linked:
            span.add_link(found)
            linked.add(found.trace_id)
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


class Dice(Sampler):
    """Traces this part of all requests, whatever their callers want; what is done within one goes with it.

    A trace id is the caller's to choose, so it decides nothing either.
    """

    def __init__(self, ratio: float, *, dice: Callable[[], float]) -> None:
        self._ratio, self._dice = ratio, dice

    def should_sample(self, parent_context: Context | None, *given: Any, **_: object) -> SamplingResult:
        """See `Sampler.should_sample`."""
        parent = trace.get_current_span(parent_context).get_span_context()
        local = parent.is_valid and not parent.is_remote
        sampled = parent.trace_flags.sampled if local else self._dice() < self._ratio
        # The SDK gives trace id, name, kind and attributes in this order, and keeps what attributes come back.
        return SamplingResult(Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP, given[3])

    def get_description(self) -> str:
        """See `Sampler.get_description`."""
        return f"Dice({self._ratio})"


def _parsed(traceparent: str) -> SpanContext | None:
    """The context that a `traceparent` names (W3C Trace Context), None when it is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    flags = TraceFlags(int(found[3], 16) & TraceFlags.SAMPLED)
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=False, trace_flags=flags)


def _remote(traceparent: str) -> Context:
    found = _parsed(traceparent)
    if found is None:
        return Context()
    remote = SpanContext(found.trace_id, found.span_id, is_remote=True, trace_flags=found.trace_flags)
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())
