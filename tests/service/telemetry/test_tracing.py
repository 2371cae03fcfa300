"""Spans: in whose trace they are, how many there are, and that nobody outside decides it."""

import random
from collections.abc import Iterator

import pytest
from eventfeed.telemetry.tracing import LINKS_MAX, charged, doing, here, link, origin, recording
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from eventfeed.telemetry import tracing
from tests.service.telemetry.requesting import serving

TRACE = "ab" * 16
OUTSIDE = f"00-{TRACE}-{'cd' * 8}-01"


@pytest.fixture
def ratio() -> float:
    """The part of requests that is traced."""
    return 1.0


@pytest.fixture
def spans(ratio: float) -> Iterator[InMemorySpanExporter]:
    """What was traced."""
    exporter = InMemorySpanExporter()
    rng, provider = random.Random(1), TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider.get_tracer("test"), sampled=lambda: rng.random() < ratio)
    yield exporter
    tracing.use(None)


def test_what_is_done_is_a_part_of_its_request(spans: InMemorySpanExporter) -> None:
    """In the caller's trace, which is the one that an event carries on."""
    with serving("GET", OUTSIDE), doing("scan") as inner:
        assert inner is not None
        charged(2.5)
        charged(1.0)
        within = here()
    scan, server = spans.get_finished_spans()

    assert TRACE == f"{scan.context.trace_id:032x}" == f"{server.context.trace_id:032x}" == within.split("-")[1]
    assert server.parent is not None
    assert "cd" * 8 == f"{server.parent.span_id:016x}"
    assert {"azure.cosmosdb.operation.request_charge": 3.5} == dict(scan.attributes or {})


@pytest.mark.parametrize(
    "traceparent", ["", "00", OUTSIDE.upper(), "ff" + OUTSIDE[2:], OUTSIDE.replace(TRACE, "0" * 32)]
)
def test_a_trace_that_is_none_is_one_of_our_own(spans: InMemorySpanExporter, traceparent: str) -> None:
    """W3C Trace Context: what is malformed is ignored."""
    with serving("GET", traceparent):
        assert here() == origin(traceparent)
    (server,) = spans.get_finished_spans()

    assert server.parent is None


def test_what_another_version_adds_to_a_trace_is_not_kept(spans: InMemorySpanExporter) -> None:
    """It has no bound, and would be stored with every event of the request."""
    with serving("GET", OUTSIDE):
        kept = origin(f"01{OUTSIDE[2:]}-{'x' * 60_000}")

    assert f"01{OUTSIDE[2:]}" == kept
    assert 1 == len(spans.get_finished_spans())


@pytest.mark.parametrize("ratio", [0.0])
def test_nobody_outside_makes_us_trace(spans: InMemorySpanExporter) -> None:
    """Neither by a flag nor by an id; what is not traced costs its parts nothing."""
    for low in (OUTSIDE, f"00-{'0' * 31}1-{'cd' * 8}-01"):
        with serving("GET", low) as span, doing("scan") as inner:
            assert (None, None, False) == (span, inner, recording())
            assert low[:35] == here()[:35], "what is logged can be found by it"
            assert (low, "") == (origin(low), origin("")), "a trace that nobody has is not stored"

    assert () == spans.get_finished_spans()


@pytest.mark.parametrize("ratio", [0.5])
def test_a_part_of_all_is_traced_whole(spans: InMemorySpanExporter) -> None:
    """Whatever its caller's flag says; with a request goes what is done in it."""
    for flag in ("00", "01"):
        for _ in range(200):
            with serving("GET", OUTSIDE[:-2] + flag), doing("scan"):
                pass
    found = [span.name for span in spans.get_finished_spans()]

    assert found.count("GET") == found.count("scan")
    assert 140 < found.count("GET") < 260


def test_a_failure_is_told_without_its_words(spans: InMemorySpanExporter) -> None:
    """They may hold what a caller sent."""
    with serving("GET", ""), pytest.raises(ValueError, match="01838012345"), doing("scan"):
        raise ValueError("01838012345")
    scan, _ = spans.get_finished_spans()

    assert ("ValueError", ()) == (scan.status.description, tuple(scan.events))


def test_a_write_of_several_requests_is_in_the_first_and_linked_to_the_others(spans: InMemorySpanExporter) -> None:
    """Of those that are traced."""
    others = [f"00-{number:032x}-{'cd' * 8}-01" for number in range(1, 30)]
    with doing("append", within=["", OUTSIDE[:-2] + "00", OUTSIDE, *others]):
        pass
    (span,) = spans.get_finished_spans()

    assert TRACE == f"{span.context.trace_id:032x}"
    assert list(range(1, LINKS_MAX + 1)) == [each.context.trace_id for each in span.links]


def test_links_are_few_and_to_different_traces(spans: InMemorySpanExporter) -> None:
    """However many events a page has."""
    with serving("GET", ""):
        link([OUTSIDE, OUTSIDE, "nonsense", *(f"00-{number:032x}-{'cd' * 8}-01" for number in range(1, 100))])
    (span,) = spans.get_finished_spans()

    assert LINKS_MAX == len(span.links)
    assert len({each.context.trace_id for each in span.links}) == LINKS_MAX


def test_without_tracing_nothing_is_made() -> None:
    """Nor kept."""
    with serving("GET", OUTSIDE) as span, doing("scan") as inner:
        assert (None, None, "", False, OUTSIDE) == (span, inner, here(), recording(), origin(OUTSIDE))
