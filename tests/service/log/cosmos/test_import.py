"""Imports into a log in Cosmos DB: their mark in the manifest, and entries whose instance has another owner."""

from collections.abc import AsyncIterator

import pytest

from eventfeed.domain.errors import ImportUnfinished, LogDamaged, StoreUnusable, TailMoved
from eventfeed.domain.event import App
from eventfeed.log.cosmos.containers import COMMITS
from eventfeed.log.cosmos.database import Database
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.running import KEEP_SECONDS, new_database, open_log, skip_without_emulator
from tests.support.engines import new_name
from tests.support.events import TTD, all_entries, entries, entry, event, guid

SEGMENT_ENTRIES = 10
OTHER = App(org="skd", name="bolig")


@pytest.fixture
async def database(emulator_url: str) -> AsyncIterator[Database]:
    """A new database."""
    skip_without_emulator(emulator_url)
    async with new_database(emulator_url) as database:
        yield database


def new_log(database: Database, *, for_import: bool = True) -> CosmosLog:
    """Another engine on the database."""
    return CosmosLog(
        database,
        new_name=new_name,
        keep=KEEP_SECONDS * 1_000_000,
        identity_keep=10**17,
        segment_entries=SEGMENT_ENTRIES,
        for_import=for_import,
    )


async def test_log_of_an_unfinished_import_is_opened_by_imports_alone(database: Database) -> None:
    """A service would append to it, and a copy of it would look complete."""
    log = new_log(database)
    await log.open()
    await log.begin_import()
    await log.append(entries(1, 3), after=0)

    for opening in (new_log(database, for_import=False).open, new_log(database).open_to_read):
        with pytest.raises(ImportUnfinished, match="Run the same command again"):
            await opening()
    await new_log(database).open()
    await log.end_import()
    await new_log(database, for_import=False).open()
    await new_log(database).open_to_read()


async def test_end_of_an_import_is_recorded(database: Database) -> None:
    """So a log that has lost it is never taken for an empty one."""
    log = new_log(database)
    await log.open()
    await log.adopt("a" * 12, log_start=3)
    await log.append(entries(4, 5), after=3)
    await log.end_import()
    await database.container(COMMITS).delete_item(f"{4:020d}", 0)
    service = await open_log(database, segment_entries=SEGMENT_ENTRIES)

    with pytest.raises(LogDamaged, match="has reached 5"):
        await service.head()


async def test_database_without_a_log_is_not_copied(database: Database) -> None:
    """A copy creates nothing in its source."""
    with pytest.raises(StoreUnusable, match="has no log yet"):
        await new_log(database).open_to_read()
    with pytest.raises(StoreUnusable, match="has no log yet"):
        await new_log(database).open_to_read()


async def test_imported_entry_of_another_app_leaves_the_owner(database: Database) -> None:
    """The source has both entries, so the import keeps both. A service would plan its batch again."""
    first, second = (entry(number, of=event(app=app, instance=7)) for number, app in ((1, TTD), (2, OTHER)))
    log = new_log(database)
    await log.open()
    await log.append([first], after=0)
    service = await open_log(database, segment_entries=SEGMENT_ENTRIES)

    with pytest.raises(TailMoved):
        await service.append([second], after=1)
    await new_log(database).append([second], after=1)
    lookup = await service.find([event(instance=7)])

    assert [first, second] == await all_entries(log)
    assert {guid(7): TTD} == lookup.owners
