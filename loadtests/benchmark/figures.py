"""The figures of a benchmark, as a plain table and as JSON."""

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version

import apsw
import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line. A comparison has the best of its rounds, and all rounds in their order."""

    name: str
    ours: float
    bare: float | None = None
    ratio: float | None = None
    unit: str
    ours_rounds: Sequence[float] = ()
    bare_rounds: Sequence[float] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run, with its machine and versions."""

    machine: str
    versions: str
    load: str
    rounds: int
    figures: Sequence[Figure]

    def table(self) -> str:
        """The report as text."""
        width = max(len(figure.name) for figure in self.figures)
        lines = [
            f"{self.machine}; {self.versions}; pages requested by {self.load}",
            f"Compared in turn, {self.rounds} round{'s' * (self.rounds > 1)}, the best of each.",
            f"{'':<{width}} {'ours':>9} {'bare':>9} {'ratio':>6}  unit",
        ]
        return "\n".join([*lines, *(_line(figure, width=width) for figure in self.figures)])


def comparison(name: str, ours: Callable[[], float], *, bare: Callable[[], float], rounds: int) -> Figure:
    """Measure both rates in turn (1/s), so that a noisy moment affects both."""
    pairs = [(ours(), bare()) for _ in range(rounds)]
    our_rates, bare_rates = [each[0] for each in pairs], [each[1] for each in pairs]
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
    """The end of a figure's name with this many workers."""
    return f", {workers} workers" if workers > 1 else ""


def machine() -> str:
    """The hardware, as far as it matters for ratios."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def versions() -> str:
    """The versions of Python, SQLite and the packages that matter for ratios."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("granian", "litestar", "msgspec", "uvloop"))
    return f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {packages}"


def _line(figure: Figure, *, width: int) -> str:
    bare = "" if figure.bare is None else f"{figure.bare:,.1f}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return f"{figure.name:<{width}} {figure.ours:>9,.1f} {bare:>9} {ratio:>6}  {figure.unit}"
