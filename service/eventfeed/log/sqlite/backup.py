"""Backups of a SQLite store: consistent copies, integrity, and the replacement of a file that no process has open."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

from eventfeed.domain.errors import StoreUnusable
from eventfeed.domain.event import Identity
from eventfeed.log.sqlite.connections import BUSY_MILLISECONDS, translate_error

# A damaged file has thousands of faults: the first ones are enough.
FAULTS_MAX = 20
_CREATE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


def copy_store(source: Path, target: Path) -> None:
    """Write one consistent file, while other processes use the source. `target` must not exist, and is whole or absent.

    A single step reads one snapshot. It delays no writer; the write-ahead log grows meanwhile.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    part = target.with_name(f"{target.name}.part")
    with contextlib.ExitStack() as undo, _translated():
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


def integrity_faults(path: Path) -> Iterator[str]:
    """Yield faults of the file: those that SQLite finds, and identities whose digest does not fit the event."""
    with _translated(), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        db.set_busy_timeout(BUSY_MILLISECONDS)
        for (line,) in db.execute(f"PRAGMA integrity_check({FAULTS_MAX})"):
            if line != "ok":
                yield f"SQLite: {line}"
        for sequence, digest, source, id_ in db.execute("SELECT sequence, identity, source, id FROM entry"):
            if digest != Identity(source=source, id=id_).digest():
                yield f"Entry {sequence} has the digest of another identity."


def replace_store(path: Path, new: Path, *, kept: Path) -> None:
    """Rename the store to `kept` and `new` to the store. Raises `StoreUnusable` if a process has the store open."""
    if not path.exists():
        new.rename(path)
        return
    with _translated(), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
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


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.BusyError:
        raise StoreUnusable("A process has the store open. Stop the service first.") from None
    except apsw.Error as failure:
        raise translate_error(failure) from failure
