"""The layout of a store's file: its creation, and the state in which it may be opened."""

from eventfeed.domain.errors import ImportUnfinished, LogDamaged, StoreUnusable
from eventfeed.log.sqlite.connections import StoreConnection, transaction
from eventfeed.log.sqlite.importing import is_importing, schema

SCHEMA_VERSION = 5


def create_log(db: StoreConnection, name: str) -> None:
    """Create a log with this name in an empty file. Leave a log as it is.

    Raises `StoreUnusable` for the file of another program.
    """
    if _has_log(db):  # which another process may be upgrading
        return
    db.execute("PRAGMA journal_mode = WAL")
    with transaction(db, writes=True):
        if read_number(db, "PRAGMA user_version") == 0:
            db.execute(schema())
            db.execute("INSERT INTO log VALUES (1, ?, 0, 0, 0)", (name,))


def open_log(db: StoreConnection, *, for_import: bool) -> None:
    """Require this release's layout, and remember the file as the store's. A backup has no write-ahead log."""
    db.execute("PRAGMA journal_mode = WAL")
    if (version := read_number(db, "PRAGMA user_version")) != SCHEMA_VERSION:
        raise LogDamaged(f"The store's file has layout {version}; this release reads layout {SCHEMA_VERSION}.")
    if not for_import and is_importing(db):
        raise ImportUnfinished
    # A statement keeps the pages that it changes until its end. In a file that costs as much as the write. Not before:
    # the indexes of an upgrade are sorted in files, as memory for the keys of a whole log has no limit.
    db.execute("PRAGMA temp_store = MEMORY")
    db.files.restrict()
    db.files.remember()


def open_log_to_read(db: StoreConnection) -> None:
    """Require this release's layout, and change nothing in the file."""
    if not _has_log(db):
        raise StoreUnusable(f"{db.files.path} is empty.")
    if (version := read_number(db, "PRAGMA user_version")) != SCHEMA_VERSION:
        raise StoreUnusable(
            f"{db.files.path} has layout {version}, and this command reads layout {SCHEMA_VERSION} and changes none. A "
            "service of this release upgrades an older layout when it starts; until then use the earlier release's "
            "command."
        )
    if is_importing(db):
        raise ImportUnfinished
    if db.pragma("journal_mode") == "wal":  # other files have no `-wal` to remember
        db.files.remember()


def _has_log(db: StoreConnection) -> bool:
    """True unless the file is empty. Raises `StoreUnusable` for the file of another program."""
    with transaction(db, writes=False):
        if read_number(db, "PRAGMA user_version") > 0:
            return True
        if db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise StoreUnusable(f"{db.files.path} is a SQLite database, but not a log of this service.")
    return False


def read_number(db: StoreConnection, sql: str, *values: object) -> int:
    """Return the number that a query finds. Raises `LogDamaged` if it finds none."""
    row = db.execute(sql, values).fetchone()
    if row is None:
        raise LogDamaged("The log has a gap.")
    return int(row[0])
