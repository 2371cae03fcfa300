"""One run of all measurements, as one table, and as JSON with `--json FILE`."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtests.benchmark.events import authorized, fill
from loadtests.benchmark.figures import Figure, Report, machine, versions
from loadtests.benchmark.pages import load_generator, page_figures
from loadtests.benchmark.parties import party_figures
from loadtests.benchmark.publishes import publish_figure
from loadtests.benchmark.serving import service, watched
from loadtests.benchmark.waiting import slow_reader_figures, waiting_figures

# Far more than the service reads from memory.
EVENTS = 10_000


def main() -> None:
    """Measure, print, and keep."""
    arguments = argparse.ArgumentParser(prog="make bench")
    arguments.add_argument("--json", type=Path, metavar="FILE")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = list(_measured(Path(folder)))
    report = Report(machine=machine(), versions=versions(), load=load_generator(), figures=figures)
    print(report.table())
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _measured(folder: Path) -> Iterator[Figure]:
    served, bare, parties = folder / "served", folder / "bare", folder / "parties"
    for each in (served, bare, parties):
        each.mkdir()
    with service(served) as first:
        yield Figure(name="start-up in an empty folder", ours=first.ready_seconds, unit="s")
    with service(served) as server:
        yield Figure(name="start-up again", ours=server.ready_seconds, unit="s")
        yield Figure(name="private memory at rest", ours=server.memory_mib(), unit="MiB")
        headers = authorized(server)
        fill(server, headers, events=EVENTS)
        with watched(server) as peak:
            yield from page_figures(server, headers, folder=bare)
        yield Figure(name="private memory, the most during pages", ours=peak.mib, unit="MiB")
        with watched(server) as peak:
            yield publish_figure(server, headers, folder=folder)
        yield Figure(name="private memory, the most during publishes", ours=peak.mib, unit="MiB")
    yield from party_figures(parties)
    yield from waiting_figures(folder / "waiting")
    yield from slow_reader_figures(folder / "slow")


if __name__ == "__main__":
    main()
