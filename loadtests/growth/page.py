"""The page of the docs that shows the figures: its tables, and its plots beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.growth.figures import Figure, Point
from loadtests.growth.plots import plot
from loadtests.growth.sections import Section

COSMOS_TITLE = "Ten processes on Azure Cosmos DB"


def table(section: Section) -> Sequence[Sequence[str]]:
    """Return the rows of a section's table, the first one with the titles."""
    sizes = sorted({point.size for figure in section.figures for point in figure.points})
    titles = ["cost", "unit", *(f"{size:,} {section.size}" for size in sizes), "last / first"]
    return [titles, *(_row(figure, sizes) for figure in section.figures)]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def update_page(page: Path, sections: Sequence[Section], *, cosmos: Sequence[Sequence[str]], origin: str) -> None:
    """Replace the table below the heading of each section, and write the plots beside the page.

    `origin` replaces the paragraph that begins with the same word.
    """
    tables = {section.title: markdown(table(section)) for section in sections} | {COSMOS_TITLE: markdown(cosmos)}
    page.write_text(_with_tables(page.read_text(), tables, origin=origin))
    for section in sections:
        page.with_name(plot_name(section.title)).write_text(plot(section.figures))


def plot_name(title: str) -> str:
    """Return the name of the file with the plots of a section."""
    return f"scale-{title.rsplit(maxsplit=1)[-1]}.svg"


def _with_tables(text: str, tables: Mapping[str, str], *, origin: str) -> str:
    """Return the text with the table below each of these headings, and the origin of all, replaced."""
    blocks, title = text.rstrip("\n").split("\n\n"), ""
    for number, block in enumerate(blocks):
        if block.startswith("## "):
            title = block.removeprefix("## ")
        elif block.startswith(f"{origin.split(maxsplit=1)[0]} "):
            blocks[number] = origin
        elif block.startswith("|") and title in tables:
            blocks[number] = tables[title]
    return "\n\n".join(blocks) + "\n"


def _row(figure: Figure, sizes: Sequence[int]) -> Sequence[str]:
    points = {point.size: point for point in figure.points}
    cells = (_cell(points[size]) if size in points else "" for size in sizes)
    return [figure.name, figure.unit, *cells, "" if figure.ratio is None else f"{figure.ratio:.2f}"]


def _cell(point: Point) -> str:
    return f"{_number(point.median)} ({_number(point.low)} to {_number(point.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
