"""Files of logs: their creation by direct inserts, their pages in the cache of the operating system, their space."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw

from loadtests.growth.series import COLUMNS, Series

# An event of 500 bytes with its indexes, and what publishes of a run and a write-ahead log add.
EVENT_BYTES = 1_500
_GB = 1_000_000_000
# Inserts in no order are fast while the indexes are in memory: this much of what is free, and no more.
_CACHE_SHARE, _CACHE_BYTES_MAX = 0.4, 5 * _GB

_COMMAND = str(Path(sys.executable).with_name("eventfeed"))


def require_space(folder: Path, *, events: int) -> None:
    """End the program with a message if the disk of the folder lacks space for so many events."""
    needed, free = events * EVENT_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"make growth needs {needed / _GB:,.1f} GB in {folder}, and {free / _GB:,.1f} GB are free. Free some "
            "space, name a folder on another disk as TMPDIR, or measure in short: make growth SHORT=1"
        )


def create_store(folder: Path) -> Path:
    """Create the folder of a service whose log is empty."""
    folder.mkdir()
    run_command("store", "create", folder=folder)
    return folder


def create_log(folder: Path, series: Series, *, empty: Path) -> Path:
    """Create the folder of a service whose log has these events, from an empty one. Return the file of the log."""
    shutil.copytree(empty, folder)
    file = folder / ".eventfeed" / "log.db"
    with closing(apsw.Connection(str(file))) as db:
        _fill(db, series)
    return file


def run_command(*arguments: str, folder: Path) -> str:
    """Run the command line of the service in the folder of a store, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTFEED_")}
    process = subprocess.run([_COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, check=False)
    if process.returncode:
        raise RuntimeError(f"eventfeed {' '.join(arguments)}: {process.stderr.decode()}")
    return process.stdout.decode()


def drop_cached_pages(file: Path) -> None:
    """Make the next reads of a file come from the disk. A service's own cache, some 1 MB, stays."""
    for name in (file, file.with_name(f"{file.name}-wal")):
        if name.exists():
            with name.open("rb") as opened:
                os.fsync(opened.fileno())
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cache_pages(file: Path) -> None:
    """Read a file, so that as much of it as fits into memory needs no disk."""
    part = bytearray(1024 * 1024)
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(part):
            pass


def _fill(db: apsw.Connection, series: Series) -> None:
    """Insert the events one by one: so the indexes have the gaps of a log that has grown."""
    cache_kib = int(min(_CACHE_BYTES_MAX, _CACHE_SHARE * _free_memory())) // 1_024
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{cache_kib}"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    moment = datetime.fromtimestamp(series.start / 1e6, UTC).isoformat().replace("+00:00", "Z")
    values = ", ".join("?" * len(COLUMNS.split(",")))
    db.execute("BEGIN EXCLUSIVE")
    db.executemany(f"INSERT INTO entry ({COLUMNS}) VALUES ({values})", series.rows(moment=moment))  # noqa: S608  # constants
    db.execute("UPDATE log SET position = ?, time = ?", (series.events, series.time(series.events)))
    db.execute("COMMIT")


def _free_memory() -> int:
    """The memory that programs can have without swapping (bytes)."""
    fields: Sequence[str] = Path("/proc/meminfo").read_text().split()
    return int(fields[fields.index("MemAvailable:") + 1]) * 1_024
