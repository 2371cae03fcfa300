"""A log for imports."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventfeed.log.sqlite.log import SqliteLog
from tests.service.app.migration.importer import Importer
from tests.support.engines import new_name


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """An empty log that takes imports of few rows at once."""
    log = SqliteLog(tmp_path / "log.db", new_name=new_name, for_import=True)
    log.import_entries_max = 3
    await log.create()
    yield log
    await log.close()


@pytest.fixture
def importer(log: SqliteLog) -> Importer:
    """An importer into this log."""
    return Importer(log)
