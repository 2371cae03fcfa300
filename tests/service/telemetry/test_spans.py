"""Spans: which requests have them, and the traces that they belong to."""

import random
from collections.abc import Iterator

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from eventfeed.domain.page_entries import EntryList
from eventfeed.telemetry.spans import LINKS_MAX
from eventfeed.telemetry.telemetry import Telemetry
from eventfeed.telemetry.traceparent import current_traceparent
from tests.service.telemetry.request_spans import request_span
from tests.support.events import entry, event

TRACE = "ab" * 16
PARENT = f"00-{TRACE}-{'cd' * 8}-01"


@pytest.fixture
def ratio() -> float:
    """The share of requests that are sampled."""
    return 1.0


@pytest.fixture
def telemetry() -> Telemetry:
    """The telemetry of one process."""
    return Telemetry()


@pytest.fixture
def spans(telemetry: Telemetry, ratio: float) -> Iterator[InMemorySpanExporter]:
    """The spans that the telemetry records."""
    exporter = InMemorySpanExporter()
    rng, provider = random.Random(1), TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with telemetry.tracing(provider.get_tracer("test"), is_sampled=lambda: rng.random() < ratio):
        yield exporter


def test_inner_span_belongs_to_its_request(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """Both spans are in the caller's trace, and so is the `traceparent` that the events of the request get."""
    with request_span(telemetry, "GET", PARENT), telemetry.store_span("scan", engine="cosmos"):
        telemetry.store_responded("scan", 2.5)
        telemetry.store_responded("scan", 1.0)
        inner_traceparent = current_traceparent()
    scan, server = spans.get_finished_spans()

    assert (
        TRACE == f"{scan.context.trace_id:032x}" == f"{server.context.trace_id:032x}" == inner_traceparent.split("-")[1]
    )
    assert server.parent is not None
    assert "cd" * 8 == f"{server.parent.span_id:016x}"
    assert {"azure.cosmosdb.operation.request_charge": 3.5, "db.system.name": "cosmos"} == dict(scan.attributes or {})


@pytest.mark.parametrize(
    "traceparent", ["", "00", PARENT.upper(), "ff" + PARENT[2:], PARENT.replace(TRACE, "0" * 32), f"{PARENT}x"]
)
def test_malformed_traceparent_starts_a_new_trace(
    telemetry: Telemetry, spans: InMemorySpanExporter, traceparent: str
) -> None:
    """W3C Trace Context requires that a malformed header is ignored."""
    with request_span(telemetry, "GET", traceparent):
        assert current_traceparent() == telemetry.event_traceparent(traceparent)
        assert current_traceparent().split("-")[1] == telemetry.trace_id(traceparent)
    (server,) = spans.get_finished_spans()

    assert server.parent is None


def test_request_span_has_route_and_status(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """The attributes follow the HTTP semantic conventions. From status 500 on there is an error type."""
    for status in (200, 503):
        request = telemetry.begin_request("GET", "")
        telemetry.end_request("GET", "/x/{id}", status=status, seconds=0.1, request=request)
    good, bad = (dict(span.attributes or {}) for span in spans.get_finished_spans())

    assert {"http.request.method": "GET", "http.route": "/x/{id}", "http.response.status_code": 200} == good
    assert {**good, "http.response.status_code": 503, "error.type": "503"} == bad


def test_traceparent_of_a_later_version_loses_its_additions(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """The additions have no limit of length, and would be stored with every event of the request."""
    with request_span(telemetry, "GET", PARENT):
        traceparent = telemetry.event_traceparent(f"01{PARENT[2:]}-{'x' * 60_000}")

    assert f"01{PARENT[2:]}" == traceparent
    assert 1 == len(spans.get_finished_spans())


@pytest.mark.parametrize("ratio", [0.0])
def test_caller_cannot_force_sampling(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """The caller's flag and trace id have no effect. A request that is not sampled has no inner spans."""
    for traceparent in (PARENT, f"00-{'0' * 31}1-{'cd' * 8}-01"):
        with request_span(telemetry, "GET", traceparent) as span, telemetry.span("scan") as inner:
            assert (None, None, False) == (span, inner, telemetry.is_recording())
            assert traceparent[:35] == current_traceparent()[:35], "log lines have the caller's trace"
            assert (traceparent, "") == (telemetry.event_traceparent(traceparent), telemetry.event_traceparent(""))

    assert () == spans.get_finished_spans()


@pytest.mark.parametrize("ratio", [0.5])
def test_sampled_request_has_all_of_its_spans(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """The caller's sampled flag has no effect."""
    for flag in ("00", "01"):
        for _ in range(200):
            with request_span(telemetry, "GET", PARENT[:-2] + flag), telemetry.span("scan"):
                pass
    names = [span.name for span in spans.get_finished_spans()]

    assert names.count("GET /") == names.count("scan")
    assert 140 < names.count("GET /") < 260


def test_failed_span_names_the_exception_without_its_message(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """The message can contain personal data."""
    with request_span(telemetry, "GET", ""), pytest.raises(ValueError, match="01838012345"), telemetry.span("scan"):
        raise ValueError("01838012345")
    scan, _ = spans.get_finished_spans()

    assert ("ValueError", ()) == (scan.status.description, tuple(scan.events))


def test_batch_span_is_in_the_first_trace_and_linked_to_the_others(
    telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    """Only sampled publishes count."""
    others = [f"00-{number:032x}-{'cd' * 8}-01" for number in range(1, 30)]
    traceparents = ["", PARENT[:-2] + "00", PARENT, *others]
    with telemetry.batch_started("sqlite", waits=[], traceparents=traceparents):
        pass
    (span,) = spans.get_finished_spans()

    assert TRACE == f"{span.context.trace_id:032x}"
    assert list(range(1, LINKS_MAX + 1)) == [each.context.trace_id for each in span.links]


def test_batch_without_a_sampled_publish_has_no_span(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """A publish whose `traceparent` lacks the sampled flag does not count."""
    with telemetry.batch_started("sqlite", waits=[], traceparents=["", PARENT[:-2] + "00"]):
        pass

    assert () == spans.get_finished_spans()


def test_page_span_has_a_bounded_number_of_different_links(telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
    """A page of any number of events has at most `LINKS_MAX` links."""
    traceparents = [PARENT, PARENT, "nonsense", *(f"00-{number:032x}-{'cd' * 8}-01" for number in range(1, 100))]
    entries = [
        entry(number, of=msgspec.structs.replace(event(), body=b'{"traceparent":"%b"}' % traceparent.encode()))
        for number, traceparent in enumerate(traceparents, start=1)
    ]
    with request_span(telemetry, "GET", ""):
        telemetry.page_served("app", EntryList(entries), examined=1, lag=0, seconds=0.0)
    (span,) = spans.get_finished_spans()

    assert LINKS_MAX == len(span.links)
    assert len({each.context.trace_id for each in span.links}) == LINKS_MAX


def test_request_without_a_tracer_has_no_span(telemetry: Telemetry) -> None:
    """The service records nothing, and an event keeps its publisher's trace."""
    with request_span(telemetry, "GET", PARENT) as span, telemetry.span("scan") as inner:
        assert (None, None, "", False) == (span, inner, telemetry.request_traceparent(), telemetry.is_recording())
        assert PARENT == telemetry.event_traceparent(PARENT)

    assert TRACE == telemetry.trace_id(PARENT)
    assert telemetry.trace_id("") != telemetry.trace_id("")
