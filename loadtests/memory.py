"""What a service holds of its own while people use it, and whether that grows: a soak is judged by it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, linear_regression
from typing import NamedTuple

from loadtests.benchmark.serving import Server, repeated

# MB an hour, once warm. A shorter run's slope says nothing, and one of ordinary load is warm after half an hour only.
SLOPE_MAX = 2.0
TOLD_SECONDS, JUDGED_SECONDS = 1_800.0, 5_400.0
# What is warm-up: this part of a run.
WARM = 1 / 3
EVERY_SECONDS = 5.0


class Sample(NamedTuple):
    """How long a run lasts (s), and the anonymous memory of all workers then (MB): no mapped pages of any file."""

    seconds: float
    megabytes: float


class Memory:
    """What was seen, in order of time."""

    def __init__(self) -> None:
        self.samples = list[Sample]()

    def slope(self) -> float:
        """MB an hour after the warm-up, by least squares; nothing where too little was seen."""
        warm = self._warm()
        if len(warm) < 2:
            return 0.0
        return linear_regression([each.seconds / 3_600 for each in warm], [each.megabytes for each in warm]).slope

    def told(self) -> str:
        """A line for whoever reads the verdict."""
        warm = self._warm()
        if not warm:
            return "memory: nothing was seen"
        held, seconds = fmean(each.megabytes for each in warm), self.samples[-1].seconds
        slope = f", {self.slope():+.1f} MB an hour after the first third" if seconds >= TOLD_SECONDS else ""
        more = f"; a run of {JUDGED_SECONDS:,.0f} s is judged by how it grows" if seconds < JUDGED_SECONDS else ""
        return f"memory of the service: {held:.1f} MB{slope}{more}"

    def broken(self) -> str:
        """Which promise was not kept, in words; nothing when it was, or when the run was too short to tell."""
        if not self.samples or self.samples[-1].seconds < JUDGED_SECONDS or self.slope() <= SLOPE_MAX:
            return ""
        return f"memory grows by {self.slope():.1f} MB an hour, promised are {SLOPE_MAX:.1f}"

    def _warm(self) -> Sequence[Sample]:
        return [each for each in self.samples if each.seconds >= WARM * self.samples[-1].seconds]


@contextmanager
def remembered(server: Server, file: Path) -> Iterator[Memory]:
    """Look at a service every few seconds while the block lasts, and keep it as CSV."""
    memory = Memory()
    with file.open("w", buffering=1) as kept:
        kept.write("seconds,megabytes\n")

        def look(seconds: float) -> None:
            memory.samples.append(Sample(seconds, server.anonymous_mb()))
            kept.write("{:.1f},{:.3f}\n".format(*memory.samples[-1]))

        with repeated(look, every=EVERY_SECONDS):
            yield memory
