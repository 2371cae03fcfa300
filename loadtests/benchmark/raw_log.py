"""A SQLite file that rows are written into in durable batches, with nothing around it: what a write costs anyone."""

import sqlite3
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

# As many columns and indexes as the service keeps for an entry.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE entry (
  sequence INTEGER PRIMARY KEY, time INTEGER, mark TEXT, identity BLOB, content BLOB, id TEXT, source TEXT, type TEXT,
  subject TEXT, org TEXT, app TEXT, instance TEXT, resource TEXT, body BLOB
) STRICT;
CREATE UNIQUE INDEX entry_identity ON entry (identity);
CREATE INDEX entry_id ON entry (id);
CREATE INDEX entry_app ON entry (org, app) WHERE app IS NOT NULL;
CREATE INDEX entry_app_type ON entry (org, app, type) WHERE app IS NOT NULL;
CREATE INDEX entry_type ON entry (type);
CREATE INDEX entry_resource ON entry (resource) WHERE resource IS NOT NULL AND app IS NULL;
CREATE INDEX entry_subject ON entry (subject) WHERE subject IS NOT NULL;
CREATE INDEX entry_instance ON entry (instance) WHERE instance IS NOT NULL;
"""
_INSERT = f"INSERT INTO entry VALUES ({', '.join('?' * 14)})"  # noqa: S608  # constants


class RawLog:
    """Rows in one file. One thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)
        self.rows = 0

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
