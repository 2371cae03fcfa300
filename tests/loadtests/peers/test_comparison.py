"""The comparison: its table, the table of the documentation, failures, and the whole with the service alone."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from loadtests.peers.comparison import Comparison, Line, columns, compare
from loadtests.peers.effort import FULL, SHORT
from loadtests.peers.measures import Measurement, Row, measurements
from loadtests.peers.systems import System
from loadtests.peers.toolchain import FOLDER

from loadtests.peers import comparison as module
from loadtests.peers import measures

ROOT = Path(__file__).parents[3]
SYSTEMS = ("eventfeed", "NATS", "Centrifugo")
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")


def table_rows(text: str) -> Sequence[Sequence[str]]:
    """The cells of the rows of the table in a text."""
    lines = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in text.splitlines()]
    start = lines.index(list(columns(SYSTEMS))) + 2
    return list(itertools.takewhile(lambda cells: len(cells) == len(columns(SYSTEMS)), lines[start:]))


@contextmanager
def no_system(folder: Path) -> Iterator[System]:
    """A system without processes, whose folder is empty at the start."""
    assert [] == list(folder.iterdir())
    (folder / "log").touch()
    yield System((), [])


def test_documentation_has_every_row_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures are those of a full run, on a machine that permits enough open files."""
    monkeypatch.setattr(measures, "open_files_shortage", lambda _: "")
    rows = [row for measurement in measurements(FULL) for row in measurement.rows]
    documentation = (ROOT / "docs" / "performance.md").read_text()

    assert [[row.name, row.unit] for row in rows] == [row[:2] for row in table_rows(documentation)]


def test_short_form_has_as_many_rows_and_is_smaller() -> None:
    """Only the sizes differ."""
    full, short = ([len(each.rows) for each in measurements(effort)] for effort in (FULL, SHORT))

    assert full == short
    assert all(getattr(SHORT, name) < getattr(FULL, name) for name in SHORT._fields)


def test_table_has_values_and_ratios_of_the_systems_that_take_part() -> None:
    """A failure is named in its cell, and has no ratio."""
    lines = [
        Line(name="pages", unit="1/s", values={"eventfeed": 1_500.0, "NATS": 3_000.0, "Centrifugo": None}),
        Line(name="stream", unit="ms", values={"eventfeed": 2.0, "NATS": 0.0}),
        Line(name="memory", unit="KiB", values={"eventfeed": None, "NATS": 48.04, "Centrifugo": 63.0}),
    ]
    comparison = Comparison(machine="2 cores", versions={"NATS": "v2"}, systems=SYSTEMS, lines=lines, failures=[])

    assert comparison.table().startswith("2 cores; NATS v2\n\n| measurement")
    assert [
        ["pages", "1/s", "1,500", "3,000", "failed", "0.50", ""],
        ["stream", "ms", "2.00", "0.00", "", "", ""],
        ["memory", "KiB", "failed", "48.0", "63.0", "", ""],
    ] == table_rows(comparison.table())


def test_measurement_that_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every system begins with an empty folder, and the reason of a failure is printed and kept."""

    def measure(start: object, folder: Path) -> dict[str, float]:
        if start is other:
            raise RuntimeError("no port")
        with no_system(folder):
            return {"pages": 2.0}

    def other(folder: Path) -> object:
        raise NotImplementedError(folder)

    measurement = Measurement((Row("pages", "1/s"),), measure, frozenset({"Centrifugo"}))
    monkeypatch.setattr(module, "measurements", lambda _: [measurement, measurement])
    systems = {"eventfeed": no_system, "NATS": other, "Centrifugo": no_system}
    lines, failures = compare(systems, no_system, effort=SHORT)  # type: ignore[arg-type]  # one is no system

    assert [{"eventfeed": 2.0, "NATS": None}] * 2 == [line.values for line in lines]
    assert ["NATS, pages: no port"] * 2 == failures
    assert "NATS, pages: no port" in capsys.readouterr().err


def test_measurement_after_the_end_of_the_program_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole program is bounded in time."""
    monkeypatch.setattr(module, "PROGRAM_SECONDS_MAX", -1.0)
    _, failures = compare({"eventfeed": no_system}, no_system, effort=SHORT)

    assert all("left out: the program ends after" in failure for failure in failures)
    assert len(list(measurements(SHORT))) == len(failures)


@needs_go
def test_load_generator_has_the_format_of_go() -> None:
    """`gofmt` would change nothing."""
    command = ["gofmt", "-l", str(FOLDER / "load")]

    assert "" == subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_go
def test_short_form_measures_the_service_alone(tmp_path: Path) -> None:
    """Each row has a value, and a stream delivers every event to every follower."""
    command = [sys.executable, "-m", "loadtests.peers", "--short", "--only", "eventfeed"]
    process = subprocess.run(
        [*command, "--json", str(tmp_path / "figures.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert 0 == process.returncode, process.stderr
    lines = json.loads((tmp_path / "figures.json").read_text())["lines"]
    rows = [row for measurement in measurements(SHORT) for row in measurement.rows]
    assert [row.name for row in rows] == [line["name"] for line in lines]
    figures = {line["name"]: line["values"]["eventfeed"] for line in lines}
    assert all(figure > 0 for name, figure in figures.items() if "memory" not in name and "CPU" not in name)
