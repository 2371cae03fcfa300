"""Fixtures that run each test of the suite on every engine."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from eventfeed.domain.ports import EventLog
from eventfeed.records.cosmos import CosmosRecords
from eventfeed.records.sqlite import SqliteRecords
from tests.emulator.running import allow_slow_responses, new_database, open_new_log, skip_without_emulator
from tests.support.engines import open_sqlite_log


def forbid_blocking() -> AbstractContextManager[BlockBuster]:
    """Fail on calls that block the event loop, during a `with` statement. The creation of a client may block."""
    return blockbuster_ctx(excluded_modules=["tests"])


@pytest.fixture(autouse=True)
def slow_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow slow responses of the emulator."""
    allow_slow_responses(monkeypatch)


@pytest.fixture(params=["sqlite", "cosmos"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, emulator_url: str) -> AsyncIterator[EventLog]:
    """An empty log of each engine."""
    if request.param == "sqlite":
        async with open_sqlite_log(tmp_path / "log.db") as sqlite_log:
            with forbid_blocking():
                yield sqlite_log
    else:
        async with open_new_log(emulator_url) as cosmos_log:
            with forbid_blocking():
                yield cosmos_log


@pytest.fixture(params=["sqlite", "cosmos"])
async def records(
    request: pytest.FixtureRequest, tmp_path: Path, emulator_url: str
) -> AsyncIterator[SqliteRecords | CosmosRecords]:
    """No approvals and an empty audit log of each engine."""
    if request.param == "sqlite":
        sqlite_records = SqliteRecords(tmp_path / "log.access.db")
        with forbid_blocking():
            await sqlite_records.create()
            yield sqlite_records
        await sqlite_records.close()
    else:
        skip_without_emulator(emulator_url)
        async with new_database(emulator_url) as database:
            with forbid_blocking():
                yield CosmosRecords(database, new_id=lambda: uuid.uuid4().hex)
