"""Backup and restore of a store, for operators."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from eventfeed.app.ids import new_log_name
from eventfeed.app.store import require_no_lost_log
from eventfeed.domain.errors import LogDamaged, StoreUnusable
from eventfeed.domain.ports import Head
from eventfeed.log.clock import MachineClock
from eventfeed.log.sqlite.backup import copy_store, replace_store, require_log
from eventfeed.log.sqlite.clock_reference import ClockReference
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.settings import Settings

# A damaged log has thousands of faults: the first ones are enough.
FAULTS_MAX = 20


def back_up(settings: Settings, target: Path) -> None:
    """Write a consistent copy of a SQLite log, also while it is served. Raises `FileExistsError`, `StoreUnusable`."""
    require_log(settings.sqlite_path)
    copy_store(settings.sqlite_path, target)


async def prepare_restore(backup: Path, new: Path) -> Head:
    """Copy a backup to `new`, check the copy, and give its log a new name. Raises `LogDamaged` with its faults.

    Raises `StoreUnusable` for a file that is no log.
    """
    require_log(backup)
    copy_store(backup, new)
    log = SqliteLog(new, new_name=new_log_name)
    try:
        faults = await _faults(log)
        if not faults:
            await log.rename()
            return await log.head()
    finally:
        await log.close()
    raise LogDamaged(f"{backup} is damaged. " + " ".join(faults[:FAULTS_MAX]))


async def _faults(log: SqliteLog) -> Sequence[str]:
    """Open the log of a file, and return its faults."""
    try:
        await log.open()
        return [each async for each in log.faults()]
    except LogDamaged as damage:
        return [str(damage)]


def require_stopped(settings: Settings) -> None:
    """Raise `StoreUnusable` while a process of the service runs on the store."""
    if ClockReference(settings.clock_path, MachineClock(time.time_ns)).adopt():
        raise StoreUnusable(f"A service runs on {settings.sqlite_path}. Stop it first.")


def require_ready_for_import(settings: Settings) -> None:
    """Raise `StoreUnusable` if a SQLite store is in use, or has lost its log."""
    require_no_lost_log(settings)
    if settings.cosmos is None and settings.sqlite_path.exists():
        require_stopped(settings)


def restore(settings: Settings, new: Path) -> Path:
    """Put a prepared file in the place of the log, and return the name under which the old one is kept."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = settings.sqlite_path.with_name(f"{settings.sqlite_path.name}.replaced-{stamp}")
    replace_store(settings.sqlite_path, new, kept=kept)
    return kept


@contextlib.contextmanager
def temporary_file(settings: Settings) -> Iterator[Path]:
    """Yield the name of a file in a folder of its own beside the store, on the same disk; remove it all at the end."""
    store = settings.sqlite_path
    with tempfile.TemporaryDirectory(prefix=f"{store.name}.restore-", dir=store.parent) as folder:
        yield Path(folder) / store.name
