"""An empty log of each engine, and a manual clock, for the tests of the log's parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventfeed.domain.ports import EventLog
from tests.emulator.running import allow_slow_responses, open_new_log
from tests.support.engines import ManualClock, open_sqlite_log

# The modules with tests of code above the engines: they run on each engine.
ABOVE_ENGINES = {"test_appender", "test_tail", "test_reader", "test_stored_pages"}
# Tests with many entries run on SQLite alone: the emulator reads the whole container for each query.
LARGE = {"test_sparse_feed_is_read_in_bounded_requests"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of code above the engines on every engine, and the others on SQLite."""
    if "log" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        on_each = module in ABOVE_ENGINES and metafunc.function.__name__ not in LARGE
        metafunc.parametrize("log", ["sqlite", "cosmos"] if on_each else ["sqlite"], indirect=True)


@pytest.fixture
async def log(
    request: pytest.FixtureRequest, tmp_path: Path, emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EventLog]:
    """An empty log."""
    if request.param == "sqlite":
        async with open_sqlite_log(tmp_path / "log.db") as log:
            yield log
    else:
        allow_slow_responses(monkeypatch)
        async with open_new_log(emulator_url) as log:
            yield log


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test sets."""
    return ManualClock()
