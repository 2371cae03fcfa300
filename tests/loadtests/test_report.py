"""The verdict of a load test: its exit code and its messages."""

import subprocess
import sys
from pathlib import Path

import pytest
from loadtests.goals import EXIT_MISSED

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("event", "code", "text"),
    [
        ("nothing", 0, ""),
        ("violation", EXIT_MISSED, "missed: 1 violations"),
        ("slow response", EXIT_MISSED, "missed: publish: p95 is 10000 ms, the limit is 150"),
        ("failed request", EXIT_MISSED, "missed: 1 failed requests"),
        ("failed user", EXIT_MISSED, "missed: 1 times a user failed: no such header"),
    ],
)
def test_exit_code_of_a_run_depends_on_its_goals(event: str, code: int, text: str) -> None:
    """A missed goal is also a message on standard error."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.loadtests.run_verdict", event],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert code == process.returncode, process.stderr
    assert text in process.stderr
