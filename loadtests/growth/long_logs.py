"""The cost of each operation by the length of the log."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtests.benchmark.servers import service
from loadtests.growth.costs import Cost, Request
from loadtests.growth.effort import Effort
from loadtests.growth.figures import Figure, figure
from loadtests.growth.log_files import cache_pages, create_log, drop_cached_pages
from loadtests.growth.measures import Measure
from loadtests.growth.series import Series
from loadtests.growth.served_log import ServedLog

MICROSECONDS = 1e6
# Per cent.
PUBLISHES_SHARE = 10


class LogFile(NamedTuple):
    """A log on the disk: its folder and file, and its events."""

    folder: Path
    file: Path
    series: Series


LogFiles = Mapping[int, LogFile]
# By the size of the log.
Costs = Mapping[int, list[Cost]]


def create_logs(folder: Path, logs: Mapping[int, Series], *, empty: Path) -> LogFiles:
    """Create a log for each size, from the folder of an empty one."""
    folder.mkdir()
    return {
        size: LogFile(subfolder := folder / f"{size}", create_log(subfolder, series, empty=empty), series)
        for size, series in logs.items()
    }


def request_figures(
    logs: LogFiles, measures: Sequence[Measure], *, settings: Mapping[str, str], effort: Effort, runs: int
) -> Iterator[Figure]:
    """Measure starts of services and requests to all logs in turn: with files in memory, and at their first touch.

    Each run has new processes, because two processes that do the same work differ by some ten per cent.
    """
    starts, first_starts = no_costs(logs), no_costs(logs)
    costs, first_costs = ({measure: no_costs(logs) for measure in measures} for _ in range(2))
    memory = {size: list[float]() for size in logs}
    for log in logs.values():
        cache_pages(log.file)
    for run in range(runs):
        with _running_services(logs, settings, order=rotate(logs, run), starts=starts) as served:
            for measure in measures:
                _add_rounds(costs[measure], served, measure=measure, effort=effort)
            for size, each in served.items():
                memory[size].append(each.server.memory_mib())
    for run in range(effort.first_runs):
        for log in logs.values():
            drop_cached_pages(log.file)
        with _running_services(logs, settings, order=rotate(logs, run), starts=first_starts) as served:
            for measure in measures:
                _add_first_touches(first_costs[measure], served, measure=measure, requests=effort.first_requests)
    for measure in measures:
        yield from cost_figures(measure.name, costs[measure], first_costs[measure], unit="µs", factor=MICROSECONDS)
    yield from cost_figures("start of a worker", starts, first_starts, unit="s", factor=1)
    yield figure("private memory of a worker after these requests", memory, unit="MiB")


@contextmanager
def _running_services(
    logs: LogFiles, settings: Mapping[str, str], *, order: Sequence[int], starts: Costs
) -> Iterator[Mapping[int, ServedLog]]:
    """Serve all logs while the block lasts. They start in this order; add the costs of their starts."""
    with ExitStack() as stack:
        served = dict[int, ServedLog]()
        for size in order:
            server = stack.enter_context(service(logs[size].folder, settings))
            starts[size].append(Cost(server.cpu_seconds(), server.ready_seconds))
            served[size] = ServedLog(server, logs[size].series)
        yield served


def rotate(sizes: Mapping[int, object], number: int) -> Sequence[int]:
    """Return the sizes in another order each round, so that none is always the first."""
    order = list(sizes)
    start = number % len(order)
    return [*order[start:], *order[:start]]


def _add_rounds(costs: Costs, logs: Mapping[int, ServedLog], *, measure: Measure, effort: Effort) -> None:
    """Add the costs of some rounds, with the same requests in each round unless they write."""
    batches = {size: _batch(log, measure, effort.requests) for size, log in logs.items()}
    for number in range(-1, effort.rounds):
        for size in rotate(logs, number):
            cost = logs[size].caller.cost(batches[size])
            if number >= 0:  # the round before the first one fills the caches
                costs[size].append(cost)
            if measure.events:
                batches[size] = _batch(logs[size], measure, effort.requests)


def _batch(log: ServedLog, measure: Measure, number: int) -> Sequence[Request]:
    """Return requests of a round: few of those that add many events, so that the log stays as long as it is."""
    few = max(1, number * PUBLISHES_SHARE // 100)
    return [measure.request(log) for _ in range(few if measure.events > 1 else number)]


def _add_first_touches(costs: Costs, logs: Mapping[int, ServedLog], *, measure: Measure, requests: int) -> None:
    """Add the costs of single requests, each when no page of the file is in the cache of the operating system."""
    for number in range(requests):
        for size in rotate(logs, number):
            log = logs[size]
            drop_cached_pages(log.server.store)
            costs[size].append(log.caller.cost([measure.request(log)]))


def cost_figures(name: str, costs: Costs, first_costs: Costs, *, unit: str, factor: float) -> Iterator[Figure]:
    """Return the figures of an operation: its processor time and its time, and its time at the first touch."""

    def by(get: Callable[[Cost], float], some: Costs) -> Mapping[int, Sequence[float]]:
        return {size: [get(cost) for cost in values] for size, values in some.items()}

    yield figure(f"{name}: processor time", by(lambda cost: cost.cpu, costs), unit=unit, factor=factor)
    yield figure(f"{name}: time", by(lambda cost: cost.wall, costs), unit=unit, factor=factor)
    yield figure(f"{name}: time at first touch", by(lambda cost: cost.wall, first_costs), unit=unit, factor=factor)


def no_costs(sizes: Mapping[int, object]) -> Costs:
    """Return an empty list of costs for each size."""
    return {size: [] for size in sizes}
