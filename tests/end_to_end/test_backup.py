"""`eventfeed store backup`, `check` and `restore`, on a store that a service uses."""

import os
import shutil
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.support.feeds import assert_problem, event_ids, read_app_feed
from tests.support.publishing import APP_PATH, cloud_event, post_events
from tests.support.service import RunningService, run_with_store, running_service

STORE = "sqlite:///.eventfeed/log.db"


def publish(service: RunningService, count: int) -> Sequence[str]:
    """Publish events one after another, and return their ids."""
    return [post_events(service, APP_PATH, cloud_event("a")).raise_for_status().json()["id"] for _ in range(count)]


def change(file: Path, statement: str) -> None:
    """Change the content of a store file."""
    with closing(apsw.Connection(str(file))) as db:
        db.execute(statement)


def test_restored_backup_continues_with_a_new_name(tmp_path: Path) -> None:
    """A backup of a service that is written to is consistent. Old cursors are refused, the old file is kept."""
    with running_service(tmp_path) as service:
        ids = publish(service, 5)
        writer = threading.Thread(target=publish, args=(service, 30))
        writer.start()
        backup = run_with_store(tmp_path, "store", "backup", "copy.db", store=STORE)
        writer.join()
        later = publish(service, 1)
        cursor = read_app_feed(service, "a", "after=0&size=1000").headers["feed-cursor"]
        checked = run_with_store(tmp_path, "store", "check", store=STORE)
        refusal = run_with_store(tmp_path, "store", "restore", "copy.db", "--yes", store=STORE)
    restored = run_with_store(tmp_path, "store", "restore", "copy.db", "--yes", store=STORE)
    with running_service(tmp_path) as service:
        page = read_app_feed(service, "a", "after=0&size=1000")
        assert_problem(read_app_feed(service, "a", f"after={cursor}"), 410, "cursor-of-another-log")

    assert (0, 0, 0) == (backup.returncode, checked.returncode, restored.returncode), restored.stderr
    assert b"without a fault" in checked.stdout
    assert (1, True) == (refusal.returncode, b"Stop it first" in refusal.stderr)
    assert b"This replaces the log " in restored.stderr
    assert 0o600 == stat.S_IMODE((tmp_path / "copy.db").stat().st_mode)
    assert ids == event_ids(page)[:5]
    assert later[0] not in event_ids(page)
    (kept,) = (tmp_path / ".eventfeed").glob("log.db.replaced-*")
    with closing(apsw.Connection(str(kept))) as db:
        assert 36 == db.execute("SELECT count(*) FROM entry").get


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a service that has stopped, with five events, and a backup `copy.db`."""
    with running_service(tmp_path) as service:
        publish(service, 5)
    run_with_store(tmp_path, "store", "backup", "copy.db", store=STORE)
    return tmp_path


# The second entry gets the id of the first one, in the column and in the JSON.
SAME_ID = """
UPDATE entry SET (id, body) = (
  SELECT first.id, CAST(replace(entry.body, entry.id, first.id) AS BLOB) FROM entry first WHERE first.sequence = 1)
