"""Upgrades of a file of an earlier layout: in place, after a copy beside it, and never half done."""

import asyncio
import logging
import shutil
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from eventfeed.app.backup import prepare_restore, restore, temporary_file
from eventfeed.domain.errors import StoreUnusable
from eventfeed.domain.event import Entry, Event, Identity
from eventfeed.log.sqlite import upgrade
from eventfeed.log.sqlite.backup import require_log
from eventfeed.log.sqlite.clock_reference import ClockReference
from eventfeed.log.sqlite.connections import StoreConnection
from eventfeed.log.sqlite.layout import SCHEMA_VERSION
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.log.sqlite.writer_lock import WriterLock
from eventfeed.settings import Settings
from tests.support.engines import ManualClock, new_name, open_sqlite_log
from tests.support.events import all_entries, entries, entry, event
from tests.support.sqlite_store import digest_of_rows, query

FIXTURES = Path(__file__).parents[3] / "fixtures"
VERSIONS = range(1, SCHEMA_VERSION)


class DiskUsage(NamedTuple):
    """The part of a disk's usage that counts here (bytes)."""

    free: int


@pytest.fixture(params=VERSIONS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of each earlier layout."""
    shutil.copy(FIXTURES / f"sqlite-layout-{request.param}" / "log.db", tmp_path)
    return tmp_path / "log.db"


def version_of(path: Path) -> int:
    """The number of a file's layout."""
    return int(str(next(query(path, "PRAGMA user_version"))[0]))


def schema_of(path: Path) -> set[tuple[object, ...]]:
    """The tables and indexes of a file, with their SQL."""
    return set(query(path, "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"))


async def test_upgraded_file_has_the_schema_of_a_new_one(path: Path) -> None:
    """Every entry, the name and both ends stay as they were."""
    before = digest_of_rows(path)
    async with open_sqlite_log(path), open_sqlite_log(path.with_name("new.db")):
        assert (SCHEMA_VERSION, before) == (version_of(path), digest_of_rows(path))
        assert schema_of(path.with_name("new.db")) == schema_of(path)


async def test_file_as_it_was_is_kept_beside_the_store(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the copy, which is whole: it has its earlier layout, and can be restored."""
    version, before = version_of(path), digest_of_rows(path)
    caplog.set_level(logging.WARNING)
    async with open_sqlite_log(path):
        pass
    kept = path.with_name(f"log.layout-{version}.db")
    require_log(kept)

    assert (version, before) == (version_of(kept), digest_of_rows(kept))
    assert str(kept) in caplog.text
    assert [path.name, kept.name] == sorted((each.name for each in path.parent.glob("*.db*")), key=len)


async def test_upgrade_that_was_interrupted_continues(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be killed after the copy, within a step, and between two steps."""
    before, first = digest_of_rows(path), version_of(path)
    copy = upgrade.copy_path(path, first)
    for version in range(first, SCHEMA_VERSION):
        with monkeypatch.context() as fault:
            steps = {**upgrade._STEPS, version: (*upgrade._STEPS[version], "SELECT no_such_function()")}
            fault.setattr(upgrade, "_STEPS", steps)
            log = SqliteLog(path, new_name=new_name)
            with pytest.raises(Exception, match="no_such_function"):
                await log.open()
            await log.close()

        assert (version, before) == (version_of(path), digest_of_rows(path))
        assert (first, before) == (version_of(copy), digest_of_rows(copy))
    path.with_name(f"{copy.name}.new.part").write_bytes(b"half")
    async with open_sqlite_log(path):
        assert (SCHEMA_VERSION, before) == (version_of(path), digest_of_rows(path))


async def test_processes_that_start_together_upgrade_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One upgrades, the others wait for it, and all of them open the log."""
    caplog.set_level(logging.WARNING)
    logs = [SqliteLog(path, new_name=new_name) for _ in range(5)]
    await asyncio.gather(*(log.create() for log in logs))
    names = {(await log.head()).log for log in logs}
    await asyncio.gather(*(log.close() for log in logs))

    assert 1 == len(names)
    assert 1 == sum("is kept as" in record.getMessage() for record in caplog.records)


async def test_upgrade_without_space_for_the_copy_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the space that is needed."""
    before, version = path.read_bytes(), version_of(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(free=10_000))
    with pytest.raises(StoreUnusable, match=f"to layout {SCHEMA_VERSION} needs 1 MiB .* and 0 MiB are free"):
        async with open_sqlite_log(path):
            pass

    assert (version, before) == (version_of(path), path.read_bytes())


async def test_file_of_this_layout_is_not_copied(tmp_path: Path) -> None:
    """An upgrade happens once."""
    for _ in range(2):
        async with open_sqlite_log(tmp_path / "log.db"):
            pass

    assert ["log.db", "log.lock"] == sorted(each.name for each in tmp_path.iterdir())


async def test_upgrade_reads_entries_of_the_write_ahead_log(path: Path) -> None:
    """A process of the earlier release was killed: its newest entries are not in the file yet."""
    with closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE log SET name = 'renamedlog01'")
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{path.with_name('killed.db')}{suffix}")
    async with open_sqlite_log(path.with_name("killed.db")) as log:
        head = await log.head()
        stored = await all_entries(log)

    assert ("renamedlog01", 5) == (head.log, len(stored))
    copy = upgrade.copy_path(path.with_name("killed.db"), version_of(path))
    assert [("renamedlog01",)] == list(query(copy, "SELECT name FROM log"))


async def test_large_file_keeps_every_identity(tmp_path: Path) -> None:
    """Each stored event is matches after the upgrade, by the digest that every entry of an earlier layout has."""
    path, originals = tmp_path / "log.db", entries(1, 1_000)
    async with open_sqlite_log(path) as log:
        await log.append(originals, after=0)
    _return_to_layout_2(path, originals)
    async with open_sqlite_log(path) as log:
        matches = dict(await log.find_identities([each.event.identity for each in originals]))
        await log.append(later := [entry(1_001, of=same_id(originals[0])), entry(1_002)], after=1_000)
        matches |= await log.find_identities([each.event.identity for each in later])

        assert [] == [fault async for fault in log.faults()]
    assert {each.event.identity: each.sequence for each in [*originals, *later]} == {
        identity: each.sequence for identity, each in matches.items()
    }


async def test_entries_without_a_digest_are_found_after_the_upgrade(tmp_path: Path) -> None:
    """In layout 4 only an entry that repeats an id has one."""
    path, first = tmp_path / "log.db", entry(1)
    stored = [first, entry(2, of=same_id(first)), entry(3)]
    async with open_sqlite_log(path) as log:
        await log.append(stored, after=0)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("ALTER TABLE entry RENAME COLUMN identity_digest TO identity; PRAGMA user_version = 4")
    async with open_sqlite_log(path) as log:
        matches = await log.find_identities([each.event.identity for each in stored])
        await log.append([entry(4, of=same_id(entry(4)))], after=3)

        assert [] == [fault async for fault in log.faults()]
    assert {each.event.identity: each.sequence for each in stored} == {
        identity: each.sequence for identity, each in matches.items()
    }


def same_id(other: Entry) -> Event:
    """An event with the id of another event, and another source."""
    identity = Identity(source="https://x", id=other.event.identity.id)
    return replace(event(), identity=identity, body=msgspec.json.encode(identity))


def _return_to_layout_2(path: Path, originals: list[Entry]) -> None:
    digests = [(each.event.identity.digest(), each.sequence) for each in originals]
    with closing(apsw.Connection(str(path))) as db:
        db.execute("DROP INDEX entry_identity; ALTER TABLE entry RENAME COLUMN identity_digest TO identity")
        db.executemany("UPDATE entry SET identity = ? WHERE sequence = ?", digests)
        db.execute("CREATE UNIQUE INDEX entry_identity ON entry (identity)")
        db.execute("PRAGMA user_version = 2")


async def test_upgrade_during_an_import_keeps_its_identities(tmp_path: Path) -> None:
    """An import into layout 3 was interrupted: its file has an index of digests, and none of ids."""
    path, originals = tmp_path / "log.db", entries(1, 3)
    async with open_sqlite_log(path) as log:
        await log.append(originals, after=0)
        await log.begin_import()
    with closing(apsw.Connection(str(path))) as db:
        db.execute("DROP INDEX entry_id; ALTER TABLE entry RENAME COLUMN identity_digest TO identity")
        db.execute("PRAGMA user_version = 3")
    log = SqliteLog(path, new_name=new_name, for_import=True)
    await log.open()
    matches = await log.find_identities([each.event.identity for each in originals])
    await log.end_import()
    await log.close()
    async with open_sqlite_log(tmp_path / "new.db"):
        pass

    assert [1, 2, 3] == [each.sequence for each in matches.values()]
    assert schema_of(tmp_path / "new.db") == schema_of(path)


async def test_process_of_an_earlier_release_that_starts_during_the_upgrade_writes_nothing(path: Path) -> None:
    """It has read the layout before. It would not find events by the keys that it knows, and store them again."""
    insert = """
        INSERT INTO entry (time, mark, identity, content, id, source, type, body)
        VALUES (1, 'a', x'00', x'00', 'a', 'b', 'c', x'00')"""
    look_up = "SELECT sequence FROM entry WHERE identity = x'00'"
    with closing(apsw.Connection(str(path))) as db:
        for statement in (insert, look_up):  # before the upgrade, the statements are those of the release
            with db:
                db.execute(f"EXPLAIN {statement}").fetchall()
        before = digest_of_rows(path)
        async with open_sqlite_log(path):
            for statement in (insert, look_up):
                with pytest.raises(apsw.SQLError, match="identity"):
                    db.execute(statement)

            assert before == digest_of_rows(path)


async def test_file_of_a_service_that_runs_is_not_upgraded(path: Path) -> None:
    """Its processes would go on without the index that they know. After their end the upgrade succeeds."""
    before, version = path.read_bytes(), version_of(path)
    reference = ClockReference(path.with_suffix(".clock"), ManualClock())
    reference.hold()
    with pytest.raises(StoreUnusable, match="Stop the service first"):
        async with open_sqlite_log(path):
            pass
    assert (version, before) == (version_of(path), path.read_bytes())
    assert not upgrade.copy_path(path, version).exists()

    reference.close()
    async with open_sqlite_log(path):
        assert SCHEMA_VERSION == version_of(path)


async def test_older_layout_is_not_opened_to_read(path: Path) -> None:
    """A command that inspects a store changes nothing, and says how the file is upgraded."""
    before = path.read_bytes()
    log = SqliteLog(path, new_name=new_name)
    with pytest.raises(StoreUnusable, match=f"has layout {version_of(path)}, .* when it starts"):
        await log.open_to_read()
    await log.close()

    assert before == path.read_bytes()


async def test_copy_of_another_state_is_never_replaced(path: Path) -> None:
    """After a return to the earlier release, the next upgrade keeps one more copy."""
    version = version_of(path)
    async with open_sqlite_log(path):
        pass
    first = upgrade.copy_path(path, version)
    before = first.read_bytes()
    shutil.copy(first, path)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE log SET name = 'renamedlog01'")
    async with open_sqlite_log(path):
        pass
    second = path.with_name(f"log.layout-{version}.2.db")

    assert before == first.read_bytes()
    assert [("renamedlog01",)] == list(query(second, "SELECT name FROM log"))
    assert version == version_of(second)


async def test_start_waits_for_the_upgrade_of_another_process_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits longer than for a commit."""
    loop, waits, said = asyncio.get_running_loop(), asyncio.Event(), list[str]()

    def warn(text: str, *_: object) -> None:
        said.append(text)
        loop.call_soon_threadsafe(waits.set)

    monkeypatch.setattr(upgrade._log, "warning", warn)
    monkeypatch.setattr(upgrade, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr("eventfeed.log.sqlite.connections.BUSY_MILLISECONDS", 0)
    log, lock = SqliteLog(path, new_name=new_name), WriterLock(path.with_suffix(".lock"))
    with lock.hold(seconds=None):
        start = asyncio.create_task(log.create())
        await asyncio.wait([start, waiting := asyncio.create_task(waits.wait())], return_when="FIRST_COMPLETED")
        assert (False, True) == (start.done(), waiting.done())
    await start
    await log.close()
    lock.close()

    assert 1 == sum("the start waits" in text for text in said)
    assert SCHEMA_VERSION == version_of(path)


async def test_restore_of_an_earlier_backup_leaves_one_file(path: Path, tmp_path: Path) -> None:
    """The copy of the upgrade and the lock are in the folder that is removed."""
    store = tmp_path / "store" / "log.db"
    store.parent.mkdir()
    settings = Settings(store=f"sqlite:///{store}")
    with temporary_file(settings) as new:
        await prepare_restore(path, new)
        restore(settings, new)

    assert [store.name] == [each.name for each in store.parent.iterdir()]
    assert SCHEMA_VERSION == version_of(store)


async def test_indexes_of_an_upgrade_and_of_an_import_are_sorted_in_files(path: Path) -> None:
    """The keys of a whole log may not fit into memory. An insert keeps the pages that it changes there."""
    log = SqliteLog(path, new_name=new_name, for_import=True)
    stores = [await log._writer.bind(_temporary_store)()]
    await log.open()
    stores.append(await log._writer.bind(_temporary_store)())
    await log.begin_import()
    await log.end_import()
    stores.append(await log._writer.bind(_temporary_store)())
    await log.close()

    assert [0, 2, 1] == stores  # the default, which is a file; memory; a file


def _temporary_store(db: StoreConnection) -> int:
    return int(db.pragma("temp_store"))
