"""The short form of the benchmark: it has every figure. Their values are not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from loadtests.benchmark.effort import FULL, SHORT

ROOT = Path(__file__).parents[2]
COMPARISONS = {
    *(
        f"{page} / bare handler behind {telemetry}"
        for page in ("page of 50 from the store", "page of 50 from memory", "caught-up page", "caught-up 304")
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
SINGLE_FIGURES = {
    "start-up in an empty folder",
    "start-up again",
    "private memory at rest",
    "private memory, the most during pages",
    "private memory, the most during publishes",
}
POLL_FIGURES = {
    *(
        f"50 waiting polls, 2 workers: {figure}"
        for figure in (
            "publish to response, median",
            "the same, p99",
            "one event wakes all",
            "memory of one that idles",
            "private memory, the most",
        )
    ),
    "a stream that catches up, beside 20 slow ones over alone",
    "private memory with 20 slow streams, the most",
}
# Only `wrk` requests each page at another position.
WRK_FIGURE = "page of 50 from memory, each from another cursor / one cursor, 2 workers"


@pytest.mark.timeout(1_200)
def test_short_form_measures_every_figure(tmp_path: Path) -> None:
    """The JSON file has machine and versions, and each comparison has both rates and their ratio."""
    command = [sys.executable, "-m", "loadtests.benchmark", "--short", "--json", str(tmp_path / "figures.json")]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_140, check=False)

    assert 0 == process.returncode, process.stderr
    report = json.loads((tmp_path / "figures.json").read_text())
    figures = {figure["name"]: figure for figure in report["figures"]}
    comparisons = {f"{name}, 2 workers" for name in COMPARISONS}
    single_figures = {f"{name}, 2 workers" for name in SINGLE_FIGURES}
    assert comparisons | single_figures | POLL_FIGURES == figures.keys() - {WRK_FIGURE}
    assert all(name in process.stdout for name in figures)
    assert all(figure["ours"] > 0 for name, figure in figures.items() if "one that idles" not in name)
    for name in comparisons:
        figure = figures[name]
        assert figure["ratio"] == pytest.approx(figure["ours"] / figure["bare"])
    assert "cores" in report["machine"]
    assert "Python" in report["versions"]


def test_full_form_measures_one_and_two_workers() -> None:
    """The short form is smaller in every respect."""
    assert (1, 2) == FULL.workers
    assert (100_000, 10_000_000, 2_000) == (FULL.short_log, FULL.long_log, FULL.waiters)
    assert all(short <= full for short, full in zip(SHORT[1:], FULL[1:], strict=True))
