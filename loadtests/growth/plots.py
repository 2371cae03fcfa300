"""Plots of figures as SVG: a panel for each operation, with its costs by size.

Each is drawn as a multiple of that at the first size; a dotted line shows how far it may grow.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from loadtests.growth.figures import RATIO_MAX, Figure

# The panels of a plot, and the room around the axes of one (pixels).
PANELS_A_ROW = 3
_WIDTH, _HEIGHT = 250, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 28, 40
# An axis begins at 0 and ends here or higher.
HIGHEST_MIN = 2
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
        lines += [
            f'<g transform="translate({column * _WIDTH} {row * _HEIGHT})">',
            *_panel(panel),
            "</g>",
        ]
    return "\n".join([*lines, "</svg>", ""])


def operation_of(figure: Figure) -> str:
    """Return the operation that a figure measures."""
    return figure.name.partition(":")[0]


def _panel(figures: Sequence[Figure]) -> Iterator[str]:
    sizes = sorted({point.size for figure in figures for point in figure.points})
    shares = [[point.median / (figure.points[0].median or 1) for point in figure.points] for figure in figures]
    highest = max(HIGHEST_MIN, math.ceil(max(map(max, shares))))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    heights = {share: bottom - (bottom - _TOP) * share / highest for share in (0, 1, RATIO_MAX, highest)}
    yield f'<text x="{_LEFT}" y="14" font-weight="bold">{escape(_short(operation_of(figures[0])))}</text>'
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#999"/>'
    yield f'<path d="M{_LEFT} {heights[RATIO_MAX]:.1f}H{right}" fill="none" stroke="#c00" stroke-dasharray="2 3"/>'
    for share in (0, 1, highest):
        yield f'<text x="{_LEFT - 4}" y="{heights[share] + 4:.1f}" text-anchor="end">{share:,}</text>'
    places = [_LEFT + 12 + (right - _LEFT - 24) * _share(size, sizes) for size in sizes]
    for size, place in zip(sizes, places, strict=True):
        yield f'<text x="{place:.1f}" y="{bottom + 12}" text-anchor="middle">{_size(size)}</text>'
    label = float(_LEFT)
    for figure, values, colour in zip(figures, shares, _COLOURS, strict=False):
        yield from _line(
            places,
            [bottom - (bottom - _TOP) * value / highest for value in values],
            colour=colour,
        )
        kind = figure.name.partition(": ")[2] or figure.unit
        yield f'<text x="{label:.0f}" y="{bottom + 28}" fill="{colour}">{escape(kind)}</text>'
        label += 5.5 * len(kind) + 8


def _line(places: Sequence[float], heights: Sequence[float], *, colour: str) -> Iterator[str]:
    """Yield a line with a dot at each of its points."""
    ends = [(f"{place:.1f}", f"{height:.1f}") for place, height in zip(places, heights, strict=False)]
    yield f'<polyline points="{" ".join(map(",".join, ends))}" fill="none" stroke="{colour}"/>'
    for x, y in ends:
        yield f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'


def _share(size: int, sizes: Sequence[int]) -> float:
    """Return the place of a size on a logarithmic axis, from 0 to 1."""
    lowest, highest = sizes[0], sizes[-1]
    return math.log(size / lowest) / math.log(highest / lowest) if highest > lowest else 0.5


def _size(size: int) -> str:
    exponent = round(math.log10(size))
    return f'10<tspan dy="-4" font-size="8">{exponent}</tspan>' if 10**exponent == size > 1 else f"{size:,}"


def _short(text: str) -> str:
    return text.replace(" from the store", ", store").replace("private memory", "memory").replace("`", "")
