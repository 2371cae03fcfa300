"""`make bench`: run all measurements, and print one table. `--json FILE` stores the figures too."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from loadtests.benchmark.catch_up import catch_up_figures
from loadtests.benchmark.effort import FULL, SHORT, Effort
from loadtests.benchmark.events import authorization, fill
from loadtests.benchmark.figures import Figure, Report, machine, versions, with_workers
from loadtests.benchmark.following import follower_figures
from loadtests.benchmark.long_log import long_log_figures
from loadtests.benchmark.long_polls import long_poll_figures, slow_stream_figures
from loadtests.benchmark.pages import load_generator_name, page_figures
from loadtests.benchmark.parties import party_figures
from loadtests.benchmark.publishing import publish_figures, worker_figures
from loadtests.benchmark.servers import peak_memory, service
from loadtests.benchmark.telemetry_sink import telemetry_sink


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures for comparison")
    parser.add_argument(
        "--short", action="store_true", help="see every figure quickly, with two workers; not for conclusions"
    )
    options = parser.parse_args()
    effort = SHORT if options.short else FULL
    with tempfile.TemporaryDirectory() as folder:
        figures = list(_figures(Path(folder), effort))
    report = Report(
        machine=machine(), versions=versions(), load=load_generator_name(), rounds=effort.rounds, figures=figures
    )
    print(report.table())
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    for workers in effort.workers:
        yield from _start_figures(_subfolder(folder, f"start-{workers}"), workers=workers)
    for workers in effort.workers:
        yield from _load_figures(_subfolder(folder, f"workers-{workers}"), workers=workers, effort=effort)
    yield from worker_figures(_subfolder(folder, "workers"), effort)
    yield from catch_up_figures(_subfolder(folder, "catch-up"), effort)
    yield from follower_figures(_subfolder(folder, "followers"), effort)
    yield from long_log_figures(_subfolder(folder, "logs"), effort)
    yield from party_figures(_subfolder(folder, "parties"), effort)
    yield from long_poll_figures(_subfolder(folder, "polls"), effort)
    yield from slow_stream_figures(_subfolder(folder, "streams"), effort)


def _start_figures(folder: Path, *, workers: int) -> Iterator[Figure]:
    """The time until all workers are ready, and their memory then."""
    suffix = with_workers(workers)
    with service(folder, workers=workers) as first:
        yield Figure(name=f"start-up in an empty folder{suffix}", ours=first.ready_seconds, unit="s")
    with service(folder, workers=workers) as server:
        yield Figure(name=f"start-up again{suffix}", ours=server.ready_seconds, unit="s")
        yield Figure(name=f"private memory at rest{suffix}", ours=server.memory_mib(), unit="MiB")


def _load_figures(folder: Path, *, workers: int, effort: Effort) -> Iterator[Figure]:
    """Pages and publishes of a complete service: tokens, scopes, filters, telemetry."""
    suffix = with_workers(workers)
    with telemetry_sink() as sink, service(_subfolder(folder, "service"), sink, workers=workers) as server:
        headers = authorization(server)
        fill(server, headers, events=effort.events)
        with peak_memory(server) as peak:
            for figure in page_figures(server, headers, folder=folder, telemetry=sink, effort=effort):
                yield replace(figure, name=figure.name + suffix)
        yield Figure(name=f"private memory, the most during pages{suffix}", ours=peak.mib, unit="MiB")
        with peak_memory(server) as peak:
            for figure in publish_figures(server, headers, folder=folder, telemetry=sink, effort=effort):
                yield replace(figure, name=figure.name + suffix)
        yield Figure(name=f"private memory, the most during publishes{suffix}", ours=peak.mib, unit="MiB")


def _subfolder(folder: Path, name: str) -> Path:
    subfolder = folder / name
    subfolder.mkdir()
    return subfolder


if __name__ == "__main__":
    main()
