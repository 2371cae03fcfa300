"""The measurements of one system: it is started afresh for each, so that none depends on another."""

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from loadtests.benchmark.followers import open_files_shortage
from loadtests.peers.effort import Effort
from loadtests.peers.generator import Following, Publishing, Reading, Waking, apply_load
from loadtests.peers.systems import Start, System

PUBLISHERS = 8
BATCH_EVENTS = 100
PUBLISH_RATE = 50
PAGE_EVENTS = 1_000
# The end of the names of rows with two workers of the service.
TWO_WORKERS = ", 2 workers"

# The values of a measurement by the names of their rows.
Values = Mapping[str, float]
Measure = Callable[[Start, Path], Values]


class Row(NamedTuple):
    """A row of the table: its name and unit."""

    name: str
    unit: str


Rows = Sequence[Row]


class Measurement(NamedTuple):
    """Rows that are measured together, and the systems that take no part."""

    rows: Rows
    measure: Measure
    without: frozenset[str] = frozenset()


def measurements(effort: Effort) -> Iterator[Measurement]:
    """All measurements, in the order of the table."""
    one, batch = f"publish of one, {PUBLISHERS} publishers", f"batches of {BATCH_EVENTS}, {PUBLISHERS} publishers"
    publishing = partial(_publishing, seconds=effort.publish_seconds)
    rows = _publishing_rows(one)
    yield Measurement(rows, partial(publishing, names=rows, events=1))
    rows = _publishing_rows(one, suffix=TWO_WORKERS)
    yield Measurement(rows, partial(publishing, names=rows, events=1), frozenset({"NATS", "Centrifugo"}))
    rows = _publishing_rows(batch)
    yield Measurement(rows, partial(publishing, names=rows, events=BATCH_EVENTS))
    yield from _reading_measurements(effort)
    yield from _follower_measurements(effort)


def _publishing_rows(load: str, *, suffix: str = "") -> Rows:
    return (
        Row(f"{load}{suffix}", "1/s"),
        Row(f"{load}: CPU time of 1,000{suffix}", "s"),
        Row(f"{load}: p99{suffix}", "ms"),
    )


def _reading_measurements(effort: Effort) -> Iterator[Measurement]:
    rows: Rows
    pages = f"catch-up in pages of {PAGE_EVENTS:,}"
    rows = (Row(pages, "1/s"), Row(f"{pages}: CPU time of 100,000", "s"))
    yield Measurement(rows, partial(_reading, names=rows, command="pages", events=effort.events))
    rows = (Row("catch-up by a stream", "1/s"), Row("catch-up by a stream: CPU time of 100,000", "s"))
    measure = partial(_reading, names=rows, command="stream", events=effort.events)
    yield Measurement(rows, measure, frozenset({"Centrifugo"}))


def _follower_measurements(effort: Effort) -> Iterator[Measurement]:
    rows: Rows
    live = f"{effort.followers:,} followers, {PUBLISH_RATE} events a second"
    rows = (
        Row(f"{live}: publish to receipt, median", "ms"),
        Row(f"{live}: the same, p99", "ms"),
        Row(f"{live}: publish, median", "ms"),
        Row(f"{live}: events a second", "1/s"),
        Row(f"{effort.followers:,} followers: deliveries a second at most", "1/s"),
    )
    yield Measurement(rows, partial(_following, names=rows, effort=effort))
    for number in effort.idle_followers:
        if message := open_files_shortage(number):
            print(f"left out: {message}", file=sys.stderr)
            continue
        idle = f"{number:,} idle followers"
        rows = (Row(f"{idle}: memory of one", "KiB"), Row(f"{idle}: one event wakes all, p99", "ms"))
        yield Measurement(rows, partial(_waking, names=rows, number=number, wakes=effort.wakes))


def _publishing(start: Start, folder: Path, *, names: Rows, events: int, seconds: float) -> Values:
    with start(folder) as system:
        load = partial(apply_load, system.target, "publish", result=Publishing, publishers=PUBLISHERS, events=events)
        load(seconds=seconds / 4)
        before = system.cpu_seconds()
        result = load(seconds=seconds)
        cpu = system.cpu_seconds() - before
    return _values(names, result.events / result.seconds, 1_000 * cpu / result.events, result.p99)


def _reading(start: Start, folder: Path, *, names: Rows, command: str, events: int) -> Values:
    """Fill a feed, start the system again, and read all."""
    with start(folder) as system:
        load = partial(apply_load, system.target, "publish", result=Publishing, publishers=PUBLISHERS)
        # Each publisher has the same number of whole batches.
        total = load(events=BATCH_EVENTS, count=events).events
    with start(folder) as system:
        before = system.cpu_seconds()
        result = apply_load(system.target, command, result=Reading, count=total)
        cpu = system.cpu_seconds() - before
    return _values(names, result.events / result.seconds, 100_000 * cpu / result.events)


def _following(start: Start, folder: Path, *, names: Rows, effort: Effort) -> Values:
    with start(folder) as system:
        result = apply_load(
            system.target,
            "follow",
            result=Following,
            between=_nothing,
            followers=effort.followers,
            rate=PUBLISH_RATE,
            seconds=effort.follow_seconds,
            most=effort.most_seconds,
        )
    return _values(names, result.receipt_p50, result.receipt_p99, result.publish_p50, result.rate, result.deliveries)


def _waking(start: Start, folder: Path, *, names: Rows, number: int, wakes: int) -> Values:
    with start(folder) as system:
        memory = _Memory(system)
        result = apply_load(system.target, "wake", result=Waking, between=memory.sample, followers=number, wakes=wakes)
    return _values(names, memory.growth_kib / number, statistics.median(result.p99))


class _Memory:
    """The growth of a system's memory from the start of a load to the sample (KiB)."""

    def __init__(self, system: System) -> None:
        self._system, self._start, self.growth_kib = system, system.resident_kib(), 0.0

    def sample(self) -> None:
        """Measure the growth until now."""
        self.growth_kib = self._system.resident_kib() - self._start


def _nothing() -> None:
    """Let the load go on as soon as all followers are connected."""


def _values(rows: Rows, *values: float) -> Values:
    return {row.name: value for row, value in zip(rows, values, strict=True)}
