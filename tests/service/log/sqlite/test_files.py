"""The files of a store: their rights, and the file at the path compared with the one that is open."""

import os
import stat
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from eventfeed.domain.errors import LogDamaged, StoreUnusable
from eventfeed.log.sqlite.clock_reference import ClockReference
from eventfeed.log.sqlite.files import StoreFiles, open_beside
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.records.sqlite import SqliteRecords
from tests.support.engines import ManualClock, new_name, open_sqlite_log
from tests.support.events import all_entries, entries, entry

SUFFIXES = ("", "-wal", "-shm")


def modes(path: Path) -> list[int]:
    """The permissions of the three files of a database."""
    return [stat.S_IMODE(Path(f"{path}{suffix}").stat().st_mode) for suffix in SUFFIXES]


async def test_files_of_a_new_store_are_readable_by_their_user_only(tmp_path: Path) -> None:
    """The log, approvals and the audit log, and the folder that the service makes."""
    path, records = tmp_path / "new" / "log.db", SqliteRecords(tmp_path / "new" / "log.access.db")
    await records.create()
    async with open_sqlite_log(path):
        assert [0o600] * 3 == modes(path)
        assert [0o600] * 3 == modes(tmp_path / "new" / "log.access.db")
    await records.close()

    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


async def test_files_of_an_earlier_release_lose_the_rights_of_others(tmp_path: Path) -> None:
    """They were created with the rights that the umask left."""
    path = tmp_path / "log.db"
    async with open_sqlite_log(path):
        for suffix in SUFFIXES:
            Path(f"{path}{suffix}").chmod(0o644)
        log = SqliteLog(path, new_name=new_name)
        await log.open()

        assert [0o600] * 3 == modes(path)
        await log.close()


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_commit_into_a_replaced_file_fails(tmp_path: Path, suffix: str) -> None:
    """No append is confirmed while another file is at the path; afterwards the log continues where it was."""
    file = Path(f"{tmp_path / 'log.db'}{suffix}")
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append(entries(1, 3), after=0)
        file.rename(tmp_path / "away")
        file.write_bytes(b"other")
        for call in (log.append([entry(4)], after=3), log.probe(), log.head()):
            with pytest.raises(StoreUnusable, match=f"{file.name} was replaced"):
                await call
        (tmp_path / "away").rename(file)
        await log.append([entry(4)], after=3)

        assert [1, 2, 3, 4] == [each.sequence for each in await all_entries(log)]


async def test_reader_that_connects_later_does_not_read_a_replaced_file(tmp_path: Path) -> None:
    """The first search of a process opens a connection of its own."""
    async with open_sqlite_log(tmp_path / "other" / "log.db") as other:
        await other.append(entries(1, 9), after=0)
    async with open_sqlite_log(tmp_path / "log.db") as log:
        for suffix in SUFFIXES:
            Path(f"{tmp_path / 'log.db'}{suffix}").unlink()
        (tmp_path / "other" / "log.db").rename(tmp_path / "log.db")
        with pytest.raises(StoreUnusable, match="replaced"):
            await log.seek(0)


async def test_compacted_write_ahead_log_is_no_damage(tmp_path: Path) -> None:
    """Another program may move all entries into the file, and cut off the write-ahead log."""
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append(entries(1, 50), after=0)
        with closing(apsw.Connection(str(tmp_path / "log.db"))) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        await log.append([entry(51)], after=50)

        assert 51 == (await log.probe()).end_offset


@pytest.mark.parametrize(("suffix", "kept"), [("", 0), ("-wal", 0), ("-wal", 32), ("-wal", 20_000)])
async def test_append_to_a_file_that_was_cut_off_fails(tmp_path: Path, suffix: str, kept: int) -> None:
    """SQLite alone would write behind the hole, and find nothing of it at the next start."""
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append(entries(1, 50), after=0)
        os.truncate(f"{tmp_path / 'log.db'}{suffix}", kept)
        with pytest.raises(LogDamaged, match="cut off"):
            await log.append([entry(51)], after=50)
        with pytest.raises(LogDamaged, match="cut off"):
            await log.head()


@pytest.mark.parametrize("content", [None, b""])
def test_write_ahead_log_without_its_file_is_damage(tmp_path: Path, content: bytes | None) -> None:
    """SQLite alone would delete it, with the newest entries."""
    (tmp_path / "log.db-wal").write_bytes(b"entries")
    if content is not None:
        (tmp_path / "log.db").write_bytes(content)

    with pytest.raises(LogDamaged, match=r"log\.db-wal"):
        StoreFiles(tmp_path / "log.db").create()
    assert b"entries" == (tmp_path / "log.db-wal").read_bytes()


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """The owners that files get, by name, in a process that has root's user number."""
    changes: dict[str, tuple[int, int]] = {}

    def change(file: int, user: int, group: int) -> None:
        changes[os.readlink(f"/proc/self/fd/{file}")] = user, group  # noqa: PTH115

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", change)
    return changes


async def test_files_that_root_makes_belong_to_the_owner_of_the_store(
    tmp_path: Path, owners: dict[str, tuple[int, int]]
) -> None:
    """The service's user can lock them after a command of root, also if root has made them before."""
    path = tmp_path / "log.db"
    async with open_sqlite_log(path) as log:
        await log.append([entry(1)], after=0)
    with closing(ClockReference(tmp_path / "log.clock", ManualClock(), store=path)) as reference:
        reference.open(newest=0)
    owner = path.stat().st_uid, path.stat().st_gid

    assert {str(tmp_path / "log.lock"): owner, str(tmp_path / "log.clock"): owner} == owners


def test_link_in_the_place_of_a_shared_file_is_not_followed(tmp_path: Path, owners: dict[str, tuple[int, int]]) -> None:
    """Root would give away the file that it names."""
    target, store = tmp_path / "other", tmp_path / "log.db"
    target.touch()
    store.touch()
    (tmp_path / "log.lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        open_beside(tmp_path / "log.lock", store=store)

    assert {} == owners


def test_shared_file_of_another_user_keeps_its_owner(
    tmp_path: Path, owners: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only root may change owners."""
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    (tmp_path / "log.db").touch()
    os.close(open_beside(tmp_path / "log.lock", store=tmp_path / "log.db"))

    assert {} == owners
