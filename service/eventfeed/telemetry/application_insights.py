"""Application Insights: measurements in the form that it can add up, and the exporter that sends them.

It keeps a row for each measurement (table `AppMetrics`), adds the rows up itself, and has no buckets. So it gets the
increments since the last export, and for a histogram one row for each bucket, with its bound as the attribute `le`:
a percentile over all processes is then a weighted percentile of bounds.
"""

import os
from collections.abc import Iterator, Sequence

from opentelemetry.sdk.metrics.export import Histogram as HistogramData
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
# Names with a meaning of their own there: such a metric loses its attributes.
_RENAMES = {"http.server.request.duration": "eventfeed.request.duration"}


def metric_name(metric: str) -> str:
    """Return the name of a metric in Application Insights."""
    return _RENAMES.get(metric, metric)


def exporter() -> MetricExporter:
    """Return Microsoft's exporter for the connection string, without usage statistics and without storage."""
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter  # noqa: PLC0415  # 0.4 s

    return AzureMonitorMetricExporter(disable_offline_storage=True)


class Increments:
    """Computes increments between calls from totals since the start. A row without an increment is left out."""

    def __init__(self) -> None:
        self._totals: dict[tuple[object, ...], float] = {}

    def since_last_call(self, totals: MetricsData) -> MetricsData:
        """Return increments of sums, the buckets that grew, and other values as they are."""
        resources = [
            ResourceMetrics(
                resource.resource,
                [
                    ScopeMetrics(scope.scope, [self._increment(each) for each in scope.metrics], scope.schema_url)
                    for scope in resource.scope_metrics
                ],
                resource.schema_url,
            )
            for resource in totals.resource_metrics
        ]
        return MetricsData(resources)

    def _increment(self, metric: Metric) -> Metric:
        data = metric.data
        if isinstance(data, HistogramData):
            rows = [row for point in data.data_points for row in self._bucket_rows(metric.name, point)]
            data = HistogramData(rows, data.aggregation_temporality)
        elif isinstance(data, Sum) and data.is_monotonic:
            points = [
                NumberDataPoint(point.attributes, point.start_time_unix_nano, point.time_unix_nano, increment)
                for point in data.data_points
                if (increment := self._difference(point.value, metric.name, *_values(point)))
            ]
            data = Sum(points, data.aggregation_temporality, is_monotonic=True)
        return Metric(metric_name(metric.name), metric.description, metric.unit, data)

    def _difference(self, total: float, *key: object) -> float:
        previous = self._totals.get(key, 0)
        self._totals[key] = total
        return total - previous

    def _bucket_rows(self, name: str, point: HistogramDataPoint) -> Iterator[HistogramDataPoint]:
        """Yield a row for each bucket that grew. The sums of the rows add up to the increment of the sum."""
        total = self._difference(point.sum, name, "sum", *_values(point))
        edges = (min(point.min, point.explicit_bounds[0]), *point.explicit_bounds, point.max)
        buckets = [
            (count, low, high)
            for number, (size, low, high) in enumerate(zip(point.bucket_counts, edges, edges[1:], strict=False))
            if (count := int(self._difference(size, name, number, *_values(point))))
        ]
        estimate = sum(count * (low + high) / 2 for count, low, high in buckets)
        for count, low, high in buckets:
            share = total * count * (low + high) / 2 / estimate if estimate else 0.0
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
