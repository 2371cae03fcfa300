"""Upgrades of a store's file to the layout of this release: in place, after a copy beside it.

Each step is one transaction, which also writes the number of the layout. So an upgrade that was interrupted continues
at the next start.
"""

import logging
import shutil
from pathlib import Path

from eventfeed.domain.errors import StoreUnusable
from eventfeed.log.sqlite.backup import copy_store
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
}
# The copy takes the size of the file, and the new indexes at most this part of it.
_INDEX_PART = 4
_MIB = 1024 * 1024


def upgrade_log(db: StoreConnection) -> None:
    """Upgrade an older layout. Other processes that start meanwhile wait for it.

    Raises `StoreUnusable` if the disk has no space for the copy.
    """
    if not _is_older(_version(db)):
        return
    with db.lock.hold(seconds=None):
        version = _version(db)
        if not _is_older(version):  # another process was first
            return
        path = db.files.path
        _log.warning("%s has layout %d and is upgraded to layout %d", path, version, SCHEMA_VERSION)
        _require_space(db)
        _log.warning("the file as it was is kept as %s: delete it when all is well", _keep_copy(path, version))
        while version < SCHEMA_VERSION:
            with transaction(db, writes=True):
                for statement in _STEPS[version]:
                    db.execute(statement)
                version += 1
                db.execute(f"PRAGMA user_version = {version}")
        _log.warning("%s is upgraded to layout %d", path, SCHEMA_VERSION)


def copy_path(path: Path, version: int) -> Path:
    """Return the path of the copy of a store in this layout."""
    return path.with_suffix(f".layout-{version}.db")


def _version(db: StoreConnection) -> int:
    return read_number(db, "PRAGMA user_version")


def _is_older(version: int) -> bool:
    return 0 < version < SCHEMA_VERSION


def _require_space(db: StoreConnection) -> None:
    size = read_number(db, "PRAGMA page_size") * read_number(db, "PRAGMA page_count")
    needed, free = size + size // _INDEX_PART, shutil.disk_usage(db.files.path.parent).free
    if free < needed:
        raise StoreUnusable(
            f"The upgrade of {db.files.path} to layout {SCHEMA_VERSION} needs {needed // _MIB + 1} MiB for a copy "
            f"beside it, and {free // _MIB} MiB are free. Nothing was changed. Free the space, and start again."
        )


def _keep_copy(path: Path, version: int) -> Path:
    """Copy the file. A copy that an interrupted upgrade left is replaced once the new one is whole."""
    kept = copy_path(path, version)
    new = kept.with_name(f"{kept.name}.new")
    new.unlink(missing_ok=True)
    copy_store(path, new)
    return new.replace(kept)
