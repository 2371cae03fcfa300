"""Application Insights: measurements in the form in which it can add them up, and the exporter that takes them there.

It keeps a row for each measurement (table `AppMetrics`), sums rows up itself, and knows nothing of buckets. So it gets
what came since the last time, and of a histogram one row for each bucket, with its bound as the attribute `le`:
a percentile over all processes is then a weighted percentile of bounds.
"""

import os
from collections.abc import Iterator, Sequence

from opentelemetry.sdk.metrics.export import (
    Histogram as HistogramData,
)
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
BOUND = "le"
# What has a meaning of its own there loses its attributes on the way.
_RENAMED = {"http.server.request.duration": "eventfeed.request.duration"}


def named(metric: str) -> str:
    """What a metric is called there."""
    return _RENAMED.get(metric, metric)


def exporter() -> MetricExporter:
    """Microsoft's own, to where the connection string says; it tells nobody of itself, and stores nothing."""
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter  # noqa: PLC0415  # 0.4 s

    return AzureMonitorMetricExporter(disable_offline_storage=True)


class Changes:
    """What came since the last look, from totals since the start. A row is left out where nothing came."""

    def __init__(self) -> None:
        self._before: dict[tuple[object, ...], float] = {}

    def since_last(self, totals: MetricsData) -> MetricsData:
        """The same measurements: changes of sums, buckets that filled, and values as they are."""
        told = [
            ResourceMetrics(
                resource.resource,
                [
                    ScopeMetrics(scope.scope, [self._changed(each) for each in scope.metrics], scope.schema_url)
                    for scope in resource.scope_metrics
                ],
                resource.schema_url,
            )
            for resource in totals.resource_metrics
        ]
        return MetricsData(told)

    def _changed(self, metric: Metric) -> Metric:
        data = metric.data
        if isinstance(data, HistogramData):
            rows = [row for point in data.data_points for row in self._filled(metric.name, point)]
            data = HistogramData(rows, data.aggregation_temporality)
        elif isinstance(data, Sum) and data.is_monotonic:
            grown = [
                NumberDataPoint(point.attributes, point.start_time_unix_nano, point.time_unix_nano, change)
                for point in data.data_points
                if (change := self._change(point.value, metric.name, *_values(point)))
            ]
            data = Sum(grown, data.aggregation_temporality, is_monotonic=True)
        return Metric(named(metric.name), metric.description, metric.unit, data)

    def _change(self, value: float, *key: object) -> float:
        before = self._before.get(key, 0)
        self._before[key] = value
        return value - before

    def _filled(self, name: str, point: HistogramDataPoint) -> Iterator[HistogramDataPoint]:
        """A row for each bucket that something fell into; their sums add up to the true one."""
        total = self._change(point.sum, name, "sum", *_values(point))
        edges = (min(point.min, point.explicit_bounds[0]), *point.explicit_bounds, point.max)
        filled = [
            (count, low, high)
            for number, (counted, low, high) in enumerate(zip(point.bucket_counts, edges, edges[1:], strict=False))
            if (count := int(self._change(counted, name, number, *_values(point))))
        ]
        middle = sum(count * (low + high) / 2 for count, low, high in filled)
        for count, low, high in filled:
            share = total * count * (low + high) / 2 / middle if middle else 0.0
            yield HistogramDataPoint(
                attributes={**(point.attributes or {}), BOUND: high},
                start_time_unix_nano=point.start_time_unix_nano,
                time_unix_nano=point.time_unix_nano,
                count=count,
                sum=share,
                bucket_counts=[count],
                explicit_bounds=[],
                min=low,
                max=high,
            )


def _values(point: NumberDataPoint | HistogramDataPoint) -> Sequence[object]:
    return tuple((point.attributes or {}).values())
