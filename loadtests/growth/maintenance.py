"""The cost of retention by the length of the log, and that of the commands which read the whole log."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import apsw

from loadtests.growth.costs import Cost, cost_of
from loadtests.growth.figures import Figure, figure
from loadtests.growth.log_files import drop_cached_pages, run_command
from loadtests.growth.long_logs import MICROSECONDS, LogFile, LogFiles, cost_figures, no_costs, rotate

# Events that retention deletes in one transaction.
PASS_EVENTS = 100
_MEBIBYTE = 1_024 * 1_024


def trim_figures(logs: LogFiles, *, passes: int, rounds: int) -> Iterator[Figure]:
    """Measure passes of retention: a command that makes several, less one that deletes a single event."""
    costs, first_costs = no_costs(logs), no_costs(logs)
    wal_bytes = {size: list[float]() for size in logs}
    for number in range(rounds):
        for size in rotate(logs, number):
            log = logs[size]
            # The write-ahead log stays while a connection is open, as long as it was at most.
            with closing(apsw.Connection(str(log.file))) as db:
                single = _trim(db, log, events=1)
                for each, prepare in ((costs, None), (first_costs, partial(drop_cached_pages, log.file))):
                    several = _trim(db, log, events=passes * PASS_EVENTS, prepare=prepare)
                    each[size].append(_share(several, single, parts=passes))
                wal_bytes[size].append(Path(f"{log.file}-wal").stat().st_size)
    name = f"retention: a pass of {PASS_EVENTS} events"
    yield from cost_figures(name, costs, first_costs, unit="ms", factor=1_000)
    yield figure("retention: write-ahead log afterwards", wal_bytes, unit="MiB", factor=1 / _MEBIBYTE)


def whole_log_figures(logs: LogFiles, *, empty: Path, events_max: int) -> Iterator[Figure]:
    """Measure the commands that read every event, for each event, less the same command for an empty log."""
    checks, backups = no_costs(logs), no_costs(logs)
    copy = empty / "copy.db"
    for size, log in logs.items():
        if log.series.events <= events_max:
            events = _number_of_events(log)
            checks[size].append(_share(_check(log.folder), _check(empty), parts=events))
            backups[size].append(_share(_back_up(log.folder, copy), _back_up(empty, copy), parts=events))
    for name, costs in (("store check", checks), ("store backup", backups)):
        measured = {size: [cost.cpu for cost in values] for size, values in costs.items() if values}
        yield figure(f"`{name}`, for each event: processor time", measured, unit="µs", factor=MICROSECONDS)


def _trim(db: apsw.Connection, log: LogFile, *, events: int, prepare: Callable[[], None] | None = None) -> Cost:
    """Return the cost of a command that deletes the oldest events."""
    ((oldest,),) = db.execute("SELECT min(sequence) FROM entry")
    before = datetime.fromtimestamp(log.series.time(oldest + events) / 1e6, UTC).isoformat()
    if prepare:
        prepare()
    return cost_of(partial(run_command, "store", "trim", "--before", before, "--yes", folder=log.folder))


def _number_of_events(log: LogFile) -> int:
    """Return the events that the log has by now."""
    with closing(apsw.Connection(str(log.file))) as db:
        ((number,),) = db.execute("SELECT max(sequence) - min(sequence) + 1 FROM entry")
    return int(number)


def _check(folder: Path) -> Cost:
    return cost_of(partial(run_command, "store", "check", folder=folder))


def _back_up(folder: Path, copy: Path) -> Cost:
    cost = cost_of(partial(run_command, "store", "backup", str(copy), folder=folder))
    copy.unlink()
    return cost


def _share(whole: Cost, rest: Cost, *, parts: int) -> Cost:
    return Cost((whole.cpu - rest.cpu) / parts, (whole.wall - rest.wall) / parts)
