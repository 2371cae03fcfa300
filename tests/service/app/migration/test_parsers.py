"""Rows are parsed ahead, in a thread or in processes, and come in order."""

import json
import multiprocessing
from collections.abc import AsyncIterator, Sequence

import pytest

from eventfeed.app.migration import parsers
from eventfeed.app.migration.parsers import parse_ahead
from eventfeed.app.migration.parsing import parse_rows
from eventfeed.app.migration.rows import Row, TableError
from tests.support.altinn_rows import altinn_row

ROWS = [
    Row(number, 1_000_000 * number, json.dumps(altinn_row(number, type="x" * (number % 7)).event).encode(), number)
    for number in range(1, 51)
]


async def chunks_of(rows: Sequence[Row]) -> AsyncIterator[Sequence[Row]]:
    """Chunks of ten rows."""
    for start in range(0, len(rows), 10):
        yield rows[start : start + 10]


@pytest.mark.parametrize("rows_min", [1, 1_000], ids=["processes", "thread"])
async def test_rows_come_in_order_with_the_same_result(monkeypatch: pytest.MonkeyPatch, rows_min: int) -> None:
    """A process returns the event, or the reason why a row is none."""
    monkeypatch.setattr(parsers, "PROCESS_ROWS_MIN", rows_min)

    parts = [part async for part in parse_ahead(chunks_of(ROWS), rows=len(ROWS))]

    assert parse_rows(ROWS) == [each for part in parts for each in part]
    assert 5 == len(parts)


async def test_process_that_is_killed_ends_the_import_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system kills a process if memory is short."""
    monkeypatch.setattr(parsers, "PROCESS_ROWS_MIN", 1)

    async def chunks() -> AsyncIterator[Sequence[Row]]:
        yield ROWS[:10]
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        yield ROWS[10:20]

    with pytest.raises(TableError, match="was killed"):
        [part async for part in parse_ahead(chunks(), rows=20)]
