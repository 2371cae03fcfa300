"""Rules: figures, curves and surfaces of the price model, each with its source."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Rule(NamedTuple):
    """A figure with its unit and its source."""

    name: str
    value: float
    unit: str
    source: str

    @property
    def figure(self) -> str:
        """The value with its unit."""
        return f"{self.value:,} {self.unit}"


class Curve(NamedTuple):
    """A figure that depends on another one: points in increasing order, with lines between them."""

    name: str
    points: Sequence[tuple[float, float]]
    unit: str
    source: str

    @property
    def figure(self) -> str:
        """The points with the unit."""
        return ", ".join(f"{value:,} at {position:,}" for position, value in self.points) + f" {self.unit}"

    def at(self, position: float) -> float:
        """Return the value at a position, and outside of the points that of the nearest one."""
        for (start, first), (end, last) in pairwise(self.points):
            if position <= end:
                return first + (last - first) * max(0.0, position - start) / (end - start)
        return self.points[-1][1]


class Surface(NamedTuple):
    """A figure that depends on two others: a curve for each of some levels, in increasing order, with lines between."""

    name: str
    curves: Sequence[tuple[float, Sequence[tuple[float, float]]]]
    unit: str
    source: str

    @property
    def figure(self) -> str:
        """The points of each level with the unit."""
        return "; ".join(f"{level:g}: {self._curve(points).figure}" for level, points in self.curves)

    def at(self, level: float, position: float) -> float:
        """Return the value at a level and a position, and outside of the points that of the nearest one."""
        return self._curve([(each, self._curve(points).at(position)) for each, points in self.curves]).at(level)

    def _curve(self, points: Sequence[tuple[float, float]]) -> Curve:
        return Curve(self.name, points, self.unit, self.source)
