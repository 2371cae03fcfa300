"""The check of a log in Cosmos DB: each fault that somebody may cause with the tools of the store is named."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from eventfeed.log.cosmos.containers import COMMITS, OWNERS
from eventfeed.log.cosmos.database import Database
from tests.emulator.running import new_database, open_log, skip_without_emulator
from tests.support.events import entry

SEGMENT_ENTRIES = 10
# Three entries a commit: 1-3, 4-6, 7-9 in the first segment, 10-12 and 13 in the second.
LOG = [entry(number) for number in range(1, 14)]


@pytest.fixture
async def database(emulator_url: str) -> AsyncIterator[Database]:
    """A log of 13 entries in two segments."""
    skip_without_emulator(emulator_url)
    async with new_database(emulator_url) as database:
        log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
        for start in range(0, len(LOG), 3):
            await log.append(LOG[start : start + 3], after=start)
        yield database


async def faults_of(database: Database) -> Sequence[str]:
    """Check the log in another process."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    return [fault async for fault in log.faults()]


async def change(database: Database, first: int, **members: object) -> None:
    """Replace members of a commit, also its id."""
    container, key = database.container(COMMITS), f"{first:020d}"
    document = await container.read_item(key, first // SEGMENT_ENTRIES)
    await container.delete_item(key, first // SEGMENT_ENTRIES)
    await container.create_item({**document, **members})


async def test_whole_log_has_no_fault(database: Database) -> None:
    """Also if its first entries have expired."""
    before = await faults_of(database)
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.expire(before=LOG[4].time)
    await database.container(COMMITS).delete_item(f"{1:020d}", 0)

    assert ([], []) == (before, await faults_of(database))


async def test_log_with_entries_of_many_times_has_no_fault(database: Database) -> None:
    """An import has a time and a write id for each entry."""
    log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
    await log.append([entry(number, write_id=f"import.{number}") for number in range(14, 45)], after=13)

    assert [] == await faults_of(database)


async def test_missing_commit_is_a_gap(database: Database) -> None:
    """The words are those of SQLite."""
    await database.container(COMMITS).delete_item(f"{4:020d}", 0)

    assert ["Sequence 7 follows 3."] == await faults_of(database)


@pytest.mark.parametrize(
    ("first", "members", "fault"),
    [
        (4, {"events": "AAAA"}, "The log is damaged at sequence 4: the events of its commit are unreadable"),
        (4, {"last": 7}, "The log is damaged at sequence 4: its commit has 3 events instead of 4"),
        (4, {"write_id": None}, "The log is damaged at sequence 4: a document is no commit"),
        (4, {"last": None}, "The log is damaged at sequence 4: a document is no commit"),
        (4, {"id": "copy"}, "The log is damaged at sequence 4: a commit has the id 'copy' in segment 0"),
        (4, {"time": LOG[0].time}, "Entry 4 was registered before the entry that it follows."),
        (4, {"identities": []}, "The entries 4 to 6 are indexed by other identities."),
        (4, {"subjects": ["/party/1"]}, "The entries 4 to 6 are indexed by other subjects."),
        (4, {"types": "x"}, "The entries 4 to 6 are indexed by other types."),
    ],
)
async def test_commit_that_was_changed_is_named(
    database: Database, first: int, members: Mapping[str, Any], fault: str
) -> None:
    """Each member that the engine reads."""
    await change(database, first, **members)

    faults = await faults_of(database)

    assert [True] == [each.startswith(fault) for each in faults if each != "Sequence 7 follows 3."]


async def test_copy_of_a_commit_is_named(database: Database) -> None:
    """Under another id in the same segment, and in a segment after the end."""
    container = database.container(COMMITS)
    document = await container.read_item(f"{4:020d}", 0)
    await container.create_item({**document, "id": f"{5:020d}"})
    await container.create_item({**document, "segment": 5})

    first, second = await faults_of(database)

    assert first.startswith(f"The log is damaged at sequence 4: a commit has the id '{5:020d}' in segment 0")
    assert second == f"The document {4:020d} is after the end of the log."


async def test_instance_without_an_owner_is_named(database: Database) -> None:
    """Another app could publish events about it."""
    await database.container(OWNERS).delete_item(str(LOG[4].event.instance), str(LOG[4].event.instance))

    assert ["The instance of entry 5 has no owner."] == await faults_of(database)


async def test_malformed_owner_is_named(database: Database) -> None:
    """Its app is unknown."""
    await database.container(OWNERS).upsert_item({"id": str(LOG[4].event.instance), "org": 7})

    assert any(each.startswith("The owner of an instance is malformed") for each in await faults_of(database))
