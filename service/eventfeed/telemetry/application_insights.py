"""Application Insights: measurements in the form that it can add up, and the exporter that sends them.

It keeps a row for each measurement (table `AppMetrics`), adds the rows up itself, and has no buckets. So it gets the
increments since the last export, and for a histogram one row for each bucket, with its bound as the attribute `le`:
a percentile over all processes is then a weighted percentile of bounds.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from opentelemetry.sdk.metrics import export as sdk

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
BOUND = "le"
# Names with a meaning of their own there: such a metric loses its attributes.
_RENAMES = {"http.server.request.duration": "eventfeed.request.duration"}


def metric_name(metric: str) -> str:
    """Return the name of a metric in Application Insights."""
    return _RENAMES.get(metric, metric)


def exporter() -> sdk.MetricExporter:
    """Return Microsoft's exporter for the connection string, without usage statistics and without storage."""
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter  # noqa: PLC0415  # 0.4 s

    return AzureMonitorMetricExporter(disable_offline_storage=True)


class Increments:
    """Computes increments between calls from totals since the start. A row without an increment is left out."""

    def __init__(self) -> None:
        self._totals: dict[tuple[object, ...], float] = {}

    def since_last_call(self, totals: sdk.MetricsData) -> sdk.MetricsData:
        """Return increments of sums, the buckets that grew, and other values as they are, of one resource and scope."""
        (resource,) = totals.resource_metrics
        (scope,) = resource.scope_metrics
        scope = replace(scope, metrics=[self._increment(each) for each in scope.metrics])
        return sdk.MetricsData([replace(resource, scope_metrics=[scope])])

    def _increment(self, metric: sdk.Metric) -> sdk.Metric:
        data = metric.data
        if isinstance(data, sdk.Histogram):
            rows = [row for point in data.data_points for row in self._bucket_rows(metric.name, point)]
            data = sdk.Histogram(rows, data.aggregation_temporality)
        elif isinstance(data, sdk.Sum) and data.is_monotonic:
            points = [
                replace(point, value=increment)
                for point in data.data_points
                if (increment := self._difference(point.value, metric.name, *_values(point)))
            ]
            data = sdk.Sum(points, data.aggregation_temporality, is_monotonic=True)
        return replace(metric, name=metric_name(metric.name), data=data)

    def _difference(self, total: float, *key: object) -> float:
        previous = self._totals.get(key, 0)
        self._totals[key] = total
        return total - previous

    def _bucket_rows(self, name: str, point: sdk.HistogramDataPoint) -> Iterator[sdk.HistogramDataPoint]:
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
            yield replace(
                point,
                attributes={**(point.attributes or {}), BOUND: high},
                count=count,
                sum=share,
                bucket_counts=[count],
                explicit_bounds=[],
                min=low,
                max=high,
            )


def _values(point: sdk.NumberDataPoint | sdk.HistogramDataPoint) -> Sequence[object]:
    return tuple((point.attributes or {}).values())
