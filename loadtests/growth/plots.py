"""Plots of figures as SVG: a panel for each operation, with the costs of each kind by size."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

from loadtests.growth.figures import Figure, Point

# The panels of a plot, and the room around the axes of one (pixels).
PANELS_A_ROW = 3
_WIDTH, _HEIGHT = 250, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 28, 40
_COLOURS = ("#0b5cad", "#b3541e", "#5b5b5b")


def plot(figures: Sequence[Figure]) -> str:
    """Return an SVG image with a panel for each operation: figures whose names have one text before the colon."""
    panels = [list(group) for _, group in groupby(figures, key=lambda each: (operation_of(each), each.unit))]
    rows = math.ceil(len(panels) / PANELS_A_ROW)
    size = f'width="{PANELS_A_ROW * _WIDTH}" height="{rows * _HEIGHT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, PANELS_A_ROW)
        lines += [f'<g transform="translate({column * _WIDTH} {row * _HEIGHT})">', *_panel(panel), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def operation_of(figure: Figure) -> str:
    """Return the operation that a figure measures."""
    return figure.name.partition(":")[0]


def _panel(figures: Sequence[Figure]) -> Iterator[str]:
    sizes = sorted({point.size for figure in figures for point in figure.points})
    highest = _round_up(max(point.high for figure in figures for point in figure.points))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    yield f'<text x="{_LEFT}" y="14" font-weight="bold">{escape(_short(operation_of(figures[0])))}</text>'
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#999"/>'
    yield f'<text x="{_LEFT - 4}" y="{_TOP + 4}" text-anchor="end">{highest:,g} {figures[0].unit}</text>'
    yield f'<text x="{_LEFT - 4}" y="{bottom}" text-anchor="end">0</text>'
    places = {size: _LEFT + 12 + (right - _LEFT - 24) * _share(size, sizes) for size in sizes}
    for size, place in places.items():
        yield f'<text x="{place:.0f}" y="{bottom + 12}" text-anchor="middle">{_size(size)}</text>'
    for number, (figure, colour) in enumerate(zip(figures, _COLOURS, strict=False)):
        yield from _line(figure.points, colour=colour, places=places, highest=highest)
        kind = figure.name.partition(": ")[2] or figure.unit
        yield f'<text x="{_LEFT + 62 * number}" y="{bottom + 28}" fill="{colour}">{escape(kind)}</text>'


def _line(points: Sequence[Point], *, colour: str, places: Mapping[int, float], highest: float) -> Iterator[str]:
    """Yield a line through the medians, with a dot at each."""
    heights = [_HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * point.median / highest for point in points]
    ends = [f"{places[point.size]:.1f},{height:.1f}" for point, height in zip(points, heights, strict=True)]
    yield f'<polyline points="{" ".join(ends)}" fill="none" stroke="{colour}"/>'
    for end in ends:
        x, y = end.split(",")
        yield f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'


def _share(size: int, sizes: Sequence[int]) -> float:
    """Return the place of a size on a logarithmic axis, from 0 to 1."""
    lowest, highest = sizes[0], sizes[-1]
    return math.log(size / lowest) / math.log(highest / lowest) if highest > lowest else 0.5


def _round_up(value: float) -> float:
    """Return the next number with one digit."""
    step = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return math.ceil(value / step) * step or 1.0


def _size(size: int) -> str:
    exponent = round(math.log10(size))
    return f'10<tspan dy="-4" font-size="8">{exponent}</tspan>' if 10**exponent == size > 1 else f"{size:,}"


def _short(text: str) -> str:
    return text.replace(" from the store", ", store").replace("private memory", "memory").replace("`", "")
