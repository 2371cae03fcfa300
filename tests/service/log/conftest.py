"""A real log for the tests of its parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventfeed.domain.ports import EventLog
from tests.emulator.running import allow_slow_responses, open_new_log
from tests.support.engines import ManualClock, open_sqlite_log

# Tests of code that knows no engine run on each.
ON_EITHER = {"test_appender", "test_tail", "test_reader"}
# Thousands of entries: the emulator reads the whole container for each query.
LARGE = {"test_a_sparse_feed_is_found_in_bounded_requests"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of code that knows no engine on every engine."""
    if "log" in metafunc.fixturenames:
        name = metafunc.module.__name__.rpartition(".")[2]
        either = name in ON_EITHER and metafunc.function.__name__ not in LARGE
        metafunc.parametrize("log", ["sqlite", "cosmos"] if either else ["sqlite"], indirect=True)


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
def watch() -> ManualClock:
    """A clock to set."""
    return ManualClock()
