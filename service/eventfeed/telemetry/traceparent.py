"""The only parser of `traceparent` (W3C Trace Context §3.2), and its printer."""

from opentelemetry.trace import SpanContext, TraceFlags, get_current_span

from eventfeed.domain.grammar import TRACEPARENT


def parse_traceparent(traceparent: str, *, is_remote: bool = True) -> SpanContext | None:
    """Return the span that a `traceparent` names, None if it is malformed. `is_remote`: it is of another process."""
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    flags = TraceFlags(int(match["flags"], 16) & TraceFlags.SAMPLED)
    return SpanContext(int(match["trace"], 16), int(match["span"], 16), is_remote=is_remote, trace_flags=flags)


def current_traceparent() -> str:
    """Return the `traceparent` of the current span, "" if there is none."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
