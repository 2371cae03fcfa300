"""The short form of the benchmark: it has every figure, and so has the table of the documentation."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from loadtests.benchmark.effort import FULL, SHORT
from loadtests.benchmark.figures import COLUMNS, Figure, Report, best_of

ROOT = Path(__file__).parents[2]
# Only `wrk` requests each page at another position.
WRK_ROW = "page of N from memory, each from another cursor"


def table_rows(text: str) -> list[list[str]]:
    """The cells of the rows of the table of the benchmark in a text."""
    lines = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in text.splitlines()]
    start = lines.index(list(COLUMNS)) + 2
    return list(itertools.takewhile(lambda cells: len(cells) == len(COLUMNS), lines[start:]))


def row_names(rows: list[list[str]]) -> list[tuple[str, str, str]]:
    """The measurement, the comparison and the unit of each row, without the numbers: these depend on the form."""
    names = [tuple(re.sub(r"[\d,]*\d", "N", cell) for cell in row[:3]) for row in rows]
    return [(name, other, unit) for name, other, unit in names if name != WRK_ROW]


@pytest.mark.timeout(1_800)
def test_short_form_has_the_rows_of_the_documentation(tmp_path: Path) -> None:
    """Each figure is positive, each comparison has its ratio, and the printed table has the documented rows."""
    command = [sys.executable, "-m", "loadtests.benchmark", "--short", "--json", str(tmp_path / "figures.json")]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_740, check=False)

    assert 0 == process.returncode, process.stderr
    report = json.loads((tmp_path / "figures.json").read_text())
    for figure in report["figures"]:
        assert figure["ours"] > 0 or "memory of one" in figure["name"]
        if figure["bare"]:
            assert figure["ratio"] == pytest.approx(figure["ours"] / figure["bare"])
    assert "cores" in report["machine"]
    assert "Python" in report["versions"]
    documentation = (ROOT / "docs" / "performance.md").read_text()
    assert row_names(table_rows(documentation)) == row_names(table_rows(process.stdout))


def test_table_has_one_row_for_one_and_two_workers() -> None:
    """The measurement, its comparison and the unit stand once, before the figures of both."""
    figures = [
        best_of("pages / bare handler", [50.0, 1_234.5], bare=[2_469.0], unit="1/s"),
        best_of("pages / bare handler, 2 workers", [2_000.0], bare=[2_500.0, 2_000.0], unit="1/s"),
        best_of("page at 20 / at 10, 2 workers", [3.0, 2.0], bare=[4.0, 5.0], unit="ms"),
        Figure(name="memory", ours=57.04, unit="MiB"),
    ]
    report = Report(machine="2 cores", versions="Python", load="wrk", rounds=1, figures=figures)

    assert [
        ["pages", "bare handler", "1/s", "1,234", "2,469", "0.50", "2,000", "2,500", "0.80"],
        ["page at 20", "at 10", "ms", "", "", "", "2.00", "4.00", "0.50"],
        ["memory", "", "MiB", "57.0", "", "", "", "", ""],
    ] == table_rows(report.table())


def test_full_form_measures_one_and_two_workers() -> None:
    """The short form is smaller in every respect."""
    assert (1, 2) == FULL.workers
    assert (100_000, 10_000_000, 2_000) == (FULL.short_log, FULL.long_log, FULL.waiters)
    assert (500, (5_000, 19_000)) == (FULL.followers, FULL.idle_followers)
    assert all(short <= full for short, full in zip(SHORT[2:], FULL[2:], strict=True))
