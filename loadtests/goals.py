"""Goals for the response times of each scenario, and the comparison with a run. The exit code depends on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PUBLISH, LAG, AGE = "publish", "lag", "age at read"
POLL_AGE = f"{AGE} when polled"


class Goal(NamedTuple):
    """The maximum median, 95th and 99th percentile (ms) of the requests with this name."""

    name: str
    p50: float
    p95: float
    p99: float


class Measurement(NamedTuple):
    """The requests of one name in a run: their number, their failures, and a function for their percentiles (ms)."""

    requests: int
    failures: int
    percentile: Callable[[float], float]


# Load generator and service share a machine here. Between two machines, the network adds to these times.
GOALS = (
    Goal(PUBLISH, p50=50, p95=150, p99=400),
    Goal("S1 app, page", p50=25, p95=100, p99=250),
    Goal("S2 citizen, page", p50=25, p95=100, p99=250),
    Goal("S3 organisation, page", p50=25, p95=100, p99=250),
    Goal("S5 instance, page", p50=25, p95=100, p99=250),
    # From the receipt to a reader that waits: the contract allows 250 ms.
    Goal(f"S1 app, {LAG}", p50=50, p95=150, p99=250),
    Goal(f"S4 bank, {LAG}", p50=50, p95=150, p99=250),
    # From the publish request to a reader that waits: the same limit.
    Goal(f"S1 app, {AGE}", p50=100, p95=200, p99=250),
    Goal(f"S4 bank, {AGE}", p50=100, p95=200, p99=250),
    # A user that polls every half second to two seconds gets the event with its next poll.
    *(
        Goal(f"{scenario}, {POLL_AGE}", p50=1_250, p95=2_100, p99=2_250)
        for scenario in ("S1 app", "S2 citizen", "S3 organisation")
    ),
)
# This exit code distinguishes a missed goal from a run that could not be made.
EXIT_MISSED = 3
REPORT_NAME = "report.html"
# Of all requests.
FAILURES_MAX = 0


def verdict_file(report: Path) -> Path:
    """Return the path of the verdict beside Locust's report, which is written later."""
    return report.with_name("verdict.txt")


def missed_goals(measurements: Mapping[str, Measurement], *, goals: Sequence[Goal], violations: int) -> Iterator[str]:
    """Describe each goal that a run missed. A goal without measurement is missed too."""
    if violations:
        yield f"{violations} violations: events missed, late, duplicate, out of order, or of another feed"
    failures = sum(each.failures for each in measurements.values())
    if failures > FAILURES_MAX:
        yield f"{failures} failed requests, the limit is {FAILURES_MAX}"
    for goal in goals:
        measurement = measurements.get(goal.name)
        if measurement is None or not measurement.requests:
            yield f"{goal.name}: nothing was measured"
            continue
        for quantile, limit in ((0.5, goal.p50), (0.95, goal.p95), (0.99, goal.p99)):
            milliseconds = measurement.percentile(quantile)
            if milliseconds > limit:
                yield f"{goal.name}: p{round(quantile * 100)} is {milliseconds:.0f} ms, the limit is {limit:.0f}"
