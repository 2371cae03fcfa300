"""Memory of a service under load: what is looked at, and when it is said to grow."""

from pathlib import Path

import pytest
from loadtests.benchmark.serving import service
from loadtests.memory import JUDGED_SECONDS, SLOPE_MAX, TOLD_SECONDS, Memory, Sample, remembered

MINUTE = 60.0


def grown(*, seconds: float, hourly: float) -> Memory:
    """A run that fills memory for the first third of its time, and then goes on by so much an hour (MB)."""
    memory = Memory()
    moments = [number * MINUTE for number in range(round(seconds / MINUTE) + 1)]
    memory.samples += [
        Sample(each, min(50 + 150 * each / seconds, 100) + hourly * each / 3_600 + (-1) ** round(each / MINUTE))
        for each in moments
    ]
    return memory


@pytest.mark.parametrize("hourly", [-3.0, 0.0, 1.0, 5.0])
def test_a_slope_is_of_what_comes_after_the_warm_up(hourly: float) -> None:
    """By least squares, so that what goes up and down says little."""
    assert hourly == pytest.approx(grown(seconds=JUDGED_SECONDS, hourly=hourly).slope(), abs=0.6)


def test_a_long_run_that_grows_breaks_a_promise() -> None:
    """A shorter one tells, if it is not too short for that too."""
    assert f"promised are {SLOPE_MAX}" in grown(seconds=JUDGED_SECONDS, hourly=5).broken()
    assert "+5" in grown(seconds=JUDGED_SECONDS, hourly=5).told()
    assert not grown(seconds=JUDGED_SECONDS, hourly=1).broken()
    assert not grown(seconds=JUDGED_SECONDS - MINUTE, hourly=5).broken()
    assert "is judged" not in grown(seconds=JUDGED_SECONDS, hourly=5).told()
    assert "+5" in grown(seconds=TOLD_SECONDS, hourly=5).told()
    assert "is judged" in grown(seconds=TOLD_SECONDS, hourly=5).told()
    assert "an hour" not in grown(seconds=TOLD_SECONDS - MINUTE, hourly=5).told()
    assert ("memory: nothing was seen", "", 0.0) == (Memory().told(), Memory().broken(), Memory().slope())


def test_memory_is_kept_while_a_run_lasts(tmp_path: Path) -> None:
    """Of every serving process, without the pages of its files; the end is looked at however short it was."""
    with service(tmp_path, workers=2) as server:
        with remembered(server, tmp_path / "memory.csv") as memory:
            pass
        (sample,) = memory.samples
        assert 40 < sample.megabytes < server.memory_mib() * 2
    assert f"seconds,megabytes\n{sample.seconds:.1f},{sample.megabytes:.3f}\n" == (tmp_path / "memory.csv").read_text()
