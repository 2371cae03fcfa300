"""One run of all measurements, as one table, and as JSON with `--json FILE`."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from loadtests.benchmark.events import authorized, fill
from loadtests.benchmark.figures import Figure, Report, machine, versions
from loadtests.benchmark.long_log import long_log_figures
from loadtests.benchmark.pages import load_generator, page_figures
from loadtests.benchmark.parties import party_figures
from loadtests.benchmark.publishes import publish_figures
from loadtests.benchmark.serving import service, watched
from loadtests.benchmark.sink import telemetry
from loadtests.benchmark.waiting import slow_reader_figures, waiting_figures

# Far more than the service reads from memory.
EVENTS = 30_000


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
    with service(_made(folder / "served")) as first:
        yield Figure(name="start-up in an empty folder", ours=first.ready_seconds, unit="s")
    with service(folder / "served") as server:
        yield Figure(name="start-up again", ours=server.ready_seconds, unit="s")
        yield Figure(name="private memory at rest", ours=server.memory_mib(), unit="MiB")
    for workers in (1, 2):
        yield from _loaded(_made(folder / f"workers-{workers}"), workers=workers)
    yield from long_log_figures(_made(folder / "logs"))
    yield from party_figures(_made(folder / "parties"))
    yield from waiting_figures(folder / "waiting")
    yield from slow_reader_figures(folder / "slow")


def _loaded(folder: Path, *, workers: int) -> Iterator[Figure]:
    """Pages and publishes, everything on: tokens, scopes, filters, telemetry."""
    each = f", {workers} workers" if workers > 1 else ""
    with telemetry() as sent, service(_made(folder / "served"), EVENTFEED_WORKERS=str(workers), **sent) as server:
        headers = authorized(server)
        fill(server, headers, events=EVENTS)
        with watched(server) as peak:
            for figure in page_figures(server, headers, folder=folder, sent=sent):
                yield replace(figure, name=figure.name + each)
        yield Figure(name=f"private memory, the most during pages{each}", ours=peak.mib, unit="MiB")
        with watched(server) as peak:
            for figure in publish_figures(server, headers, folder=folder, sent=sent):
                yield replace(figure, name=figure.name + each)
        yield Figure(name=f"private memory, the most during publishes{each}", ours=peak.mib, unit="MiB")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
