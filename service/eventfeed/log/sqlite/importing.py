"""The state of a file during an import: without the indexes of the feeds, which are made again at the end.

Most of their keys come in no order, so to keep them up to date costs several times as much as to make them once. A
file in this state has a number in its header, so that no service serves it after an interruption.
"""

import re
from importlib import resources

import apsw

from eventfeed.log.sqlite.connections import CACHE_KIB, StoreConnection, transaction

# "evim", in the header of the file.
_IMPORTING = int.from_bytes(b"evim")
# The index of ids, which finds identities, is searched and written in no order: most of it should be in memory.
_CACHE_KIB = 128 * 1024
# A checkpoint writes a page once, however often it was written since the last one.
_CHECKPOINT_PAGES, _CHECKPOINT_PAGES_DEFAULT = 32_000, 1_000
_INDEX = re.compile(r"^CREATE INDEX (?!entry_id)(\w+).*;$", re.MULTILINE)


def schema() -> str:
    """Return the statements that create a log."""
    return resources.files(__package__).joinpath("schema.sql").read_text()


def is_importing(db: apsw.Connection) -> bool:
    """True if an import into the file has begun and not ended."""
    return bool(db.pragma("application_id") == _IMPORTING)


def begin_import(db: StoreConnection) -> None:
    """Remove the indexes of the feeds, unless an earlier import that was interrupted has done so."""
    _tune(db, cache_kib=_CACHE_KIB, checkpoint_pages=_CHECKPOINT_PAGES)
    with transaction(db, writes=True):
        for index in _INDEX.finditer(schema()):
            db.execute(f"DROP INDEX IF EXISTS {index[1]}")
        db.execute(f"PRAGMA application_id = {_IMPORTING}")


def end_import(db: StoreConnection) -> None:
    """Make the indexes of the feeds again, if they are missing."""
    if is_importing(db):
        db.execute("PRAGMA temp_store = FILE")  # memory for the keys of a whole log has no limit
        with transaction(db, writes=True):
            for index in _INDEX.finditer(schema()):
                db.execute(index[0])
            db.execute("PRAGMA application_id = 0")
    _tune(db, cache_kib=CACHE_KIB, checkpoint_pages=_CHECKPOINT_PAGES_DEFAULT)


def _tune(db: apsw.Connection, *, cache_kib: int, checkpoint_pages: int) -> None:
    db.execute(f"PRAGMA cache_size = -{cache_kib}")
    db.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}").fetchall()
