"""The newest traces of the page: in order, with the traces of their readers, and of a bounded number."""

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Span, Tracer

from eventfeed.devtools import traces as module
from eventfeed.devtools.traces import Traces


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """The spans that a service exports."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Tracer:
    """The tracer of a service."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test")


def trace_id(span: Span) -> str:
    """Return the trace id of a span."""
    return f"{span.get_span_context().trace_id:032x}"


def test_trace_of_a_publish_names_the_traces_of_its_readers(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    """The span of a page is linked to the traces of its events. The newest trace is the first."""
    publish = tracer.start_span("publish")
    publish.end()
    page = tracer.start_span("page", links=[Link(publish.get_span_context())])
    page.end()
    traces = Traces()
    traces.add(encode_spans(exporter.get_finished_spans()))

    assert [(trace_id(page), []), (trace_id(publish), [trace_id(page)])] == [
        (each["id"], each["readers"]) for each in traces.newest(9)
    ]
    assert [trace_id(page), trace_id(publish)] == [each["id"] for each in traces.newest(1, also=trace_id(publish))]


def test_traces_keep_a_bounded_number_of_traces_and_spans(
    tracer: Tracer, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest trace is evicted, and further spans of a trace are dropped."""
    monkeypatch.setattr(module, "TRACES_MAX", 3)
    monkeypatch.setattr(module, "SPANS_MAX", 2)
    for _ in range(5):
        with tracer.start_as_current_span("request"):
            for _ in range(4):
                tracer.start_span("part").end()
    traces = Traces()
    traces.add(encode_spans(exporter.get_finished_spans()))

    assert 3 == len(traces.newest(9))
    assert all(2 == len(each["spans"]) for each in traces.newest(9))  # type: ignore[arg-type]  # a table
