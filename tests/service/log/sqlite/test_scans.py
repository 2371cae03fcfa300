"""Scans of the SQLite engine: how many statements a page takes, and which events it reads."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventfeed.domain.feed import PAGE_BYTES_MAX, app_feed
from eventfeed.log.sqlite import log as module
from eventfeed.log.sqlite.connections import StoreConnection
from eventfeed.log.sqlite.log import SqliteLog
from tests.support.conditions import conditions
from tests.support.engines import open_sqlite_log
from tests.support.events import TTD, entries, entry, event, page_rows

FEED = app_feed(TTD)


@pytest.fixture
async def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteLog]:
    """An empty log with one connection for all readers."""
    monkeypatch.setattr(module, "READER_THREADS", 1)
    async with open_sqlite_log(tmp_path / "log.db") as log:
        yield log


async def statements_of(log: SqliteLog) -> list[str]:
    """A list to which the readers' connection adds its statements."""
    statements = list[str]()

    def trace(_: object, sql: str, __: object) -> bool:
        statements.append(sql)
        return True

    def observe(db: StoreConnection) -> None:
        db.set_exec_trace(trace)

    await log._readers.bind(observe)()
    return statements


async def bodies_read_by(log: SqliteLog) -> list[int]:
    """A list to which the readers' connection adds the bytes of each event whose JSON it takes."""
    lengths = list[int]()

    def take(*arguments: Any) -> bytes:
        body, first, count = arguments
        lengths.append(len(body))
        return bytes(body[first - 1 : first - 1 + count])

    def observe(db: StoreConnection) -> None:
        db.create_scalar_function("substr", take, numargs=3)

    await log._readers.bind(observe)()
    return lengths


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (50, 1), (1_000, 20)])
async def test_page_takes_few_statements(log: SqliteLog, limit: int, most: int) -> None:
    """A page of the usual size is one row of one statement: no row an event, and no transaction around it."""
    await log.append(entries(1, 1_000), after=0)
    statements = await statements_of(log)
    scan = await log.scan(FEED, after=0, through=1_000, limit=limit)

    assert limit == len(scan.entries)
    assert 1 <= len(statements) <= most
    assert 1 == len(set(statements))


async def test_page_with_conditions_on_each_row_takes_two_statements(log: SqliteLog) -> None:
    """The first finds how far the scan may go."""
    await log.append(entries(1, 100), after=0)
    statements = await statements_of(log)
    feed = FEED.where(*conditions(source="https://ttd.apps.example.no/"))
    scan = await log.scan(feed, after=0, through=100, limit=50)

    assert (50, 2) == (len(scan.entries), len(statements))


@pytest.mark.parametrize("bytes_max", [2, 30_000, 48 * 1_024, 1_000_000, PAGE_BYTES_MAX])
@pytest.mark.parametrize("size", [100, 10_000, 60_000])
async def test_events_beyond_the_bytes_are_not_read(log: SqliteLog, bytes_max: int, size: int) -> None:
    """Memory holds a page and no more: only its events are read, and one at least."""
    await log.append([entry(each, of=event(size=size)) for each in range(1, 301)], after=0)
    bodies = await bodies_read_by(log)
    scan = await log.scan(FEED, after=0, through=300, limit=300, bytes_max=bytes_max)

    assert [len(each.json) - 34 for each in scan.entries] == bodies
    assert 1 == len(bodies) or scan.entries.json_bytes <= bytes_max
    assert scan.is_full == (len(bodies) < 300)


async def test_scan_stops_at_the_bytes_although_its_next_match_is_far_away(log: SqliteLog) -> None:
    """It is full at its last entry, and examines nothing after it."""
    batch = [entry(each, of=event(size=500, app=TTD if each in (1, 2, 90) else None)) for each in range(1, 91)]
    await log.append(batch, after=0)
    scan = await log.scan(FEED, after=0, through=90, limit=10, bytes_max=1_600)

    assert (page_rows(batch[:2]), 2, True) == (page_rows(scan.entries), scan.examined, scan.is_full)


@pytest.mark.parametrize("bytes_max", [1, 0, -1, -70_000])
async def test_scan_without_bytes_left_ends_with_one_event(log: SqliteLog, bytes_max: int) -> None:
    """A page may have an event that is longer than its bytes, so nothing is left for the next scan."""
    await log.append(entries(1, 100), after=0)
    scan = await log.scan(FEED, after=0, through=100, limit=50, bytes_max=bytes_max)

    assert (1, 1, True) == (len(scan.entries), scan.examined, scan.is_full)
