"""`make growth`: measure all sections, and print their tables. `--json FILE` stores them, `--page` updates the docs."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

import msgspec

from loadtests.benchmark.figures import machine, versions
from loadtests.growth.cosmos import cosmos_table
from loadtests.growth.effort import FULL, SHORT
from loadtests.growth.page import COSMOS_TITLE, markdown, table, update_page
from loadtests.growth.sections import Section, sections

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run, with its machine and versions."""

    machine: str
    versions: str
    sections: list[Section]
    cosmos: list[list[str]]


def main() -> None:
    """Measure, print and store. The files of a run are removed also after an interruption."""
    parser = argparse.ArgumentParser(prog="make growth")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures for comparison")
    parser.add_argument("--page", action="store_true", help=f"write the tables and plots of {PAGE.name}")
    parser.add_argument("--short", action="store_true", help="see every figure quickly; not for conclusions")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        report = _measure(short=options.short)
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if options.page:
        form = " in short" * options.short
        origin = f"Measured{form} on {report.machine}, with {report.versions}."
        update_page(PAGE, report.sections, cosmos=report.cosmos, origin=origin)


def _measure(*, short: bool) -> Report:
    """Measure, and print each table as soon as it is known, with the costs that grow."""
    done = list[Section]()
    print(f"{machine()}; {versions()}")
    for section in sections(SHORT if short else FULL):
        print(f"\n{section.title}\n\n{markdown(table(section))}", flush=True)
        for figure in section.figures:
            if figure.grows:
                print(f"grows: {figure.name}")
        done.append(section)
    cosmos = [list(row) for row in cosmos_table()]
    print(f"\n{COSMOS_TITLE}\n\n{markdown(cosmos)}")
    return Report(machine=machine(), versions=versions(), sections=done, cosmos=cosmos)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
