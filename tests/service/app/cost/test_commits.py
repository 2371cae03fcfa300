"""The surface of commits a second is that of a simulation: random arrivals, and the rule of the appender."""

import itertools
import random

import pytest

from eventfeed.app.cost import sizes, workload

ARRIVALS = 20_000


def simulate(linger: float, events_a_second: float) -> float:
    """Return the commits a second of a process: a busy one waits for the publishes of its last commit and its queue."""
    rng = random.Random(f"{linger} {events_a_second}")
    gaps = (rng.expovariate(events_a_second) for _ in range(ARRIVALS))
    arrivals = list(itertools.accumulate(gaps))
    now, count, commits, publishes = 0.0, 0, 0, 1
    while count < ARRIVALS:
        begin = arrivals[count]
        if publishes > 1:  # since the end of the last commit
            begin = max(begin, min(now + linger, arrivals[min(count + publishes, ARRIVALS) - 1]))
        began, now, commits = count, max(now, begin), commits + 1
        count = position(arrivals, now, count)
        now += workload.COMMIT_SECONDS.value
        publishes = position(arrivals, now, count) - began
    return commits / now


def position(arrivals: list[float], time: float, start: int) -> int:
    """Return the number of arrivals up to a time."""
    while start < len(arrivals) and arrivals[start] <= time:
        start += 1
    return start


@pytest.mark.parametrize("events", [5, 25, 50, 100, 500])
@pytest.mark.parametrize("linger", [0, 0.02, 0.15])
def test_commits_a_second_are_as_simulated(linger: float, events: int) -> None:
    """The appender gathers the more events, the longer it may wait and the more of them come."""
    assert simulate(linger, events) == pytest.approx(sizes.COMMITS.at(linger, events), rel=0.08)


@pytest.mark.parametrize(
    ("linger", "points"), sizes.COMMITS.curves, ids=lambda value: f"{value:g}s" if isinstance(value, float) else ""
)
def test_busy_process_commits_once_in_its_linger_time_and_the_time_of_a_commit(
    linger: float, points: list[tuple[float, float]]
) -> None:
    """The end of each curve is its limit: many events a second always find a process busy."""
    assert 1 / (linger + workload.COMMIT_SECONDS.value) == pytest.approx(points[-1][1], rel=0.05)
