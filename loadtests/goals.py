"""What is promised of each scenario, and whether a run kept it: the exit code obeys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

PUBLISH, LAG, AGE = "publish", "lag", "age at read"
POLLED_AGE = f"{AGE} when polled"


class Goal(NamedTuple):
    """A promise: of these requests no more than this median, 95th and 99th percentile (ms)."""

    name: str
    p50: float
    p95: float
    p99: float


class Measured(NamedTuple):
    """What a run measured of one name: how many, how many failed, and its percentiles (ms) by their part of 1."""

    requests: int
    failures: int
    percentile: Callable[[float], float]


# Load generator and service share a machine here: elsewhere the first thing to look at is the network between.
GOALS = (
    Goal(PUBLISH, p50=50, p95=150, p99=400),
    Goal("S1 app, page", p50=25, p95=100, p99=250),
    Goal("S2 citizen, page", p50=25, p95=100, p99=250),
    Goal("S3 organisation, page", p50=25, p95=100, p99=250),
    Goal("S5 instance, page", p50=25, p95=100, p99=250),
    # Who waits hardly asks without waiting. From receipt to reader, of those who wait: what is promised is 250 ms.
    Goal(f"S1 app, {LAG}", p50=50, p95=150, p99=250),
    Goal(f"S4 bank, {LAG}", p50=50, p95=150, p99=250),
    # From the moment it was sent: the same promise.
    Goal(f"S1 app, {AGE}", p50=100, p95=200, p99=250),
    Goal(f"S4 bank, {AGE}", p50=100, p95=200, p99=250),
    # Who polls every half second to two seconds hears of it at the next poll, and as soon as that may be.
    *(
        Goal(f"{who}, {POLLED_AGE}", p50=1_250, p95=2_100, p99=2_250)
        for who in ("S1 app", "S2 citizen", "S3 organisation")
    ),
)
# What tells a broken promise from a run that could not be made.
BROKEN = 3
# Of all requests.
FAILURES_MAX = 0


def broken(measured: Mapping[str, Measured], *, goals: Sequence[Goal], violations: int) -> Iterator[str]:
    """Which promises a run broke, in words. A goal that nothing was measured for is broken too."""
    if violations:
        yield f"{violations} violations: something was missed, held back, doubled, out of order, or another's"
    failures = sum(each.failures for each in measured.values())
    if failures > FAILURES_MAX:
        yield f"{failures} failed requests, promised are {FAILURES_MAX}"
    for goal in goals:
        found = measured.get(goal.name)
        if found is None or not found.requests:
            yield f"{goal.name}: nothing was measured"
            continue
        for part, most in ((0.5, goal.p50), (0.95, goal.p95), (0.99, goal.p99)):
            took = found.percentile(part)
            if took > most:
                yield f"{goal.name}: p{round(part * 100)} is {took:.0f} ms, promised are {most:.0f}"
