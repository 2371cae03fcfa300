"""A SQLite file that rows are written into in durable batches, with nothing around it: what a write costs anyone."""

import sqlite3
import time
import uuid
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from loadtests.benchmark.events import event

_INSERT = f"INSERT INTO entry VALUES ({', '.join('?' * 14)})"  # noqa: S608  # constants


BATCH_ROWS = 64


class RawLog:
    """Rows in one file. One thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        # The very columns and indexes that the service keeps for an entry.
        self._db.executescript(resources.files("eventfeed.log").joinpath("schema.sql").read_text())
        self.rows = 0

    def fill(self, rows: int) -> None:
        """Begin with so many rows at least, as a log does that events were published into before."""
        while self.rows < rows:
            self.append([event() for _ in range(BATCH_ROWS)])

    def append(self, bodies: Sequence[bytes]) -> float:
        """Write a row for each of these, all of them durably; how long that took (s), making the rows not counted."""
        rows = [_row(self.rows + place, body) for place, body in enumerate(bodies, start=1)]
        started = time.perf_counter()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(_INSERT, rows)
        self._db.execute("COMMIT")
        self.rows += len(rows)
        return time.perf_counter() - started

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def _row(sequence: int, body: bytes) -> tuple[object, ...]:
    key = uuid.uuid4()
    source = f"https://ttd.apps.example.no/ttd/bench/instances/50000001/{key}"
    place = (sequence, time.time_ns() // 1_000, key.hex, key.bytes * 2, key.bytes * 2)
    named = (str(key), source, "instance.process.completed", "/party/50000001")
    return (*place, *named, "ttd", "bench", str(key), "urn:altinn:resource:app_ttd_bench", body)