WHERE sequence = 2
"""


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("DELETE FROM entry WHERE sequence = 3", "Sequence 4 follows 2."),
        ("UPDATE entry SET time = 1 WHERE sequence = 4", "Entry 4 was registered before"),
        ("UPDATE entry SET source = 'https://x' WHERE sequence = 2", "Entry 2 has another source or id than its JSON."),
        (SAME_ID, "Entry 2 has the id of an earlier one, and no digest"),
        ("UPDATE log SET position = 7", "ends at 7, its entries at 5"),
    ],
)
def test_damage_is_found_and_not_restored(stopped: Path, damage: str, fault: str) -> None:
    """`check` names the fault, and `restore` leaves the store as it is."""
    before = (stopped / ".eventfeed" / "log.db").read_bytes()
    change(stopped / "copy.db", damage)
    checked = run_with_store(stopped, "store", "check", store="sqlite:///copy.db")
    restored = run_with_store(stopped, "store", "restore", "copy.db", "--yes", store=STORE)

    assert (1, 1) == (checked.returncode, restored.returncode)
    assert fault in checked.stderr.decode()
    assert fault in restored.stderr.decode()
    assert before == (stopped / ".eventfeed" / "log.db").read_bytes()
    assert [] == list((stopped / ".eventfeed").glob("*restore*"))


def test_unconfirmed_or_impossible_restore_changes_nothing(stopped: Path) -> None:
    """Without `--yes`, without a file, with the store itself, and with a file that is no log."""
    before = (stopped / ".eventfeed" / "log.db").read_bytes()
    (stopped / "text.db").write_text("no database" * 1_000)
    arguments = (["copy.db"], ["nothing.db", "--yes"], [".eventfeed/log.db", "--yes"], ["text.db", "--yes"])
    results = [run_with_store(stopped, "store", "restore", *each, store=STORE) for each in arguments]

    assert [2, 2, 2, 1] == [each.returncode for each in results]
    assert b"Add --yes" in results[0].stderr
    assert b"Traceback" not in b"".join(each.stderr for each in results)
    assert before == (stopped / ".eventfeed" / "log.db").read_bytes()


def text_file(file: Path, _: Path) -> None:
    """Write a text."""
    file.write_text("no database " * 1_000)


def empty_file(file: Path, _: Path) -> None:
    """Write nothing."""
    file.touch()


def cut_off(file: Path, backup: Path) -> None:
    """Write the first half of a backup."""
    content = backup.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def garbled(file: Path, backup: Path) -> None:
    """Write a backup with other pages."""
    content = backup.read_bytes()
    file.write_bytes(content[:8_192] + bytes(each ^ 0x5A for each in content[8_192:]))


def other_database(file: Path, _: Path) -> None:
    """Make a database of another program."""
    change(file, "CREATE TABLE other (a)")


def access_file(file: Path, backup: Path) -> None:
    """Copy the file of approvals and the audit log."""
    shutil.copy(backup.with_name(".eventfeed") / "log.access.db", file)


def newer_layout(file: Path, backup: Path) -> None:
    """Copy a backup, and give it the layout of a later release."""
    shutil.copy(backup, file)
    change(file, "PRAGMA user_version = 9")


def pipe(file: Path, _: Path) -> None:
    """Make a pipe that nobody writes to."""
    os.mkfifo(file)


def folder(file: Path, _: Path) -> None:
    """Make a folder."""
    file.mkdir()


NO_LOGS: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "text": (text_file, "no-log.db is not a SQLite database."),
    "empty": (empty_file, "no-log.db is empty."),
    "cut off": (cut_off, "no-log.db is damaged"),
    "garbled": (garbled, "no-log.db is damaged"),
    "another database": (other_database, "no-log.db is a SQLite database, but not a log of this service."),
    "approvals": (access_file, "no-log.db is a SQLite database, but not a log of this service."),
    "newer layout": (newer_layout, "no-log.db has layout 9, of a newer release"),
    "pipe": (pipe, "no-log.db is not a regular file."),
    "folder": (folder, "'no-log.db' is a directory."),
}


@pytest.mark.parametrize(("make", "words"), NO_LOGS.values(), ids=NO_LOGS)
def test_file_that_is_no_log_is_named_and_not_restored(
    stopped: Path, make: Callable[[Path, Path], None], words: str
) -> None:
    """The message says what the file is. The file and the store stay as they are."""
    make(stopped / "no-log.db", stopped / "copy.db")
    before = (stopped / ".eventfeed" / "log.db").read_bytes()
    result = run_with_store(stopped, "store", "restore", "no-log.db", "--yes", store=STORE)

    assert (True, words in result.stderr.decode()) == (result.returncode in (1, 2), True), result.stderr
    assert before == (stopped / ".eventfeed" / "log.db").read_bytes()
    assert [] == list((stopped / ".eventfeed").glob("*restore*"))


@pytest.mark.parametrize("name", ["text", "empty", "another database"])
def test_file_that_is_no_log_is_not_backed_up(tmp_path: Path, name: str) -> None:
    """The store of the settings is named, and no copy is left."""
    make, words = NO_LOGS[name]
    make(tmp_path / "no-log.db", tmp_path)
    result = run_with_store(tmp_path, "store", "backup", "copy.db", store="sqlite:///no-log.db")

    assert (1, True) == (result.returncode, words in result.stderr.decode()), result.stderr
    assert not (tmp_path / "copy.db").exists()


def test_database_of_another_program_is_never_changed(tmp_path: Path) -> None:
    """No command makes a log in it."""
    other_database(tmp_path / "other.db", tmp_path)
    before = (tmp_path / "other.db").read_bytes()
    results = [run_with_store(tmp_path, "store", each, store="sqlite:///other.db") for each in ("create", "check")]

    assert [1, 1] == [each.returncode for each in results]
    assert all(b"other.db is a SQLite database, but not a log" in each.stderr for each in results)
    assert before == (tmp_path / "other.db").read_bytes()


def test_backup_is_never_written_over_a_file(stopped: Path) -> None:
    """The file keeps its content."""
    (stopped / "other").write_text("mine")
    result = run_with_store(stopped, "store", "backup", "other", store=STORE)

    assert (2, "mine") == (result.returncode, (stopped / "other").read_text())


def test_missing_log_is_restored(stopped: Path) -> None:
    """The service starts again, with the events of the backup."""
    (stopped / ".eventfeed" / "log.db").unlink()
    restored = run_with_store(stopped, "store", "restore", "copy.db", "--yes", store=STORE)
    with running_service(stopped) as service:
        page = read_app_feed(service, "a", "after=0")

    assert 0 == restored.returncode, restored.stderr
    assert 5 == len(event_ids(page))
