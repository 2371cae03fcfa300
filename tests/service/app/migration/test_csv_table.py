"""CSV files of the platform's table, and the messages for files that are none."""

import gc
import io
import sys
from collections.abc import Sequence

import pytest

from eventfeed.app.migration.csv_table import CsvTable
from eventfeed.app.migration.rows import START, Row, TableError, microseconds
from tests.support.altinn_rows import FIRST_TIME, altinn_row, csv_file

FIRST = microseconds(FIRST_TIME)


async def rows_of(content: bytes, *, after: int = START) -> Sequence[Row]:
    """The rows of a file."""
    table = CsvTable(io.BytesIO(content))
    count = await table.count(after=after)
    rows = [row async for part in table.rows(after=after, limit=2) for row in part]
    assert count == len(rows)
    return rows


async def test_rows_have_number_time_text_and_line() -> None:
    """A quoted text may contain line breaks, and columns may have any order."""
    content = b'registeredtime,more,sequenceno,cloudevent\r\n2026-01-01 13:00:00.25+01,,7,"{""a"":\n1}"\r\n'

    assert [Row(7, FIRST + 250_000, b'{"a":\n1}', 3)] == await rows_of(content)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01 12:00:01+00", 1),
        ("2026-01-01 17:30:01+05:30", 1),
        ("2026-01-01 06:00:02.5-06", 2.5),
        ("2026-01-01T12:00:01Z", 1),
        ("2026-01-01 12:00:01.123456+00", 1.123456),
    ],
)
async def test_times_are_read_with_any_offset(text: str, seconds: float) -> None:
    """PostgreSQL writes the offset of the session."""
    (row,) = await rows_of(f"sequenceno,cloudevent,time\n1,{{}},{text}\n".encode())

    assert row.time == FIRST + int(seconds * 1_000_000)


async def test_rows_in_another_order_are_sorted() -> None:
    """A copy of the whole table has the rows as they lie on the disk."""
    rows = await rows_of(csv_file(altinn_row(number) for number in (3, 1, 2)))

    assert [(1, 3), (2, 4), (3, 2)] == [(row.number, row.line) for row in rows]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_row_with_the_number_0_is_the_first(order: Sequence[int]) -> None:
    """Numbers begin at 0."""
    rows = await rows_of(csv_file(altinn_row(number) for number in order))

    assert [0, 1] == [row.number for row in rows]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
async def test_rows_after_a_number_are_the_rest(order: Sequence[int]) -> None:
    """An import goes on after its last row."""
    rows = await rows_of(csv_file(altinn_row(number) for number in order), after=1)

    assert [2, 3] == [row.number for row in rows]


async def test_byte_order_mark_and_empty_lines_are_no_content() -> None:
    """Editors of Windows write both."""
    rows = await rows_of(b"\xef\xbb\xbf" + csv_file([altinn_row(1)]) + b"\n\n")

    assert [1] == [row.number for row in rows]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Line 1 must name the columns"),
        (b"sequenceno;cloudevent;registeredtime\n", "Line 1 must name the columns"),
        (b"1,{},2026-01-01 12:00:00+00\n", "Line 1 must name the columns"),
        (b"sequenceno,cloudevent,time\n1,{}\n", "Line 2 has 2 columns, and the header 3"),
        (b"sequenceno,cloudevent,time\nx,{},\n", "Line 2 has the sequenceno 'x'"),
        (b"sequenceno,cloudevent,time\n-1,{},\n", "Line 2 has the sequenceno '-1'"),
        (b"sequenceno,cloudevent,time\n99999999999999999999,{},\n", "Line 2 has the sequenceno"),
        (b"sequenceno,cloudevent,time\n1,{},01.02.2026 10:00 CET\n", "SET datestyle TO ISO"),
        (b"sequenceno,cloudevent,time\n1,{},2026-01-01 12:00:00\n", "Line 2 has the time"),
        (b"sequenceno,cloudevent,time\n1,{},infinity\n", "Line 2 has the time"),
        (b"sequenceno,cloudevent,time\n2,{},\n1,{},\n2,{},\n", "Line 4 has the sequenceno 2 of an earlier line"),
        (b"sequenceno,cloudevent,time\n1,{},\n1,{},\n", "Line 3 has the sequenceno 1 of an earlier line"),
        (b'sequenceno,cloudevent,time\n1,"{}', "Line 2 is no CSV"),
        (b"sequenceno,cloudevent,time\n1,\xff\xfe,\n", "is not UTF-8"),
        (b"sequenceno,cloudevent,time\n1," + b"x" * 1_000_001 + b",\n", "Line 2 is no CSV"),
    ],
)
async def test_file_that_is_no_table_is_named_with_its_line(content: bytes, message: str) -> None:
    """Nothing of such a file is imported."""
    with pytest.raises(TableError, match=message.replace("(", r"\(")):
        await rows_of(content)


async def test_refused_file_is_not_read_again_by_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that is closed after its file would print a traceback."""
    faults = list[object]()
    monkeypatch.setattr(sys, "unraisablehook", faults.append)
    content = io.BytesIO(csv_file(altinn_row(number) for number in (2, 1, 1)))

    with pytest.raises(TableError) as refusal:
        await CsvTable(content).count(after=START)
    content.close()
    del refusal
    gc.collect()

    assert [] == faults


async def test_row_without_a_time_has_none() -> None:
    """The column may be null."""
    (row,) = await rows_of(b"sequenceno,cloudevent,registeredtime\n1,{},\n")

    assert row.time is None
