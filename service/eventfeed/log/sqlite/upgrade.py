"""Upgrades of a store's file to the layout of this release: in place, after a copy beside it.

Each step is one transaction, which also writes the number of the layout. So an upgrade that was interrupted continues
at the next start.
"""

import contextlib
import itertools
import logging
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

from eventfeed.domain.errors import StoreUnusable
from eventfeed.log.sqlite.backup import copy_store
from eventfeed.log.sqlite.clock_reference import is_held
from eventfeed.log.sqlite.connections import StoreConnection, transaction
from eventfeed.log.sqlite.layout import SCHEMA_VERSION, read_number

_log = logging.getLogger(__name__)

# Statements that turn each older layout into the next one.
_STEPS = {
    1: (
        "CREATE INDEX entry_type ON entry (type)",
        "CREATE INDEX entry_resource ON entry (resource) WHERE resource IS NOT NULL AND app IS NULL",
    ),
    2: (
        "DROP INDEX entry_identity",
        "CREATE INDEX entry_identity ON entry (substr(identity, 1, 8))",
    ),
    # The digests of earlier entries stay. An import that was interrupted lacks the index of ids.
    3: (
        "CREATE INDEX IF NOT EXISTS entry_id ON entry (id)",
        "DROP INDEX entry_identity",
        "CREATE INDEX entry_identity ON entry (substr(identity, 1, 8)) WHERE identity <> x''",
    ),
    # A process of an earlier release may have read the layout just before the upgrade: now its statements fail.
    4: ("ALTER TABLE entry RENAME COLUMN identity TO identity_digest",),
}
# The copy takes the size of the file. The new indexes take at most this part of it, with their copies in the
# write-ahead log and in the files of the sorter.
_INDEX_PART = 2
_MIB = 1024 * 1024
# A process that waits longer than this (s) for the lock says so.
SILENT_SECONDS = 1.0


def upgrade_log(db: StoreConnection) -> None:
    """Upgrade an older layout. Other processes that start meanwhile wait for it.

    Raises `StoreUnusable` if a process of the store runs, or if the disk has no space for the copy.
    """
    if not _is_older(_version(db)):
        return
    with _lock(db):
        version = _version(db)
        if not _is_older(version):  # another process was first
            return
        path = db.files.path
        _require_stopped(path)
        _log.warning("%s has layout %d and is upgraded to layout %d", path, version, SCHEMA_VERSION)
        _keep_copy(db, version)
        db.execute("PRAGMA journal_mode = WAL")  # without it, other processes that start could not read meanwhile
        while version < SCHEMA_VERSION:
            with transaction(db, writes=True):
                for statement in _STEPS[version]:
                    db.execute(statement)
                version += 1
                db.execute(f"PRAGMA user_version = {version}")
        _log.warning("%s is upgraded to layout %d", path, SCHEMA_VERSION)


def copy_path(path: Path, version: int, *, number: int = 1) -> Path:
    """Return the path of the copy of a store in this layout; of a second or later one, with its number."""
    return path.with_suffix(f".layout-{version}.db" if number == 1 else f".layout-{version}.{number}.db")


@contextlib.contextmanager
def _lock(db: StoreConnection) -> Iterator[None]:
    """Hold the lock of writers during the block. A wait for another process is logged once."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(db.lock.hold(seconds=SILENT_SECONDS))
        except apsw.BusyError:
            _log.warning("%s is written by another process, perhaps for an upgrade: the start waits", db.files.path)
            stack.enter_context(db.lock.hold(seconds=None))
        yield


def _require_stopped(path: Path) -> None:
    """Raise `StoreUnusable` while a process runs that knows only the older layout.

    It holds the reference of the clock. A process that starts does so only after the upgrade.
    """
    if is_held(path.with_suffix(".clock")):
        raise StoreUnusable(
            f"{path} has the layout of an earlier release, and a service of that release runs on it. Nothing was "
            "changed. Stop the service first: the new release upgrades the file when it starts."
        )


def _version(db: StoreConnection) -> int:
    return read_number(db, "PRAGMA user_version")


def _is_older(version: int) -> bool:
    return 0 < version < SCHEMA_VERSION


def _require_space(db: StoreConnection, *, copies: bool) -> None:
    size = read_number(db, "PRAGMA page_size") * read_number(db, "PRAGMA page_count")
    needed, free = size * copies + size // _INDEX_PART, shutil.disk_usage(db.files.path.parent).free
    if free < needed:
        raise StoreUnusable(
            f"The upgrade of {db.files.path} to layout {SCHEMA_VERSION} needs {needed // _MIB + 1} MiB for a copy "
            f"and an index, and {free // _MIB} MiB are free. Nothing was changed. Free the space, and start again."
        )


def _keep_copy(db: StoreConnection, version: int) -> None:
    """Copy the file, unless an interrupted upgrade has done so. A copy of another state is never replaced."""
    path, state = db.files.path, _state(db)
    names = (copy_path(path, version, number=number) for number in itertools.count(1))
    kept = next(name for name in names if not name.exists() or _state_of(name) == state)
    _require_space(db, copies=not kept.exists())
    if not kept.exists():
        new = kept.with_name(f"{kept.name}.new")
        new.unlink(missing_ok=True)
        copy_store(path, new)
        new.rename(kept)
    _log.warning("the file as it was is kept as %s: delete it when all is well", kept)


def _state(db: apsw.Connection) -> object:
    """Return the record of a log, which each append, deletion and new name changes."""
    return db.execute("SELECT name, floor, position, time FROM log").fetchone()


def _state_of(path: Path) -> object:
    """Return the record of the log in a copy; None if it has none."""
    with contextlib.suppress(apsw.Error), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return _state(db)
    return None
