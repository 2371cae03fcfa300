"""Promises: what a run must have measured for them to be kept."""

from collections.abc import Callable

import pytest
from loadtests.goals import GOALS, Goal, Measured, broken
from loadtests.shapes import SHAPES, planned

GOAL = Goal("S1 app, page", p50=10, p95=20, p99=30)


def took(p50: float, p95: float, p99: float) -> Callable[[float], float]:
    """Percentiles."""
    return {0.5: p50, 0.95: p95, 0.99: p99}.__getitem__


def test_a_promise_that_is_kept_says_nothing() -> None:
    """Right up to what was promised."""
    found = {GOAL.name: Measured(5, 0, took(10, 20, 30))}
    assert [] == list(broken(found, goals=[GOAL], violations=0))


@pytest.mark.parametrize(
    ("measured", "violations", "told"),
    [
        (Measured(5, 0, took(11, 20, 30)), 0, "p50 is 11 ms, promised are 10"),
        (Measured(5, 0, took(10, 21, 30)), 0, "p95 is 21 ms"),
        (Measured(5, 0, took(10, 20, 31)), 0, "p99 is 31 ms"),
        (Measured(5, 1, took(10, 20, 30)), 0, "1 failed requests"),
        (Measured(5, 0, took(10, 20, 30)), 2, "2 violations"),
        (Measured(0, 0, took(0, 0, 0)), 0, "nothing was measured"),
    ],
)
def test_a_broken_promise_is_told(measured: Measured, violations: int, told: str) -> None:
    """One line each, with what was promised."""
    (line,) = broken({GOAL.name: measured}, goals=[GOAL], violations=violations)
    assert told in line


def test_a_goal_that_nothing_was_measured_for_is_broken() -> None:
    """Otherwise a run without readers would keep every promise."""
    assert len(GOALS) == len(list(broken({}, goals=GOALS, violations=0)))


def test_failures_of_anything_count() -> None:
    """Whatever has no goal of its own as well."""
    found = {GOAL.name: Measured(5, 0, took(1, 1, 1)), "exchange": Measured(5, 2, took(1, 1, 1))}
    assert ["2 failed requests, promised are 0"] == list(broken(found, goals=[GOAL], violations=0))


@pytest.mark.parametrize(
    ("shape", "people"),
    [
        ("steady", [40, 40, 40, 40]),
        ("step", [10, 20, 30, 40]),
        ("spike", [8, 8, 40, 8]),
        ("soak", [20, 20, 20, 20]),
    ],
)
def test_shapes_have_so_many_people(shape: str, people: list[int]) -> None:
    """At a tenth, three tenths, five and nine of the run; at the end it is over."""
    found = [planned(SHAPES[shape], part=part, users=40) for part in (0.1, 0.3, 0.55, 0.9)]
    assert people == [each[0] for each in found if each]
    assert planned(SHAPES[shape], part=1.0, users=40) is None
