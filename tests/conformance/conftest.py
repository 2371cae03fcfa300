"""One suite for every engine: each test here runs on each of them."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from eventfeed.domain.ports import EventLog
from eventfeed.records.cosmos import CosmosAccess
from eventfeed.records.sqlite import SqliteAccess
from tests.emulator.running import database, log_of
from tests.support.engines import opened


def unblocked() -> AbstractContextManager[BlockBuster]:
    """While it lasts, no verb may block the event loop; making a client may, once, at the start."""
    return blockbuster_ctx(excluded_modules=["tests"])


@pytest.fixture(params=["sqlite", "cosmos"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, emulator_url: str) -> AsyncIterator[EventLog]:
    """An empty log of each engine."""
    if request.param == "sqlite":
        async with opened(tmp_path / "log.db") as log:
            with unblocked():
                yield log
    else:
        async with log_of(emulator_url) as cosmos:
            with unblocked():
                yield cosmos


@pytest.fixture(params=["sqlite", "cosmos"])
async def access(
    request: pytest.FixtureRequest, tmp_path: Path, emulator_url: str
) -> AsyncIterator[SqliteAccess | CosmosAccess]:
    """No approvals and an empty audit log of each engine."""
    if request.param == "sqlite":
        sqlite = SqliteAccess(tmp_path / "log.access.db")
        with unblocked():
            await sqlite.open()
            yield sqlite
        await sqlite.close()
    else:
        if not emulator_url:
            pytest.skip("there is no emulator: `make test` installs it")
        async with database(emulator_url) as store:
            cosmos = CosmosAccess(store, new_write_id=lambda: uuid.uuid4().hex)
            with unblocked():
                yield cosmos
