"""The comparison of all systems: measurements in turn, and their table."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from loadtests.benchmark.figures import format_number, markdown_table
from loadtests.peers.effort import PROGRAM_SECONDS_MAX, Effort
from loadtests.peers.measures import TWO_WORKERS, Measurement, Row, Values, measurements
from loadtests.peers.systems import Start

OURS = "eventfeed"
# A system that takes no part, or that was not measured.
NONE, FAILURE = "", "failed"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table with the value of each system that takes part, None where the measurement failed."""

    name: str
    unit: str
    values: Mapping[str, float | None]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one run, with its machine, its versions, and the reasons of what is missing."""

    machine: str
    versions: Mapping[str, str]
    systems: Sequence[str]
    lines: Sequence[Line]
    failures: Sequence[str]

    def table(self) -> str:
        """The report as text: the table of `docs/performance.md`, with a line above that is not part of it."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        rows = [[line.name, line.unit, *_cells(line, self.systems)] for line in self.lines]
        return f"{self.machine}; {versions}\n\n{markdown_table(columns(self.systems), rows)}"


def columns(systems: Sequence[str]) -> Sequence[str]:
    """The head of the table: the systems, and the ratios of the first one to each of the others."""
    return ["measurement", "unit", *systems, *(f"ratio to {name}" for name in systems[1:])]


def compare(systems: Mapping[str, Start], two_workers: Start, *, effort: Effort) -> tuple[list[Line], list[str]]:
    """Measure each row with all systems in turn. Returns the lines, and the failures."""
    failures, lines = list[str](), list[Line]()
    end = time.monotonic() + PROGRAM_SECONDS_MAX
    for measurement in measurements(effort):
        starts = dict(systems)
        if measurement.rows[0].name.endswith(TWO_WORKERS):
            starts[OURS] = two_workers
        values = dict[str, Values]()
        for name in [name for name in starts if name not in measurement.without]:
            try:
                values[name] = _measure(measurement, starts[name], end=end)
            except (RuntimeError, OSError) as failure:
                failures.append(f"{name}, {measurement.rows[0].name}: {failure}")
                print(failures[-1], file=sys.stderr)
                values[name] = {}
        lines += _lines(measurement.rows, values)
    return lines, failures


def _measure(measurement: Measurement, start: Start, *, end: float) -> Values:
    if time.monotonic() > end:
        raise RuntimeError(f"left out: the program ends after {PROGRAM_SECONDS_MAX:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        return measurement.measure(start, Path(folder))


def _lines(rows: Sequence[Row], values: Mapping[str, Values]) -> Iterator[Line]:
    for row in rows:
        yield Line(name=row.name, unit=row.unit, values={name: each.get(row.name) for name, each in values.items()})


def _cells(line: Line, systems: Sequence[str]) -> Iterator[str]:
    ours = line.values.get(systems[0])
    for name in systems:
        value = line.values.get(name)
        yield (FAILURE if name in line.values else NONE) if value is None else format_number(value)
    for name in systems[1:]:
        value = line.values.get(name)
        yield f"{ours / value:.2f}" if ours is not None and value else NONE
