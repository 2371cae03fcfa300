"""What is found, as one plain table and as JSON."""

import os
import platform
import sqlite3
from collections.abc import Callable, Sequence
from importlib.metadata import version

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line. What is compared holds the best of its rounds, and all of them in the order they were run."""

    name: str
    ours: float
    bare: float | None = None
    ratio: float | None = None
    unit: str
    ours_rounds: Sequence[float] = ()
    bare_rounds: Sequence[float] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of one run, and on what it ran."""

    machine: str
    versions: str
    load: str
    rounds: int
    figures: Sequence[Figure]

    def table(self) -> str:
        """The report as text."""
        width = max(len(figure.name) for figure in self.figures)
        lines = [
            f"{self.machine}; {self.versions}; pages asked for by {self.load}",
            f"Compared in turn, {self.rounds} round{'s' * (self.rounds > 1)}, the best of each.",
            f"{'':<{width}} {'ours':>9} {'bare':>9} {'ratio':>6}  unit",
        ]
        return "\n".join([*lines, *(_line(figure, width=width) for figure in self.figures)])


def compared(name: str, ours: Callable[[], float], *, bare: Callable[[], float], rounds: int) -> Figure:
    """Measure both in turn (1/s), so that a noisy moment meets both."""
    measured = [(ours(), bare()) for _ in range(rounds)]
    our_rates, bare_rates = [each[0] for each in measured], [each[1] for each in measured]
    return Figure(
        name=name,
        ours=max(our_rates),
        bare=max(bare_rates),
        ratio=max(our_rates) / max(bare_rates),
        unit="1/s",
        ours_rounds=our_rates,
        bare_rounds=bare_rates,
    )


def with_workers(workers: int) -> str:
    """What the name of a figure ends in that is measured with so many."""
    return f", {workers} workers" if workers > 1 else ""


def machine() -> str:
    """What hardware this is, as far as it matters for ratios."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def versions() -> str:
    """What the measured service is made of."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("granian", "litestar", "msgspec", "uvloop"))
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}"


def _line(figure: Figure, *, width: int) -> str:
    bare = "" if figure.bare is None else f"{figure.bare:,.1f}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return f"{figure.name:<{width}} {figure.ours:>9,.1f} {bare:>9} {ratio:>6}  {figure.unit}"
