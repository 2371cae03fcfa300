"""How fast events become durable: 64 publishers over HTTP, and raw SQLite batches of 64 rows."""

import functools
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from loadtests.benchmark.calling import Calls, Script, answered_a_second, rate_of_wrk
from loadtests.benchmark.events import FEED, PUBLISH, event
from loadtests.benchmark.figures import Figure, compared
from loadtests.benchmark.serving import Server

PUBLISHERS = 64
REQUEST_EVENTS = (1, 10)
SECONDS = 4.0
RAW_SECONDS = 2.0
BATCH_ROWS = 64

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


def publish_figures(server: Server, authorized: Mapping[str, str], *, folder: Path) -> Iterator[Figure]:
    """Publishers over HTTP, some events a request, over raw batches into a file that begins as long as the log."""
    begun = int(server.client.get("/events/api/v1/head", headers=authorized).json()["cursor"].partition(".")[2])
    newest = server.client.get(f"{FEED}?after=0&size=1", headers=authorized).raise_for_status()
    raw = RawLog(folder / "raw.db", body_bytes=len(newest.content))
    raw.fill(begun)
    try:
        for events in REQUEST_EVENTS:
            each = f"{events} event{'s' * (events > 1)} a request"
            yield compared(
                f"durable publishes, {PUBLISHERS} publishers, {each} / raw batches of {BATCH_ROWS}",
                functools.partial(published_a_second, server.url, authorized, events=events),
                bare=raw.rows_a_second,
            )
    finally:
        raw.close()


def published_a_second(url: str, authorized: Mapping[str, str], *, events: int) -> float:
    """Receipts a second, each publisher on a connection of its own. Raises `RuntimeError` at anything but 201."""
    fields = {**authorized, "Content-Type": "application/json"}
    if shutil.which("wrk"):
        script = Script(Path(__file__).with_name("publish.lua"), (str(time.time_ns() // 10**8 % 2**31), str(events)))
        return events * rate_of_wrk(url + PUBLISH, fields, connections=PUBLISHERS, seconds=SECONDS, script=script)
    fields["Host"] = urlsplit(url).netloc
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    start = f"POST {PUBLISH} HTTP/1.1\r\n{head}".encode()

    def request() -> bytes:
        body = event() if events == 1 else b"[%b]" % b",".join(event() for _ in range(events))
        return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)

    calls = Calls(url, request, status=201, connections=PUBLISHERS, seconds=SECONDS)
    return events * uvloop.run(answered_a_second(calls))


class RawLog:
    """A SQLite file that one thread writes durable batches of rows into, without anything around."""

    def __init__(self, path: Path, *, body_bytes: int) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._body = bytes(body_bytes)
        self._last = 0

    def fill(self, rows: int) -> None:
        """Write at least this many rows."""
        while self._last < rows:
            self._write()

    def rows_a_second(self) -> float:
        """Rows a second of writing; making the rows is not counted."""
        spent, before = 0.0, self._last
        while spent < RAW_SECONDS:
            spent += self._write()
        return (self._last - before) / spent

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _write(self) -> float:
        """One batch; how long it took until it was durable (s)."""
        rows = [self._row(self._last + place) for place in range(1, BATCH_ROWS + 1)]
        started = time.perf_counter()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(_INSERT, rows)
        self._db.execute("COMMIT")
        self._last += BATCH_ROWS
        return time.perf_counter() - started

    def _row(self, sequence: int) -> tuple[object, ...]:
        key = uuid.uuid4()
        source = f"https://ttd.apps.example.no/ttd/bench/instances/50000001/{key}"
        place = (sequence, time.time_ns() // 1_000, key.hex, key.bytes * 2, key.bytes * 2)
        named = (str(key), source, "instance.process.completed", "/party/50000001")
        return (*place, *named, "ttd", "bench", str(key), "urn:altinn:resource:app_ttd_bench", self._body)
