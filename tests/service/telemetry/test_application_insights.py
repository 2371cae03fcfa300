"""Measurements for Application Insights: increments, and a row for each bucket of a histogram that grew."""

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

from eventfeed.telemetry.application_insights import Increments

TOTAL = Kind.CUMULATIVE


def data(*metrics: Metric) -> MetricsData:
    """Return the totals of these metrics, as the SDK measures them."""
    scope = ScopeMetrics(InstrumentationScope("eventfeed"), list(metrics), schema_url="")
    return MetricsData([ResourceMetrics(Resource({}), [scope], schema_url="")])


def sum_of(value: float, *, name: str = "events", monotonic: bool = True) -> Metric:
    """Return the total of a sum."""
    return Metric(name, "", "1", Sum([NumberDataPoint({"org": "ttd"}, 1, 2, value)], TOTAL, is_monotonic=monotonic))


def histogram_of(counts: Sequence[int], total: float, *, name: str = "ages") -> Metric:
    """Return the total of a histogram: of values up to 1, up to 10, and above."""
    point = HistogramDataPoint({"feed": "app"}, 1, 2, sum(counts), total, list(counts), (1.0, 10.0), 0.5, 40.0)
    return Metric(name, "", "s", Histogram([point], TOTAL))


def points(totals: MetricsData) -> Iterator[Any]:
    """Yield the data points."""
    for resource in totals.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from metric.data.data_points


def test_counter_is_sent_as_its_increment() -> None:
    """The increment is since the last call. A counter without an increment has no row."""
    increments = Increments()
    values = [[point.value for point in points(increments.since_last_call(data(sum_of(n))))] for n in (3, 3, 8)]

    assert [[3], [], [5]] == values


def test_gauge_is_sent_as_its_value() -> None:
    """A sum that can decrease is sent in the same way."""
    increments = Increments()
    gauge = Metric("depth", "", "1", Gauge([NumberDataPoint({}, 1, 2, 3)]))
    values = [
        [point.value for point in points(increments.since_last_call(data(sum_of(7, monotonic=False), gauge)))]
        for _ in range(2)
    ]

    assert [[7, 3], [7, 3]] == values


def test_histogram_is_sent_as_a_row_for_each_bucket() -> None:
    """A row has the count and the upper bound of its bucket. The bound of the last bucket is the greatest value."""
    increments = Increments()
    first = list(points(increments.since_last_call(data(histogram_of((2, 0, 1), 41.5)))))
    second = list(points(increments.since_last_call(data(histogram_of((2, 4, 1), 61.5)))))

    assert [(2, 1.0), (1, 40.0)] == [(row.count, row.attributes["le"]) for row in first]
    assert [(4, 10.0)] == [(row.count, row.attributes["le"]) for row in second]
    assert [41.5, 20.0] == [pytest.approx(sum(row.sum for row in rows)) for rows in (first, second)]
    assert {"feed": "app", "le": 10.0} == second[0].attributes
    assert [(0.5, 1.0), (10.0, 40.0)] == [(row.min, row.max) for row in first]


def test_increments_are_computed_for_each_series() -> None:
    """Series differ by name or by attributes."""
    increments = Increments()
    increments.since_last_call(data(sum_of(5), sum_of(1, name="others"), histogram_of((1, 0, 0), 1.0)))
    totals = data(sum_of(6), sum_of(4, name="others"), histogram_of((1, 0, 0), 1.0))

    assert [1, 3] == [point.value for point in points(increments.since_last_call(totals))]


def test_histogram_of_zeros_has_a_sum_of_zero() -> None:
    """The exporter does not divide by the sum of the values."""
    zeros = HistogramDataPoint({}, 1, 2, 3, 0.0, [3, 0], (0.0,), 0.0, 0.0)
    rows = Increments().since_last_call(data(Metric("lag", "", "1", Histogram([zeros], TOTAL))))

    assert [(3, 0.0)] == [(row.count, row.sum) for row in points(rows)]


def test_request_durations_are_sent_under_another_name() -> None:
    """With the standard name, Application Insights would drop their attributes."""
    totals = data(histogram_of((1, 0, 0), 1.0, name="http.server.request.duration"))
    rows = Increments().since_last_call(totals)

    assert ["eventfeed.request.duration"] == [
        metric.name for metric in rows.resource_metrics[0].scope_metrics[0].metrics
    ]
