"""Charts: the measurements of the last minutes as lines."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventfeed.devtools.traces import values
from eventfeed.telemetry.panels import HIGH, MEDIAN, PANELS, VALUE, Panel

FRAMES_MAX = 300
LINES_MAX = 8

Attributes = tuple[tuple[str, object], ...]
# One value, or the counts of the buckets, by metric and attributes.
Frame = dict[tuple[str, Attributes], list[float]]


class Charts:
    """The increments of each second and the values at its end, over all processes.

    `clock` returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bounds: dict[str, Sequence[float]] = {}
        # The last totals of each process, metric and series.
        self._totals: dict[tuple[str, str, Attributes], list[float]] = {}
        self._increments: dict[int, Frame] = {}
        self._values: dict[int, Frame] = {}

    def add(self, request: Any) -> None:
        """Add an export request: the totals of one process."""
        second = self._current_second()
        for resource in request.resource_metrics:
            process = str(values(resource.resource.attributes).get("service.instance.id", ""))
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._add_metric(self._increments[second], process, metric=metric)
        frame: Frame = defaultdict(lambda: [0.0])
        for (_, metric, attributes), totals in self._totals.items():
            if metric not in self._bounds:
                frame[metric, attributes] = _add(frame[metric, attributes], totals)
        self._values[second] = frame

    def _current_second(self) -> int:
        second = int(self._clock())
        self._increments.setdefault(second, {})
        while len(self._increments) > FRAMES_MAX:
            oldest = min(self._increments)
            del self._increments[oldest]
            self._values.pop(oldest, None)
        return max(self._increments)

    def _add_metric(self, frame: Frame, process: str, *, metric: Any) -> None:
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points:
            attributes = tuple(sorted(values(point.attributes).items()))
            if kind == "histogram":
                self._bounds[metric.name] = list(point.explicit_bounds)
                totals = [float(each) for each in point.bucket_counts]
            else:
                totals = [point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)]
            zeros = [0.0] * len(totals)
            before = self._totals.get((process, metric.name, attributes), zeros)
            self._totals[process, metric.name, attributes] = totals
            increments = [max(0.0, total - previous) for total, previous in zip(totals, before, strict=True)]
            frame[metric.name, attributes] = _add(frame.get((metric.name, attributes), zeros), increments)

    def lines(self) -> Sequence[Mapping[str, object]]:
        """Return each panel with its seconds and its lines: a value or None for each second."""
        seconds = sorted(self._increments)
        return [{"title": each.title, "seconds": seconds, "lines": self._lines(each, seconds)} for each in PANELS]

    def _lines(self, panel: Panel, seconds: Sequence[int]) -> Mapping[str, Sequence[float | None]]:
        lines: dict[str, dict[int, float]] = defaultdict(dict)
        frames = self._values if panel.show == VALUE else self._increments
        for second in seconds:
            for name, amounts in _groups(panel, frames.get(second, {})).items():
                if (value := self._value(panel, amounts)) is not None:
                    lines[name][second] = value
        busiest = sorted(lines, key=lambda name: -sum(lines[name].values()))[:LINES_MAX]
        return {name: [lines[name].get(second) for second in seconds] for name in sorted(busiest)}

    def _value(self, panel: Panel, amounts: Sequence[float]) -> float | None:
        if panel.show in (MEDIAN, HIGH):
            bounds = self._bounds.get(panel.metric_name, ())
            return quantile(amounts, bounds, part=0.5 if panel.show == MEDIAN else 0.99)
        return sum(amounts)


def _groups(panel: Panel, frame: Frame) -> Mapping[str, list[float]]:
    """Return the amounts of a panel's metric, added up for each line."""
    groups: dict[str, list[float]] = {}
    for (metric, attributes), amounts in frame.items():
        if metric == panel.metric_name:
            name = str(dict(attributes).get(panel.by, ""))
            groups[name] = _add(groups.get(name, [0.0] * len(amounts)), amounts)
    return groups


def _add(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [first + second for first, second in zip(one, other, strict=True)]


def quantile(counts: Sequence[float], bounds: Sequence[float], *, part: float) -> float | None:
    """Return the value below which this part of the counts is, interpolated within its bucket; None without counts."""
    target, below = sum(counts) * part, 0.0
    if not target:
        return None
    for number, count in enumerate(counts):
        if count and below + count >= target:
            low = bounds[number - 1] if number else 0.0
            high = bounds[number] if number < len(bounds) else low
            return low + (high - low) * (target - below) / count
        below += count
    return bounds[-1]
