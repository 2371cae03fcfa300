"""Measurements of the last minutes, as lines to draw."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventfeed.devtools.traces import values
from eventfeed.telemetry.panels import HIGH, MEDIAN, PANELS, VALUE, Panel

FRAMES_MAX = 300
LINES_MAX = 8

Series = tuple[str, str, tuple[tuple[str, object], ...]]
# What came in one second, by metric and attributes: an amount, or counts by bucket.
Frame = dict[tuple[str, tuple[tuple[str, object], ...]], list[float]]


class Charts:
    """What processes have measured, second by second; `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._before: dict[Series, list[float]] = {}
        self._bounds: dict[str, Sequence[float]] = {}
        self._now: dict[Series, float] = {}
        self._frames: dict[int, Frame] = {}
        # What was so at the end of each second, over all processes.
        self._standing: dict[int, Frame] = {}

    def take(self, sent: Any) -> None:
        """Add what has come since the same process told last."""
        frame = self._frame()
        for resource in sent.resource_metrics:
            process = str(values(resource.resource.attributes).get("service.instance.id", ""))
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._measure(frame, process, metric)
        standing: Frame = defaultdict(lambda: [0.0])
        for (_, metric, attributes), amount in self._now.items():
            standing[metric, attributes] = [standing[metric, attributes][0] + amount]
        self._standing[max(self._frames)] = standing

    def _frame(self) -> Frame:
        frame = self._frames.setdefault(int(self._clock()), {})
        while len(self._frames) > FRAMES_MAX:
            oldest = min(self._frames)
            del self._frames[oldest]
            self._standing.pop(oldest, None)
        return frame

    def _measure(self, frame: Frame, process: str, *metrics: Any) -> None:
        for metric in metrics:
            kind = metric.WhichOneof("data")
            for point in getattr(metric, kind).data_points:
                attributes = tuple(sorted(values(point.attributes).items()))
                if kind == "histogram":
                    self._bounds[metric.name] = list(point.explicit_bounds)
                    amounts = [float(each) for each in point.bucket_counts]
                else:
                    amounts = [point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)]
                    self._now[process, metric.name, attributes] = amounts[0]
                before = self._before.get((process, metric.name, attributes), [0.0] * len(amounts))
                self._before[process, metric.name, attributes] = amounts
                came = [max(0.0, one - other) for one, other in zip(amounts, before, strict=True)]
                kept = frame.setdefault((metric.name, attributes), [0.0] * len(came))
                frame[metric.name, attributes] = [one + other for one, other in zip(kept, came, strict=True)]

    def lines(self) -> Sequence[Mapping[str, object]]:
        """Each panel with its lines: seconds, and a value or nothing for each."""
        seconds = sorted(self._frames)
        return [{"title": each.title, "seconds": seconds, "lines": self._lines(each, seconds)} for each in PANELS]

    def _lines(self, panel: Panel, seconds: Sequence[int]) -> Mapping[str, Sequence[float | None]]:
        lines: dict[str, dict[int, float]] = defaultdict(dict)
        for second in seconds:
            frames = self._standing if panel.show == VALUE else self._frames
            for name, amounts in self._grouped(panel, frames.get(second, {})).items():
                if (shown := self._shown(panel, amounts)) is not None:
                    lines[name][second] = shown
        busiest = sorted(lines, key=lambda name: -sum(lines[name].values()))[:LINES_MAX]
        return {name: [lines[name].get(second) for second in seconds] for name in sorted(busiest)}

    def _grouped(self, panel: Panel, frame: Frame) -> Mapping[str, list[float]]:
        found: dict[str, list[float]] = {}
        for (metric, attributes), amounts in frame.items():
            if metric == panel.metric.name:
                name = str(dict(attributes).get(panel.by, ""))
                before = found.get(name, [0.0] * len(amounts))
                found[name] = [one + other for one, other in zip(before, amounts, strict=True)]
        return found

    def _shown(self, panel: Panel, amounts: Sequence[float]) -> float | None:
        if panel.show in (MEDIAN, HIGH):
            bounds = self._bounds.get(panel.metric.name, ())
            return quantile(amounts, bounds, part=0.5 if panel.show == MEDIAN else 0.99)
        return sum(amounts)


def quantile(counts: Sequence[float], bounds: Sequence[float], *, part: float) -> float | None:
    """About where so large a part of what was counted lies below: within its bucket in proportion; None of nothing."""
    wanted, below = sum(counts) * part, 0.0
    if not wanted:
        return None
    for place, count in enumerate(counts):
        if count and below + count >= wanted:
            low = bounds[place - 1] if place else 0.0
            high = bounds[place] if place < len(bounds) else low
            return low + (high - low) * (wanted - below) / count
        below += count
    return bounds[-1]
