"""The newest traces, as their spans come in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

TRACES_MAX = 300
SPANS_MAX = 200


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A span: times in ms since 1970; `links` are other traces that it has to do with."""

    id: str
    parent: str
    name: str
    service: str
    start: float
    milliseconds: float
    failed: bool
    attributes: Mapping[str, str | int | float | bool]
    links: Sequence[str]


class Traces:
    """So many traces, the newest; each with so many spans."""

    def __init__(self) -> None:
        self._traces: dict[str, list[Seen]] = {}

    def take(self, sent: Any) -> None:
        """Keep the spans of an export request."""
        for resource in sent.resource_spans:
            service = values(resource.resource.attributes).get("service.name", "")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._keep(span.trace_id.hex(), _seen(span, str(service)))

    def _keep(self, trace: str, span: Seen) -> None:
        spans = self._traces.setdefault(trace, [])
        if len(spans) < SPANS_MAX:
            spans.append(span)
        while len(self._traces) > TRACES_MAX:
            del self._traces[next(iter(self._traces))]

    def newest(self, count: int, *, also: str = "") -> Sequence[Mapping[str, object]]:
        """The traces that began last, the newest first, each with its spans in the order they began; and one more."""
        ordered = {trace: sorted(spans, key=lambda span: span.start) for trace, spans in self._traces.items()}
        newest = sorted(ordered, key=lambda trace: -ordered[trace][0].start)[:count]
        newest += [also] if also in ordered and also not in newest else []
        return [{"id": trace, "spans": ordered[trace], "followed": self._followed(trace)} for trace in newest]

    def _followed(self, trace: str) -> Sequence[str]:
        """The traces that link to this one: who read what was published in it."""
        return [other for other, spans in self._traces.items() if any(trace in span.links for span in spans)]


def values(attributes: Iterable[Any]) -> dict[str, str | int | float | bool]:
    """OTLP's attributes as a table."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in attributes}


def _seen(span: Any, service: str) -> Seen:
    return Seen(
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        start=span.start_time_unix_nano / 1e6,
        milliseconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes=values(span.attributes),
        links=[link.trace_id.hex() for link in span.links],
    )
