"""The memory of a service under load, and the goal for its growth."""

from pathlib import Path

import pytest
from loadtests.benchmark.servers import service
from loadtests.memory import GOAL_SECONDS_MIN, REPORT_SECONDS_MIN, SLOPE_MAX, Memory, Sample, recorded_memory

MINUTE = 60.0


def growing_memory(*, seconds: float, hourly: float) -> Memory:
    """A run with a steep growth in its first third, and then one of `hourly` MB an hour."""
    memory = Memory()
    times = [number * MINUTE for number in range(round(seconds / MINUTE) + 1)]
    memory.samples += [
        Sample(each, min(50 + 150 * each / seconds, 100) + hourly * each / 3_600 + (-1) ** round(each / MINUTE))
        for each in times
    ]
    return memory


@pytest.mark.parametrize("hourly", [-3.0, 0.0, 1.0, 5.0])
def test_slope_ignores_the_warm_up(hourly: float) -> None:
    """The slope is by least squares, so that noise has little effect."""
    assert hourly == pytest.approx(growing_memory(seconds=GOAL_SECONDS_MIN, hourly=hourly).slope(), abs=0.6)


def test_long_run_with_growing_memory_misses_its_goal() -> None:
    """A shorter run has no goal."""
    assert f"the limit is {SLOPE_MAX}" in growing_memory(seconds=GOAL_SECONDS_MIN, hourly=5).missed_goal()
    assert not growing_memory(seconds=GOAL_SECONDS_MIN, hourly=1).missed_goal()
    assert not growing_memory(seconds=GOAL_SECONDS_MIN - MINUTE, hourly=5).missed_goal()


def test_summary_has_the_slope_of_a_run_of_half_an_hour() -> None:
    """A shorter run has no slope, and a run without goal says so."""
    assert "+5" in growing_memory(seconds=GOAL_SECONDS_MIN, hourly=5).summary()
    assert "has a goal" not in growing_memory(seconds=GOAL_SECONDS_MIN, hourly=5).summary()
    assert "+5" in growing_memory(seconds=REPORT_SECONDS_MIN, hourly=5).summary()
    assert "has a goal" in growing_memory(seconds=REPORT_SECONDS_MIN, hourly=5).summary()
    assert "an hour" not in growing_memory(seconds=REPORT_SECONDS_MIN - MINUTE, hourly=5).summary()


def test_run_without_samples_has_neither_slope_nor_goal() -> None:
    """The summary says that nothing was measured."""
    memory = Memory()

    assert ("memory: nothing was measured", "", 0.0) == (memory.summary(), memory.missed_goal(), memory.slope())


def test_memory_is_sampled_at_the_end_of_a_short_run(tmp_path: Path) -> None:
    """The sample is the anonymous memory of all workers, and is in the CSV file too."""
    with service(tmp_path, workers=2) as server:
        with recorded_memory(server, tmp_path / "memory.csv") as memory:
            pass
        sample = memory.samples[-1]
        assert 40 < sample.megabytes < server.memory_mib() * 2
    assert (tmp_path / "memory.csv").read_text().startswith("seconds,megabytes\n")
    assert (tmp_path / "memory.csv").read_text().endswith(f"\n{sample.seconds:.1f},{sample.megabytes:.3f}\n")
