"""The rows of a SQLite store, read beside the service or the command that uses it."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

BUSY_MILLISECONDS = 60_000
# Those of an entry, but for the digest of its identity, which depends on the entries that the file had before.
_COLUMNS = "sequence, time, mark, content, id, source, type, subject, org, app, instance, resource, body"


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
    """Return a digest of the log's record and of each entry, in order."""
    digest = hashlib.sha256()
    entries = f"SELECT {_COLUMNS} FROM entry ORDER BY sequence"  # noqa: S608  # constants
    for sql in ("SELECT name, floor, position, time FROM log", entries):
        for row in query(path, sql):
            digest.update(repr(row).encode())
    return digest.hexdigest()
