"""A table in a CSV file with a header, as `COPY … WITH CSV HEADER` writes it."""

import contextlib
import csv
import io
import sqlite3
import zlib
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import IO, NamedTuple

from eventfeed.app.migration.rows import EVENT, NUMBER, START, TIMES, Row, TableError, TableName, microseconds, table_of

# A longer text is no event of the platform.
FIELD_CHARACTERS_MAX = 1_000_000
_NUMBER_MAX = 2**63 - 1
_EXPORT = "\\copy (SELECT * FROM events.events ORDER BY sequenceno) TO 'events.csv' CSV HEADER"


class _Columns(NamedTuple):
    """The indexes of the columns in a line, and the number of columns."""

    number: int
    time: int
    event: int
    length: int


class CsvTable:
    """The rows of a CSV file, which can be read again. Rows in another order are sorted in a temporary file."""

    def __init__(self, content: IO[bytes]) -> None:
        csv.field_size_limit(FIELD_CHARACTERS_MAX)
        self._content = content
        self.name, self._columns = self._header()
        self._order: sqlite3.Connection | None = None
        self._count: int | None = None

    async def count(self, *, after: int) -> int:
        """See `Table.count`. The first call reads the whole file, and so finds its faults before a row is imported."""
        if self._count is None:
            self._count = self._examine()
        return sum(1 for _ in self._read(after)) if after > START else self._count

    async def rows(self, *, after: int, limit: int) -> AsyncGenerator[Sequence[Row], None]:
        """See `Table.rows`."""
        with contextlib.closing(self._read(after)) as rows:
            while chunk := list(islice(rows, limit)):
                yield chunk

    def _read(self, after: int) -> Generator[Row, None, None]:
        with contextlib.closing(self._rows() if self._order is None else _read_in_order(self._order)) as rows:
            yield from (row for row in rows if row.number > after)

    def _header(self) -> tuple[TableName, _Columns]:
        with contextlib.closing(self._lines()) as lines:
            _, names = next(lines, (0, []))
        table = table_of(names)
        if table is None:
            raise TableError(
                f"Line 1 must name the columns {NUMBER}, {EVENT}, and {TIMES['events']} or {TIMES['events_app']}. "
                f"Export the table with psql: {_EXPORT}"
            )
        return table, _Columns(names.index(NUMBER), names.index(TIMES[table]), names.index(EVENT), len(names))

    def _examine(self) -> int:
        """Return the number of rows. Sort them if their numbers do not increase."""
        count, last, is_sorted = 0, START, True
        with contextlib.closing(self._rows()) as rows:
            for row in rows:
                count += 1
                is_sorted = is_sorted and row.number > last
                last = row.number
        if not is_sorted:
            with contextlib.closing(self._rows()) as rows:
                self._order = _sort(rows)
        return count

    def _rows(self) -> Generator[Row, None, None]:
        columns = self._columns
        with contextlib.closing(self._lines()) as lines:
            next(lines)
            for line, fields in lines:
                if fields:
                    yield _row(fields, columns, line=line)

    def _lines(self) -> Generator[tuple[int, list[str]], None, None]:
        """Yield each record, with the number of the line in which it ends."""
        self._content.seek(0)
        text = io.TextIOWrapper(self._content, encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        try:
            for fields in reader:
                yield reader.line_num, fields
        except csv.Error as fault:
            raise TableError(
                f"Line {reader.line_num} is no CSV: {fault}. Export the table with psql: {_EXPORT}"
            ) from None
        except UnicodeDecodeError:
            raise TableError(
                f"A line after {reader.line_num} is not UTF-8. Set PGCLIENTENCODING=UTF8 for psql."
            ) from None
        except (OSError, EOFError, zlib.error) as fault:
            raise TableError(f"The file cannot be read after line {reader.line_num}: {fault}.") from None
        finally:
            text.detach()


def _row(fields: Sequence[str], columns: _Columns, *, line: int) -> Row:
    """Return the row of a record. Raises `TableError`."""
    if len(fields) != columns.length:
        raise TableError(f"Line {line} has {len(fields)} columns, and the header {columns.length}.")
    number, time = fields[columns.number], fields[columns.time]
    if not (number.isascii() and number.isdecimal() and int(number) <= _NUMBER_MAX):
        raise TableError(f"Line {line} has the {NUMBER} {number[:40]!r}, which is no number of a row.")
    return Row(int(number), _time(time, line=line) if time else None, fields[columns.event].encode(), line)


def _time(text: str, *, line: int) -> int:
    """Return the time of PostgreSQL's `timestamptz` in its ISO style."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise TableError(f"Line {line} has the time {text[:40]!r}. Export it with an offset: SET datestyle TO ISO.")
    return microseconds(time.astimezone(UTC))


def _sort(rows: Iterator[Row]) -> sqlite3.Connection:
    """Return a database of the rows in a temporary file, which is deleted with the connection."""
    db = sqlite3.connect("")
    db.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, time INTEGER, text BLOB, line INTEGER)")
    for row in rows:
        try:
            db.execute("INSERT INTO row VALUES (?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise TableError(f"Line {row.line} has the {NUMBER} {row.number} of an earlier line.") from None
    db.commit()
    return db


def _read_in_order(db: sqlite3.Connection) -> Generator[Row, None, None]:
    return (Row(*fields) for fields in db.execute("SELECT number, time, text, line FROM row ORDER BY number"))
