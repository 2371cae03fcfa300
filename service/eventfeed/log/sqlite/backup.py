"""Backups of a SQLite store: consistent copies, and the replacement of a file that no process has open."""

import contextlib
import os
from contextlib import closing
from pathlib import Path

import apsw

from eventfeed.domain.errors import StoreUnusable
from eventfeed.log.sqlite.check import translated
from eventfeed.log.sqlite.connections import BUSY_MILLISECONDS
from eventfeed.log.sqlite.layout import SCHEMA_VERSION

_CREATE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
# The first bytes of a SQLite database (SQLite database file format, §1.3.1), and the tables of a log.
_FILE_HEADER = b"SQLite format 3\0"
_TABLES = {"log", "entry"}


def require_log(path: Path) -> None:
    """Raise `StoreUnusable` with the reason unless the file is a log that this release reads."""
    if not path.is_file():
        raise StoreUnusable(f"{path} is not a regular file.")
    with path.open("rb") as file:
        header = file.read(len(_FILE_HEADER))
    if header != _FILE_HEADER:
        raise StoreUnusable(f"{path} is not a SQLite database." if header else f"{path} is empty.")
    with translated(path), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        version = int(db.pragma("user_version"))
    if not tables >= _TABLES:
        raise StoreUnusable(f"{path} is a SQLite database, but not a log of this service.")
    if version > SCHEMA_VERSION:
        raise StoreUnusable(
            f"{path} has layout {version}, of a newer release; this release reads layouts up to {SCHEMA_VERSION}."
        )


def copy_store(source: Path, target: Path) -> None:
    """Write one consistent file, while other processes use the source. `target` must not exist, and is whole or absent.

    A single step reads one snapshot. It delays no writer; the write-ahead log grows meanwhile.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    part = target.with_name(f"{target.name}.part")
    with contextlib.ExitStack() as undo, translated(source):
        undo.callback(target.unlink)
        undo.callback(part.unlink, missing_ok=True)
        _copy(source, part)
        part.rename(target)
        undo.pop_all()


def _copy(source: Path, part: Path) -> None:
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)) as db,
        closing(apsw.Connection(str(part), flags=_CREATE)) as copy,
    ):
        db.set_busy_timeout(BUSY_MILLISECONDS)
        with copy.backup("main", db, "main") as backup:
            backup.step()
        # Without a write-ahead log the copy is one file.
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()


def replace_store(path: Path, new: Path, *, kept: Path) -> None:
    """Rename the store to `kept` and `new` to the store. Raises `StoreUnusable` if a process has the store open."""
    if not path.exists():
        new.rename(path)
        return
    with translated(path), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        # Until the new file is in its place, no process opens the old one.
        db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        with contextlib.suppress(apsw.CorruptError, apsw.NotADBError):
            db.execute("BEGIN IMMEDIATE")
            db.execute("COMMIT")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        path.rename(kept)
        wal, shared_memory = Path(f"{path}-wal"), Path(f"{path}-shm")
        if wal.exists() and wal.stat().st_size > 0:  # of a damaged file
            wal.rename(f"{kept}-wal")
        wal.unlink(missing_ok=True)
        shared_memory.unlink(missing_ok=True)
        new.rename(path)
