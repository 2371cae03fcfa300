"""The verdict: the exit code of a run, and what is said of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from loadtests.goals import BROKEN

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("happened", "code", "told"),
    [
        ("nothing", 0, ""),
        ("violation", BROKEN, "broken: 1 violations"),
        ("slow answer", BROKEN, "broken: publish: p95 is 10000 ms, promised are 150"),
        ("failed request", BROKEN, "broken: 1 failed requests"),
        ("failed person", BROKEN, "broken: 1 times a person failed: no such header"),
    ],
)
def test_a_run_ends_as_its_promises_were_kept(happened: str, code: int, told: str) -> None:
    """So that a pipeline goes on, or stops and says why."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.loadtests.judging", happened],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert code == done.returncode, done.stderr
    assert told in done.stderr
