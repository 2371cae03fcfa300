"""The benchmark in its short form: every figure is there. How large they are is the long form's business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from loadtests.benchmark.effort import SHORT, WHOLE

ROOT = Path(__file__).parents[2]
COMPARED = {
    *(
        f"{asked} / bare handler behind {telemetry}"
        for asked in ("page of 50 from the store", "page of 50 from memory", "caught-up page", "caught-up 304")
        for telemetry in ("the same telemetry", "none")
    ),
    "durable publishes, 64 publishers, 1 event a request / raw batches of 64",
    "durable publishes, 64 publishers, 1 event a request / bare handler that writes it",
    "durable publishes, 64 publishers, 10 events a request / raw batches of 640",
    "page of 50 at 20,000 entries / at 2,000",
    "page of 50 of a party, decided before, from the store / the app's own page",
    "page of 50 over 50 parties, decided now / the app's own page, one caller",
    "page of 50 over 50 parties, decided before / the app's own page, one caller",
}
ALONE = {
    "start-up in an empty folder",
    "start-up again",
    "private memory at rest",
    "private memory, the most during pages",
    "private memory, the most during publishes",
}
WAITING = {
    *(
        f"50 waiting polls, 2 workers: {figure}"
        for figure in (
            "published to answered, median",
            "the same, p99",
            "the last of all woken by one",
            "memory of one that idles",
            "private memory, the most",
        )
    ),
    "a stream that catches up, beside 20 slow ones over alone",
    "private memory with 20 slow streams, the most",
}
# Only `wrk` asks for each page at another place.
ELSEWHERE = "page of 50 from memory, each at another place / the same, 2 workers"


@pytest.mark.timeout(300)
def test_every_figure_is_measured(tmp_path: Path) -> None:
    """In one run, kept as JSON with machine and versions; what is compared holds both rates and their ratio."""
    command = [sys.executable, "-m", "loadtests.benchmark", "--short", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=290, check=False)

    assert 0 == done.returncode, done.stderr
    report = json.loads((tmp_path / "figures.json").read_text())
    figures = {figure["name"]: figure for figure in report["figures"]}
    compared, alone = {f"{name}, 2 workers" for name in COMPARED}, {f"{name}, 2 workers" for name in ALONE}
    assert compared | alone | WAITING == figures.keys() - {ELSEWHERE}
    assert all(name in done.stdout for name in figures)
    assert all(figure["ours"] > 0 for name, figure in figures.items() if "one that idles" not in name)
    for name in compared:
        figure = figures[name]
        assert figure["ratio"] == pytest.approx(figure["ours"] / figure["bare"])
    assert "cores" in report["machine"]
    assert "Python" in report["versions"]


def test_the_whole_measures_one_worker_and_two_at_the_sizes_that_are_promised() -> None:
    """The short form is less of everything."""
    assert (1, 2) == WHOLE.workers
    assert (100_000, 10_000_000, 2_000) == (WHOLE.short_log, WHOLE.long_log, WHOLE.waiters)
    assert all(short <= whole for short, whole in zip(SHORT[1:], WHOLE[1:], strict=True))
