"""`make peers`: measure the service, NATS JetStream and Centrifugo in one run, and print one table."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from loadtests.benchmark.figures import machine
from loadtests.peers.comparison import OURS, Comparison, compare
from loadtests.peers.effort import FULL, SHORT
from loadtests.peers.systems import Start, centrifugo, eventfeed, nats
from loadtests.peers.toolchain import MissingProgramError, build, redis, versions

# Exit codes: something is missing in the table, and nothing can be measured.
INCOMPLETE, NOTHING = 1, 2


def _prepare_nats() -> None:
    build("nats-server")


def _prepare_centrifugo() -> None:
    redis()
    build("centrifugo")


PEERS: Sequence[tuple[str, Start, Callable[[], None]]] = (
    ("NATS", nats, _prepare_nats),
    ("Centrifugo", centrifugo, _prepare_centrifugo),
)


def main() -> int:
    """Build, measure, print and store. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures for comparison")
    parser.add_argument("--short", action="store_true", help="see every row quickly; not for conclusions")
    parser.add_argument("--only", metavar="SYSTEM", choices=[OURS], help="measure the service alone")
    options = parser.parse_args()
    try:
        build("load")
    except MissingProgramError as missing:
        print(missing, file=sys.stderr)
        return NOTHING
    failures = list[str]()
    systems = {OURS: eventfeed} if options.only else _systems(failures)
    lines, more = compare(systems, partial(eventfeed, workers=2), effort=SHORT if options.short else FULL)
    comparison = Comparison(
        machine=machine(), versions=_versions(systems), systems=list(systems), lines=lines, failures=failures + more
    )
    print(comparison.table())
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(comparison)) + b"\n")
    return INCOMPLETE if comparison.failures else 0


def _systems(failures: list[str]) -> Mapping[str, Start]:
    """The systems whose programs are here. The others are printed, and added to the failures."""
    systems: dict[str, Start] = {OURS: eventfeed}
    for name, start, prepare in PEERS:
        try:
            prepare()
            systems[name] = start
        except MissingProgramError as missing:
            failures.append(f"{name} is left out: {missing}")
            print(failures[-1], file=sys.stderr)
    return systems


def _versions(systems: Mapping[str, Start]) -> Mapping[str, str]:
    """The versions of the service and of the programs beside it."""
    pinned = versions()
    names = {OURS: version(OURS)}
    if "NATS" in systems:
        names["NATS"] = pinned["nats-server"]
    if "Centrifugo" in systems:
        output = subprocess.run([redis(), "--version"], capture_output=True, text=True, check=True).stdout
        names["Centrifugo"] = pinned["centrifugo"]
        names["Redis"] = next(part for part in output.split() if part.startswith("v=")).removeprefix("v=")
    return names


if __name__ == "__main__":
    sys.exit(main())
