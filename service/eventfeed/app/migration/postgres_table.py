"""A table in PostgreSQL, read through a cursor of the server in one read-only transaction."""

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from datetime import datetime

import asyncpg  # type: ignore[import-untyped]  # it has no types

from eventfeed.app.migration.rows import EVENT, NUMBER, TIMES, Row, TableError, TableName, microseconds, table_of

CONNECT_SECONDS_MAX = 30.0
_NAME = re.compile(r"(?P<schema>\w+)\.(?P<table>\w+)", re.ASCII)
_COLUMNS = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"


class PostgresTable:
    """The rows of a table, while the block of `connect` lasts. A consistent snapshot for each reading."""

    def __init__(self, connection: "asyncpg.Connection", *, name: TableName, table: str) -> None:
        self.name, self._connection, self._table = name, connection, table

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str, *, table: str) -> "AsyncIterator[PostgresTable]":
        """Connect to the server of a URL, `table` is its `schema.name`. Raises `TableError`, never with the URL."""
        match = _NAME.fullmatch(table)
        if match is None:
            raise TableError(f"{table} is no table: write SCHEMA.NAME, such as events.events.")
        with _table_errors():
            connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS_MAX)
        try:
            with _table_errors():
                columns = [row[0] for row in await connection.fetch(_COLUMNS, match["schema"], match["table"])]
            name = table_of(columns)
            if name is None:
                raise TableError(
                    f"{table} must have the columns {NUMBER}, {EVENT}, and {TIMES['events']} or {TIMES['events_app']}."
                )
            yield cls(connection, name=name, table=f'"{match["schema"]}"."{match["table"]}"')
        finally:
            await connection.close(timeout=CONNECT_SECONDS_MAX)

    async def count(self, *, after: int) -> int:
        """See `Table.count`. Raises `TableError` for a row that has no place after any other."""
        sql = f"SELECT count(*) FROM {self._table} WHERE {NUMBER} > $1"  # noqa: S608  # a checked name
        invalid = f"SELECT {NUMBER} FROM {self._table} WHERE {NUMBER} < 0 OR {NUMBER} IS NULL LIMIT 1"  # noqa: S608
        with _table_errors():
            if record := await self._connection.fetchrow(invalid):
                raise TableError(f"A row has the {NUMBER} {record[0]}, which is no number of a row.")
            return int(await self._connection.fetchval(sql, after))

    async def rows(self, *, after: int, limit: int) -> AsyncGenerator[Sequence[Row], None]:
        """See `Table.rows`."""
        sql = (
            f"SELECT {NUMBER}, {TIMES[self.name]}, {EVENT}::text FROM {self._table} "  # noqa: S608  # a checked name
            f"WHERE {NUMBER} > $1 ORDER BY {NUMBER}"
        )
        with _table_errors():
            async with self._connection.transaction(isolation="repeatable_read", readonly=True):
                cursor = await self._connection.cursor(sql, after)
                while records := await cursor.fetch(limit):
                    yield [_row(record) for record in records]


def _row(record: tuple[int, datetime | None, str]) -> Row:
    number, time, event = record
    return Row(number, None if time is None else microseconds(time), event.encode())


@contextlib.contextmanager
def _table_errors() -> Iterator[None]:
    """Turn failures of the driver and of the connection into `TableError`."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as failure:
        reason = str(failure) or type(failure).__name__
        raise TableError(f"The table cannot be read: {reason.rstrip('.')}.") from None
