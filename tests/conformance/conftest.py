"""One suite for every engine: each test here runs on each of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from eventfeed.domain.ports import EventLog
from eventfeed.log.sqlite_access import SqliteAccess
from tests.engines import opened


@pytest.fixture(autouse=True)
def unblocked() -> Iterator[BlockBuster]:
    """No verb may block the event loop."""
    with blockbuster_ctx(excluded_modules=["tests"]) as blockbuster:
        yield blockbuster


@pytest.fixture(params=["sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    """An empty log of each engine."""
    assert request.param == "sqlite"
    async with opened(tmp_path / "log.db") as log:
        yield log


@pytest.fixture(params=["sqlite"])
async def access(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteAccess]:
    """No approvals and an empty audit log of each engine."""
    assert request.param == "sqlite"
    access = SqliteAccess(tmp_path / "log.access.db")
    await access.open()
    yield access
    await access.close()
