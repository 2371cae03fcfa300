"""The rows of a SQLite store, read beside the service or the command that uses it."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

BUSY_MILLISECONDS = 60_000


def query(path: Path, sql: str) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a query on a store's file; none without a store."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
            db.set_busy_timeout(BUSY_MILLISECONDS)
            yield from db.execute(sql)
    except (apsw.CantOpenError, apsw.SQLError):
        return


def end_offset(path: Path) -> int:
    """Return the position of the last entry, as of the last commit; 0 before there is a log."""
    return next((int(str(position)) for (position,) in query(path, "SELECT position FROM log")), 0)


def digest_of_rows(path: Path) -> str:
    """Return a digest of the log's record and of each column of each entry, in order."""
    digest = hashlib.sha256()
    for sql in ("SELECT name, floor, position, time FROM log", "SELECT * FROM entry ORDER BY sequence"):
        for row in query(path, sql):
            digest.update(repr(row).encode())
    return digest.hexdigest()
