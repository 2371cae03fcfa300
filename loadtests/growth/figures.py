"""The figures of a growth run: for each length of a log, or number of apps or readers, the median of all rounds."""

from collections.abc import Mapping, Sequence
from statistics import median, quantiles

import msgspec

# A cost that grows more than this from the first point to the last is a fault.
RATIO_MAX = 1.2


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The median of the rounds at `size`, and their quartiles."""

    size: int
    median: float
    low: float
    high: float


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A cost by size. `ratio` is that of the last size to the first, the median of the ratios of the rounds."""

    name: str
    unit: str
    points: Sequence[Point]
    ratio: float | None

    @property
    def grows(self) -> bool:
        """True if the cost at the last size is too far above that at the first."""
        return self.ratio is not None and self.ratio > RATIO_MAX


def figure(
    name: str, rounds: Mapping[int, Sequence[float]], *, unit: str, factor: float = 1.0, is_bounded: bool = True
) -> Figure:
    """Return the figure of values by size, which were measured in the same rounds.

    Only a cost that is to be bounded has a ratio.
    """
    points = [_point(size, [factor * value for value in values]) for size, values in rounds.items()]
    first, last = (list(rounds.values())[index] for index in (0, -1))
    ratios = [after / before for before, after in zip(first, last, strict=True)] if is_bounded else []
    return Figure(name=name, unit=unit, points=points, ratio=median(ratios) if ratios else None)


def _point(size: int, values: Sequence[float]) -> Point:
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return Point(size=size, median=median(values), low=low, high=high)
