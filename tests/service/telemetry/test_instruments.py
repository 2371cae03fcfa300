"""Counting and measuring, cheaply and in few series."""

import pytest
from eventfeed.telemetry.instruments import OVERFLOW, Counter, Histogram, measured

from eventfeed.telemetry import instruments


def test_values_count_for_the_first_bound_not_below_them() -> None:
    """As OpenTelemetry defines buckets: the upper bound belongs to its bucket."""
    histogram = Histogram("h", "s", bounds=(1, 2, 5), attributes=("a",), description="")
    for value in (0, 1, 1.5, 2, 3, 5, 6):
        histogram.record(value, "x")
    (point,) = histogram.points.values()

    assert ([2, 2, 2, 1], 18.5, 0, 6) == (point.counts, point.total, point.least, point.most)


def test_series_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be too many is one of its own."""
    monkeypatch.setattr(instruments, "SERIES_MAX", 3)
    counter = Counter("c", "1", attributes=("a",), description="")
    histogram = Histogram("h", "1", bounds=(1,), attributes=("a",), description="")
    for number in range(10):
        counter.add(1, f"{number}")
        histogram.record(1, f"{number}")

    assert {("0",): 1, ("1",): 1, ("2",): 1, (OVERFLOW,): 7} == counter.points
    assert 7 == sum(histogram.points[OVERFLOW,].counts)


def test_what_fails_is_measured_as_failed() -> None:
    """And raised."""
    histogram = Histogram("h", "s", bounds=(1,), attributes=("outcome",), description="")
    with measured(histogram):
        pass
    with pytest.raises(OSError, match="no"), measured(histogram):
        raise OSError("no")

    assert {("answered",), ("failed",)} == set(histogram.points)
