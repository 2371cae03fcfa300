"""One run of all measurements, as one table, and as JSON with `--json FILE`."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from loadtests.benchmark.effort import SHORT, WHOLE, Effort
from loadtests.benchmark.events import authorized, fill
from loadtests.benchmark.figures import Figure, Report, machine, versions, with_workers
from loadtests.benchmark.long_log import long_log_figures
from loadtests.benchmark.pages import load_generator, page_figures
from loadtests.benchmark.parties import party_figures
from loadtests.benchmark.publishes import publish_figures
from loadtests.benchmark.serving import service, watched
from loadtests.benchmark.sink import telemetry
from loadtests.benchmark.waiting import slow_reader_figures, waiting_figures


def main() -> None:
    """Measure, print, and keep."""
    arguments = argparse.ArgumentParser(prog="make bench")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="keep the figures for comparison")
    arguments.add_argument(
        "--short", action="store_true", help="a quick look at every figure, with two workers: none to rely on"
    )
    chosen = arguments.parse_args()
    effort = SHORT if chosen.short else WHOLE
    with tempfile.TemporaryDirectory() as folder:
        figures = list(_measured(Path(folder), effort))
    report = Report(
        machine=machine(), versions=versions(), load=load_generator(), rounds=effort.rounds, figures=figures
    )
    print(report.table())
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _measured(folder: Path, effort: Effort) -> Iterator[Figure]:
    for workers in effort.workers:
        yield from _started(_made(folder / f"started-{workers}"), workers=workers)
    for workers in effort.workers:
        yield from _loaded(_made(folder / f"workers-{workers}"), workers=workers, effort=effort)
    yield from long_log_figures(_made(folder / "logs"), effort)
    yield from party_figures(_made(folder / "parties"), effort)
    yield from waiting_figures(_made(folder / "waiting"), effort)
    yield from slow_reader_figures(_made(folder / "slow"), effort)


def _started(folder: Path, *, workers: int) -> Iterator[Figure]:
    """How long until all workers are ready, and what they weigh then."""
    each = with_workers(workers)
    with service(folder, workers=workers) as first:
        yield Figure(name=f"start-up in an empty folder{each}", ours=first.ready_seconds, unit="s")
    with service(folder, workers=workers) as server:
        yield Figure(name=f"start-up again{each}", ours=server.ready_seconds, unit="s")
        yield Figure(name=f"private memory at rest{each}", ours=server.memory_mib(), unit="MiB")


def _loaded(folder: Path, *, workers: int, effort: Effort) -> Iterator[Figure]:
    """Pages and publishes, everything on: tokens, scopes, filters, telemetry."""
    each = with_workers(workers)
    with telemetry() as sent, service(_made(folder / "served"), sent, workers=workers) as server:
        headers = authorized(server)
        fill(server, headers, events=effort.events)
        with watched(server) as peak:
            for figure in page_figures(server, headers, folder=folder, sent=sent, effort=effort):
                yield replace(figure, name=figure.name + each)
        yield Figure(name=f"private memory, the most during pages{each}", ours=peak.mib, unit="MiB")
        with watched(server) as peak:
            for figure in publish_figures(server, headers, folder=folder, sent=sent, effort=effort):
                yield replace(figure, name=figure.name + each)
        yield Figure(name=f"private memory, the most during publishes{each}", ours=peak.mib, unit="MiB")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
