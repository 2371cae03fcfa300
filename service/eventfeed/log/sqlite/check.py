"""The check of a SQLite file, and the meaning of errors of a file that is named."""

import contextlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

from eventfeed.domain.errors import LogDamaged, StoreUnusable
from eventfeed.domain.event import Identity
from eventfeed.log.sqlite.connections import BUSY_MILLISECONDS, translate_error

# A damaged file has thousands of faults: the first ones are enough.
SQLITE_FAULTS_MAX = 20


def integrity_faults(path: Path) -> Iterator[str]:
    """Yield faults of the file: the first ones that SQLite finds, and identities with the digest of another event.

    An identity may be there twice: a log from Cosmos DB knows an identity for some days only.
    """
    with translated(path), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
        db.set_busy_timeout(BUSY_MILLISECONDS)
        try:
            for (line,) in db.execute(f"PRAGMA integrity_check({SQLITE_FAULTS_MAX})"):
                if line != "ok":
                    yield f"SQLite: {line}"
            for sequence, digest, source, id_ in db.execute("SELECT sequence, identity, source, id FROM entry"):
                if digest != Identity(source=source, id=id_).digest():
                    yield f"Entry {sequence} has the digest of another identity."
        except apsw.CorruptError as failure:
            yield f"SQLite: {failure}."


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
