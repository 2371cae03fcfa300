"""Counters, gauges and histograms that cost a fraction of a microsecond.

The SDK's own instruments take several microseconds a measurement, and a page has half a dozen of them. These are added
up here, in plain tables that the event loop alone writes, and exported as the SDK's data points now and then.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

# Attributes are chosen so that there are few; whatever is more than that is one series of its own.
SERIES_MAX = 1_000
OVERFLOW = "overflow"

Value = str | int
Values = tuple[Value, ...]


class Described(NamedTuple):
    """What an instrument is: its name, unit (UCUM), the names of its attributes, and what it means."""

    name: str
    unit: str
    attributes: Sequence[str]
    description: str


class Instrument:
    """Something measured, by attributes: their values are given in the order of their names."""

    kind = ""

    def __init__(self, name: str, unit: str, *, attributes: Sequence[str] = (), description: str) -> None:
        self.described = Described(name, unit, attributes, description)

    def labelled(self, values: Values) -> Mapping[str, Value]:
        """The attributes of a series."""
        return dict(zip(self.described.attributes, values, strict=True))


class Counter(Instrument):
    """A sum that only grows."""

    kind = "counter"

    def __init__(self, name: str, unit: str, *, attributes: Sequence[str] = (), description: str) -> None:
        super().__init__(name, unit, attributes=attributes, description=description)
        self.points: dict[Values, float] = {}

    def add(self, amount: float, *values: Value) -> None:
        """Add to the series with these attributes."""
        try:
            self.points[values] += amount
        except KeyError:
            kept = values if len(self.points) < SERIES_MAX else (OVERFLOW,) * len(values)
            self.points[kept] = self.points.get(kept, 0) + amount


class UpDownCounter(Counter):
    """A sum that also falls."""

    kind = "up-down counter"


class Gauge(Instrument):
    """What is so at the moment somebody looks."""

    kind = "gauge"

    def __init__(self, name: str, unit: str, *, attributes: Sequence[str] = (), description: str) -> None:
        super().__init__(name, unit, attributes=attributes, description=description)
        self.look: Callable[[], Iterable[tuple[Values, float]]] = tuple


class Distribution:
    """What a histogram holds of one series: counts by bound, and their sum, least and most."""

    __slots__ = ("counts", "least", "most", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.total, self.least, self.most = 0.0, float("inf"), float("-inf")


@contextmanager
def measured(histogram: "Histogram") -> Iterator[None]:
    """Record how long the block takes, by whether it was `answered` or `failed`."""
    started, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "answered"
    finally:
        histogram.record(time.perf_counter() - started, outcome)


class Histogram(Instrument):
    """How often which values were measured: each counts for the first bound that is not below it."""

    kind = "histogram"

    def __init__(
        self, name: str, unit: str, *, bounds: Sequence[float], attributes: Sequence[str] = (), description: str
    ) -> None:
        super().__init__(name, unit, attributes=attributes, description=description)
        self.bounds = bounds
        self.points: dict[Values, Distribution] = {}

    def record(self, value: float, *values: Value) -> None:
        """Count a value in the series with these attributes."""
        point = self.points.get(values)
        if point is None:
            kept = values if len(self.points) < SERIES_MAX else (OVERFLOW,) * len(values)
            point = self.points.setdefault(kept, Distribution(self.bounds))
        point.counts[bisect_left(self.bounds, value)] += 1
        point.total += value
        # Calls of min() and max() would be a third of all this, which is done half a dozen times a request.
        if value < point.least:  # noqa: PLR1730
            point.least = value
        if value > point.most:  # noqa: PLR1730
            point.most = value
