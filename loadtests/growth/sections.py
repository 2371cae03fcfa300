"""The sections of a growth run: each has its logs, in a folder that is removed at its end."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtests.benchmark.followers import open_files_shortage
from loadtests.benchmark.servers import service
from loadtests.growth.effort import Effort
from loadtests.growth.figures import Figure
from loadtests.growth.followers import STREAM_SETTINGS, follower_figures
from loadtests.growth.log_files import create_store, require_space
from loadtests.growth.long_logs import create_logs, request_figures
from loadtests.growth.maintenance import trim_figures, whole_log_figures
from loadtests.growth.measures import APP_MEASURES, LOG_MEASURES
from loadtests.growth.readers import reader_figures
from loadtests.growth.series import Series
from loadtests.growth.served_log import ServedLog, write_register

DAY = 86_400 * 1_000_000
# The events of each log were registered in this time, and the last one a while ago: none expires.
LOG_DAYS = 60


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a heading in the docs. `size` is the title of what grows."""

    title: str
    size: str
    figures: list[Figure]


def sections(effort: Effort) -> Iterator[Section]:
    """Measure, section by section. Raises `SystemExit` if the machine lacks space or open files."""
    folder = Path(tempfile.gettempdir())
    most = max(sum(effort.events) + effort.whole_log_events, len(effort.apps) * effort.apps_events)
    require_space(folder, events=most)
    if message := open_files_shortage(effort.readers[-1]):
        raise SystemExit(f"make growth: {message}")
    for title, size, measure in _SECTIONS:
        with tempfile.TemporaryDirectory(prefix="growth-") as subfolder:
            yield Section(title=title, size=size, figures=list(measure(Path(subfolder), effort)))


def _log_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    settings = write_register(folder / "register.json")
    series = {events: _series(events, apps=effort.log_apps, effort=effort) for events in effort.events}
    empty = create_store(folder / "empty")
    logs = create_logs(folder / "logs", series, empty=empty)
    yield from request_figures(logs, LOG_MEASURES, settings=settings, effort=effort, runs=effort.runs)
    yield from trim_figures(logs, passes=effort.passes, rounds=effort.trims)
    yield from whole_log_figures(logs, empty=empty, events_max=effort.whole_log_events)


def _app_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    settings = write_register(folder / "register.json")
    series = {apps: _series(effort.apps_events, apps=apps, effort=effort) for apps in effort.apps}
    logs = create_logs(folder / "logs", series, empty=create_store(folder / "empty"))
    yield from request_figures(logs, APP_MEASURES, settings=settings, effort=effort, runs=effort.apps_runs)


def _audience_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    series = _series(effort.readers_events, apps=effort.log_apps, effort=effort)
    empty = create_store(folder / "empty")
    ((_, log),) = create_logs(folder / "logs", {series.events: series}, empty=empty).items()
    settings = {**write_register(folder / "register.json"), **STREAM_SETTINGS}
    with service(log.folder, settings) as server:
        served, rounds = ServedLog(server, series), effort.reader_rounds
        yield from reader_figures(served, readers=effort.readers, pages=effort.pages, rounds=rounds)
        yield from follower_figures(served, numbers=effort.readers, deliveries=effort.deliveries, rounds=rounds)


_SECTIONS = (
    ("Length of the log", "events", _log_figures),
    ("Number of apps", "apps", _app_figures),
    ("Number of readers and followers", "readers", _audience_figures),
)


def _series(events: int, *, apps: int, effort: Effort) -> Series:
    now = time.time_ns() // 1_000
    return Series(events, apps, effort.rare_every, now - LOG_DAYS * DAY, now - DAY // 24)
