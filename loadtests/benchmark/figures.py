"""The figures of a benchmark, as a table in Markdown and as JSON."""

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from statistics import quantiles

import apsw
import msgspec

COLUMNS = (
    *("measurement", "compared with", "unit"),
    *("service", "other", "ratio"),
    *("2 workers: service", "other", "ratio"),
)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line. A comparison has the best of its rounds, and all rounds in their order."""

    name: str
    ours: float
    bare: float | None = None
    ratio: float | None = None
    unit: str
    ours_rounds: Sequence[float] = ()
    bare_rounds: Sequence[float] = ()


def p99(values: Sequence[float]) -> float:
    """Return the value that 99 of 100 do not exceed."""
    return quantiles(values, n=100)[98]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run, with its machine and versions."""

    machine: str
    versions: str
    load: str
    rounds: int
    figures: Sequence[Figure]

    def table(self) -> str:
        """The report as text: the table of `docs/performance.md`, with a line above that is not part of it."""
        rows = dict[str, list[str]]()
        for figure in self.figures:
            name = figure.name.removesuffix(with_workers(2))
            cells = rows.setdefault(name, [*_subject(name), figure.unit, *[""] * 6])
            first = 3 if name == figure.name else 6
            cells[first : first + 3] = _cells(figure)
        head = (
            f"{self.machine}; {self.versions}; pages requested by {self.load}. "
            f"Compared in turn, {self.rounds} round{'s' * (self.rounds > 1)}, the best of each."
        )
        return f"{head}\n\n{markdown_table(COLUMNS, list(rows.values()))}"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, which is also aligned as plain text."""
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (columns, *rows)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def format_number(value: float) -> str:
    """A number with three digits, or all of a larger one before its point."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def comparison(name: str, ours: Callable[[], float], *, bare: Callable[[], float], rounds: int) -> Figure:
    """Measure both rates in turn (1/s), so that a noisy moment affects both."""
    pairs = [(ours(), bare()) for _ in range(rounds)]
    return best_of(name, [each[0] for each in pairs], bare=[each[1] for each in pairs], unit="1/s")


def best_of(name: str, ours: Sequence[float], *, bare: Sequence[float], unit: str) -> Figure:
    """Compare the best rounds: the highest rate, or the lowest time or memory."""
    best = max if unit == "1/s" else min
    return Figure(
        name=name,
        ours=best(ours),
        bare=best(bare),
        ratio=best(ours) / best(bare),
        unit=unit,
        ours_rounds=ours,
        bare_rounds=bare,
    )


def with_workers(workers: int) -> str:
    """The end of a figure's name with this many workers."""
    return f", {workers} workers" if workers > 1 else ""


def machine() -> str:
    """The hardware, as far as it matters for ratios."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def versions() -> str:
    """The versions of Python, SQLite and the packages that matter for ratios."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("granian", "litestar", "msgspec", "uvloop"))
    return f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {packages}"


def _subject(name: str) -> tuple[str, str]:
    """The measurement, and what it is compared with."""
    subject, _, other = name.partition(" / ")
    return subject, other


def _cells(figure: Figure) -> tuple[str, str, str]:
    """The figure of the service, the other one, and their ratio."""
    bare = "" if figure.bare is None else format_number(figure.bare)
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return format_number(figure.ours), bare, ratio
