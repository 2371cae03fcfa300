"""The memory of a service under load, and its growth: a soak test has a goal for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, linear_regression
from typing import NamedTuple

from loadtests.benchmark.servers import Server, periodic_calls

# MB an hour, after warm-up. At ordinary load, warm-up takes half an hour: a shorter run has no meaningful slope.
SLOPE_MAX = 2.0
REPORT_SECONDS_MIN, GOAL_SECONDS_MIN = 1_800.0, 5_400.0
# This share of a run is warm-up.
WARM_UP_SHARE = 1 / 3
SAMPLE_SECONDS = 5.0


class Sample(NamedTuple):
    """The time since the start of the run (s), and the anonymous memory of all workers (MB), without mapped files."""

    seconds: float
    megabytes: float


class Memory:
    """The samples of a run, in order of time."""

    def __init__(self) -> None:
        self.samples = list[Sample]()

    def slope(self) -> float:
        """The growth after warm-up by least squares (MB an hour), 0 with fewer than two samples."""
        samples = self._after_warm_up()
        if len(samples) < 2:
            return 0.0
        return linear_regression([each.seconds / 3_600 for each in samples], [each.megabytes for each in samples]).slope

    def summary(self) -> str:
        """One line for the verdict."""
        samples = self._after_warm_up()
        if not samples:
            return "memory: nothing was measured"
        mean, seconds = fmean(each.megabytes for each in samples), self.samples[-1].seconds
        slope = f", {self.slope():+.1f} MB an hour after the first third" if seconds >= REPORT_SECONDS_MIN else ""
        hint = f"; a run of {GOAL_SECONDS_MIN:,.0f} s has a goal for its growth" if seconds < GOAL_SECONDS_MIN else ""
        return f"memory of the service: {mean:.1f} MB{slope}{hint}"

    def missed_goal(self) -> str:
        """Describe the goal if the run missed it; "" if it met the goal or was too short for it."""
        if not self.samples or self.samples[-1].seconds < GOAL_SECONDS_MIN or self.slope() <= SLOPE_MAX:
            return ""
        return f"memory grows by {self.slope():.1f} MB an hour, the limit is {SLOPE_MAX:.1f}"

    def _after_warm_up(self) -> Sequence[Sample]:
        return [each for each in self.samples if each.seconds >= WARM_UP_SHARE * self.samples[-1].seconds]


@contextmanager
def recorded_memory(server: Server, file: Path) -> Iterator[Memory]:
    """Sample the memory of a service every few seconds while the block lasts, and write the samples as CSV."""
    memory = Memory()
    with file.open("w", buffering=1) as csv:
        csv.write("seconds,megabytes\n")

        def sample(seconds: float) -> None:
            memory.samples.append(Sample(seconds, server.anonymous_mb()))
            csv.write("{:.1f},{:.3f}\n".format(*memory.samples[-1]))

        with periodic_calls(sample, every=SAMPLE_SECONDS):
            yield memory
