"""A SQLite file with durable batches of rows: the cost of a write without a service around it."""

import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw

from loadtests.benchmark.events import event

_INSERT = f"INSERT INTO entry VALUES ({', '.join('?' * 14)})"  # noqa: S608  # constants
_SCHEMA = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"


BATCH_ROWS = 64


class RawLog:
    """Rows in one file, with the tables and indexes of the store `like`. One thread at a time may use it."""

    def __init__(self, path: Path, *, like: Path) -> None:
        self._db = apsw.Connection(str(path))
        self._db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        with closing(apsw.Connection(str(like))) as store:
            for (statement,) in store.execute(_SCHEMA):
                self._db.execute(statement)
        self.rows = 0

    def fill(self, rows: int) -> None:
        """Write at least this many rows, as in a log with earlier events."""
        while self.rows < rows:
            self.append([event() for _ in range(BATCH_ROWS)])

    def append(self, bodies: Sequence[bytes]) -> float:
        """Write a row for each body, durably, and return the seconds without the preparation of the rows."""
        rows = [_row(self.rows + number, body) for number, body in enumerate(bodies, start=1)]
        start = time.perf_counter()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(_INSERT, rows)
        self._db.execute("COMMIT")
        self.rows += len(rows)
        return time.perf_counter() - start

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _row(sequence: int, body: bytes) -> tuple[object, ...]:
    key = uuid.uuid4()
    source = f"https://ttd.apps.example.no/ttd/bench/instances/50000001/{key}"
    position = (sequence, time.time_ns() // 1_000, key.hex, b"", key.bytes * 2)
    attributes = (str(key), source, "instance.process.completed", "/party/50000001")
    return (*position, *attributes, "ttd", "bench", str(key), "urn:altinn:resource:app_ttd_bench", body)
