"""The newest traces."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from cachetools import FIFOCache

TRACES_MAX = 300
SPANS_MAX = 200


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A span: its start in ms since 1970, and as `links` the ids of other traces."""

    id: str
    parent: str
    name: str
    service: str
    start: float
    milliseconds: float
    error: bool
    attributes: Mapping[str, str | int | float | bool]
    links: Sequence[str]


class Traces:
    """The newest `TRACES_MAX` traces, each with at most `SPANS_MAX` spans."""

    def __init__(self) -> None:
        self._traces = FIFOCache[str, list[Span]](TRACES_MAX)

    def add(self, request: Any) -> None:
        """Add the spans of an export request."""
        for resource in request.resource_spans:
            service = values(resource.resource.attributes).get("service.name", "")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    spans = self._traces.setdefault(span.trace_id.hex(), [])
                    if len(spans) < SPANS_MAX:
                        spans.append(_span(span, str(service)))

    def newest(self, count: int, *, also: str = "") -> Sequence[Mapping[str, object]]:
        """Return the traces that began last, the newest first, and the trace `also`. Spans are ordered by start."""
        spans = {trace: sorted(each, key=lambda span: span.start) for trace, each in self._traces.items()}
        newest = sorted(spans, key=lambda trace: -spans[trace][0].start)[:count]
        newest += [also] if also in spans and also not in newest else []
        return [{"id": trace, "spans": spans[trace], "readers": self._readers(trace)} for trace in newest]

    def _readers(self, trace: str) -> Sequence[str]:
        """Return the traces that link to this one: the pages with events that were published in it."""
        return [other for other, spans in self._traces.items() if any(trace in span.links for span in spans)]


def values(attributes: Iterable[Any]) -> dict[str, str | int | float | bool]:
    """Return OTLP attributes as a dictionary."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in attributes}


def _span(span: Any, service: str) -> Span:
    return Span(
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        start=span.start_time_unix_nano / 1e6,
        milliseconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
        error=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=values(span.attributes),
        links=[link.trace_id.hex() for link in span.links],
    )
