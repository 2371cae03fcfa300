"""A real log for what stands on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventfeed.log.sqlite import SqliteLog
from tests.engines import Watch, opened


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """An empty SQLite log."""
    async with opened(tmp_path / "log.db") as log:
        yield log


@pytest.fixture
def watch() -> Watch:
    """A clock to set."""
    return Watch()
