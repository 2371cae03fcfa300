"""What Application Insights is given: changes, and of histograms a row for each bucket that something fell into."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import AggregationTemporality as Kind
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from eventfeed.telemetry.application_insights import Changes

TOTAL = Kind.CUMULATIVE


def data(*metrics: Metric) -> MetricsData:
    """Totals, as they are measured."""
    scope = ScopeMetrics(InstrumentationScope("eventfeed"), list(metrics), schema_url="")
    return MetricsData([ResourceMetrics(Resource({}), [scope], schema_url="")])


def counted(value: float, *, name: str = "events", monotonic: bool = True) -> Metric:
    """A sum so far."""
    return Metric(name, "", "1", Sum([NumberDataPoint({"org": "ttd"}, 1, 2, value)], TOTAL, is_monotonic=monotonic))


def measured(counts: Sequence[int], total: float, *, name: str = "ages") -> Metric:
    """A histogram so far: of values up to 1, up to 10, and above."""
    point = HistogramDataPoint({"feed": "app"}, 1, 2, sum(counts), total, list(counts), (1.0, 10.0), 0.5, 40.0)
    return Metric(name, "", "s", Histogram([point], TOTAL))


def points(told: MetricsData) -> Iterator[Any]:
    """The rows of it."""
    for resource in told.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from metric.data.data_points


def test_a_counter_tells_what_was_added() -> None:
    """Since the last time; nothing where nothing was."""
    changes = Changes()
    told = [[point.value for point in points(changes.since_last(data(counted(n))))] for n in (3, 3, 8)]
    assert [[3], [], [5]] == told


def test_what_also_falls_and_what_is_are_told_as_they_are() -> None:
    """A queue of 3 is a queue of 3, however often it is looked at."""
    changes = Changes()
    gauge = Metric("depth", "", "1", Gauge([NumberDataPoint({}, 1, 2, 3)]))
    for _ in range(2):
        told = changes.since_last(data(counted(7, monotonic=False), gauge))
        assert [7, 3] == [point.value for point in points(told)]


def test_a_histogram_is_a_row_for_each_bucket() -> None:
    """With how many fell into it, and its bound; the highest has the highest value as its own."""
    changes = Changes()
    first = list(points(changes.since_last(data(measured((2, 0, 1), 41.5)))))
    second = list(points(changes.since_last(data(measured((2, 4, 1), 61.5)))))

    assert [(2, 1.0), (1, 40.0)] == [(row.count, row.attributes["le"]) for row in first]
    assert [(4, 10.0)] == [(row.count, row.attributes["le"]) for row in second]
    assert [41.5, 20.0] == [pytest.approx(sum(row.sum for row in rows)) for rows in (first, second)]
    assert {"feed": "app", "le": 10.0} == second[0].attributes
    assert [(0.5, 1.0), (10.0, 40.0)] == [(row.min, row.max) for row in first]


def test_series_are_told_apart() -> None:
    """By name, as by attributes."""
    changes = Changes()
    changes.since_last(data(counted(5), counted(1, name="others"), measured((1, 0, 0), 1.0)))
    told = changes.since_last(data(counted(6), counted(4, name="others"), measured((1, 0, 0), 1.0)))
    assert [1, 3] == [point.value for point in points(told)]


def test_zeros_have_no_share() -> None:
    """All values nothing: nothing is divided by it."""
    zeros = HistogramDataPoint({}, 1, 2, 3, 0.0, [3, 0], (0.0,), 0.0, 0.0)
    told = Changes().since_last(data(Metric("lag", "", "1", Histogram([zeros], TOTAL))))
    assert [(3, 0.0)] == [(row.count, row.sum) for row in points(told)]


def test_request_durations_have_a_name_of_their_own() -> None:
    """Theirs is taken there: it would lose its attributes."""
    told = Changes().since_last(data(measured((1, 0, 0), 1.0, name="http.server.request.duration")))
    assert ["eventfeed.request.duration"] == [
        metric.name for metric in told.resource_metrics[0].scope_metrics[0].metrics
    ]
