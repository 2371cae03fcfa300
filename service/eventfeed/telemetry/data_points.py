"""Measurements as the SDK's own data, for its exporters."""

import time
from collections.abc import Iterator, Mapping

from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from eventfeed.telemetry.metrics import COUNTER, METRICS, Metric
from eventfeed.telemetry.telemetry import Counter, Histogram, Telemetry, Value, Values

SCOPE = "eventfeed"
_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE


def measurements(telemetry: Telemetry, resource: Resource, *, since: int) -> sdk.MetricsData:
    """Return the totals from `since` (ns since 1970) to now, without metrics that have no series."""
    metrics = list(_metrics(telemetry, since=since, now=time.time_ns()))
    scope = sdk.ScopeMetrics(InstrumentationScope(SCOPE), metrics, schema_url="")
    return sdk.MetricsData([sdk.ResourceMetrics(resource, [scope], schema_url="")])


def _metrics(telemetry: Telemetry, *, since: int, now: int) -> Iterator[sdk.Metric]:
    for metric in METRICS.values():
        data: sdk.DataT | None = None
        if histogram := telemetry.histograms.get(metric.name):
            data = _histogram_data(histogram, since=since, now=now)
        elif counter := telemetry.counters.get(metric.name):
            data = _sum(counter, since=since, now=now)
        elif gauge := telemetry.gauges.get(metric.name):
            data = sdk.Gauge([sdk.NumberDataPoint({}, since, now, gauge())])
        if data is not None and data.data_points:
            yield sdk.Metric(metric.name, metric.description, metric.unit, data)


def _histogram_data(histogram: Histogram, *, since: int, now: int) -> sdk.Histogram:
    points = [
        sdk.HistogramDataPoint(
            attributes=_attributes(histogram.metric, values),
            start_time_unix_nano=since,
            time_unix_nano=now,
            count=sum(distribution.counts),
            sum=distribution.total,
            bucket_counts=list(distribution.counts),
            explicit_bounds=histogram.metric.bounds,
            min=distribution.least,
            max=distribution.greatest,
        )
        for values, distribution in histogram.series.copy().items()
    ]
    return sdk.Histogram(points, aggregation_temporality=_CUMULATIVE)


def _sum(counter: Counter, *, since: int, now: int) -> sdk.Sum:
    points = [
        sdk.NumberDataPoint(_attributes(counter.metric, values), since, now, amount)
        for values, amount in counter.series.copy().items()
    ]
    return sdk.Sum(points, aggregation_temporality=_CUMULATIVE, is_monotonic=counter.metric.kind == COUNTER)


def _attributes(metric: Metric, values: Values) -> Mapping[str, Value]:
    return dict(zip(metric.attributes, values, strict=True))
