"""How fast events become durable: 64 publishers over HTTP, and raw SQLite batches of 64 rows."""

import asyncio
import json
import sqlite3
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

PUBLISHERS = 64
SECONDS = 5.0
ROW_BATCH = 64
COLUMNS = ("time", "identity", "content", "id", "source", "type", "subject", "org", "app", "instance", "body")


async def published_a_second(url: str, token: str) -> float:
    """Receipts a second, each publisher on a connection of its own, one event a request."""
    deadline = time.monotonic() + SECONDS
    counts = await asyncio.gather(*(_publish(url, token, deadline=deadline) for _ in range(PUBLISHERS)))
    return sum(counts) / SECONDS


async def _publish(url: str, token: str, *, deadline: float) -> int:
    parts, count = urlsplit(url), 0
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    while time.monotonic() < deadline:
        body = event()
        head = (
            f"POST /events/api/v1/app HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(answer.decode())
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        count += 1
    writer.close()
    await writer.wait_closed()
    return count


def event() -> bytes:
    """An app event of some 300 bytes, with an id."""
    source = f"https://ttd.apps.example.no/ttd/bench/instances/50000001/{uuid.uuid4()}"
    base = {"id": str(uuid.uuid4()), "source": source, "specversion": "1.0", "type": "instance.process.completed"}
    return json.dumps({**base, "subject": "/party/50000001", "data": "x" * 40}).encode()


def rows_a_second(folder: Path) -> float:
    """Rows of the same size with as many indexes, in durable batches, without anything around."""
    db = sqlite3.connect(folder / "raw.db", isolation_level=None)
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        f"CREATE TABLE entry (sequence INTEGER PRIMARY KEY, {', '.join(COLUMNS)})",
        "CREATE UNIQUE INDEX entry_identity ON entry (identity)",
        *(f"CREATE INDEX entry_{key} ON entry ({key})" for key in ("id", "subject", "instance")),
        "CREATE INDEX entry_app ON entry (org, app)",
        "CREATE INDEX entry_app_type ON entry (org, app, type)",
    ):
        db.execute(statement)
    insert = f"INSERT INTO entry VALUES ({', '.join('?' * (1 + len(COLUMNS)))})"  # noqa: S608  # constants
    started, sequence = time.monotonic(), 0
    while time.monotonic() - started < SECONDS:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(insert, [_row(sequence + place) for place in range(ROW_BATCH)])
        db.execute("COMMIT")
        sequence += ROW_BATCH
    db.close()
    return sequence / (time.monotonic() - started)


def _row(sequence: int) -> tuple[object, ...]:
    body, key = event(), uuid.uuid4()
    named = (str(key), f"https://ttd.apps.example.no/ttd/bench/instances/50000001/{key}", "instance.process.completed")
    return (
        sequence + 1,
        sequence,
        key.bytes * 2,
        key.bytes * 2,
        *named,
        "/party/50000001",
        "ttd",
        "bench",
        str(key),
        body,
    )
