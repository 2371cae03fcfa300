"""The goals of a load test, and its number of users."""

from collections.abc import Callable

import pytest
from loadtests.goals import GOALS, Goal, Measurement, missed_goals
from loadtests.shapes import SHAPES, users_at

GOAL = Goal("S1 app, page", p50=10, p95=20, p99=30)


def percentiles(p50: float, p95: float, p99: float) -> Callable[[float], float]:
    """A function that returns these percentiles."""
    return {0.5: p50, 0.95: p95, 0.99: p99}.__getitem__


def test_measurement_at_the_limit_meets_the_goal() -> None:
    """The limits are inclusive."""
    measurements = {GOAL.name: Measurement(5, 0, percentiles(10, 20, 30))}

    assert [] == list(missed_goals(measurements, goals=[GOAL], violations=0))


@pytest.mark.parametrize(
    ("measurement", "violations", "text"),
    [
        (Measurement(5, 0, percentiles(11, 20, 30)), 0, "p50 is 11 ms, the limit is 10"),
        (Measurement(5, 0, percentiles(10, 21, 30)), 0, "p95 is 21 ms"),
        (Measurement(5, 0, percentiles(10, 20, 31)), 0, "p99 is 31 ms"),
        (Measurement(5, 1, percentiles(10, 20, 30)), 0, "1 failed requests"),
        (Measurement(5, 0, percentiles(10, 20, 30)), 2, "2 violations"),
        (Measurement(0, 0, percentiles(0, 0, 0)), 0, "nothing was measured"),
    ],
)
def test_missed_goal_is_described_in_one_line(measurement: Measurement, violations: int, text: str) -> None:
    """The line has the measurement and the limit."""
    (line,) = missed_goals({GOAL.name: measurement}, goals=[GOAL], violations=violations)

    assert text in line


def test_goal_without_measurement_is_missed() -> None:
    """A run without readers does not meet the goals."""
    assert len(GOALS) == len(list(missed_goals({}, goals=GOALS, violations=0)))


def test_failed_request_without_a_goal_counts() -> None:
    """The failures of all requests are added up."""
    measurements = {
        GOAL.name: Measurement(5, 0, percentiles(1, 1, 1)),
        "exchange": Measurement(5, 2, percentiles(1, 1, 1)),
    }

    assert ["2 failed requests, the limit is 0"] == list(missed_goals(measurements, goals=[GOAL], violations=0))


@pytest.mark.parametrize(
    ("shape", "users"),
    [
        ("steady", [40, 40, 40, 40]),
        ("step", [10, 20, 30, 40]),
        ("spike", [8, 8, 40, 8]),
        ("soak", [20, 20, 20, 20]),
    ],
)
def test_shape_sets_the_number_of_users_over_time(shape: str, users: list[int]) -> None:
    """The values are for four moments of the run. After its end there is none."""
    stages = [users_at(SHAPES[shape], share=share, users=40) for share in (0.1, 0.3, 0.55, 0.9)]

    assert users == [each[0] for each in stages if each]
    assert users_at(SHAPES[shape], share=1.0, users=40) is None
