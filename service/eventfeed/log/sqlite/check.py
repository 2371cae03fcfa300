"""The check of a SQLite file, and the meaning of errors of a file that is named."""

import contextlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import msgspec

from eventfeed.domain.errors import LogDamaged, StoreUnusable
from eventfeed.domain.event import Identity
from eventfeed.log.sqlite.connections import BUSY_MILLISECONDS, translate_error

# A damaged file has thousands of faults: the first ones are enough.
SQLITE_FAULTS_MAX = 20
# The entries that are not the first one of their id.
_LATER_ENTRIES = """
SELECT sequence, identity_digest, source, id FROM entry WHERE sequence IN (
  SELECT sequence FROM (SELECT sequence, id = lag(id) OVER (ORDER BY id, sequence) AS is_later FROM entry)
  WHERE is_later)
"""


class _Identity(msgspec.Struct):
    source: object = None
    id: object = None


def integrity_faults(path: Path) -> Iterator[str]:
    """Yield faults of the file: the first ones that SQLite finds, and entries that a repeat would not find.

    An identity may be there twice: a log from Cosmos DB knows an identity for some days only.
    """
    with translated(path), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        db.set_busy_timeout(BUSY_MILLISECONDS)
        try:
            for (line,) in db.execute(f"PRAGMA integrity_check({SQLITE_FAULTS_MAX})"):
                if line != "ok":
                    yield f"SQLite: {line}"
            for sequence, source, id_, body in db.execute("SELECT sequence, source, id, body FROM entry"):
                if not _is_identity_of(body, source=source, id_=id_):
                    yield f"Entry {sequence} has another source or id than its JSON."
            for sequence, digest, source, id_ in db.execute(_LATER_ENTRIES):
                if digest != Identity(source=source, id=id_).digest():
                    yield f"Entry {sequence} has the id of an earlier one, and no digest of its own identity."
        except apsw.CorruptError as failure:
            yield f"SQLite: {failure}."


def _is_identity_of(body: bytes, *, source: str, id_: str) -> bool:
    try:
        identity = msgspec.json.decode(body, type=_Identity)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return (source, id_) == (identity.source, identity.id)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into failures; of a damaged file, `path` is the one."""
    try:
        yield
    except apsw.BusyError:
        raise StoreUnusable(f"A process has {path} open. Stop the service first.") from None
    except apsw.Error as failure:
        reason = translate_error(failure)
        if isinstance(reason, LogDamaged):
            reason = LogDamaged(f"{path} is damaged: {failure}.")
        raise reason from failure
