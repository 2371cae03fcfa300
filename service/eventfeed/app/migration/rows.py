"""Rows of the replaced platform's table of events, in the order of their numbers.

Its table is `events.events`, with `sequenceno`, `cloudevent` and `registeredtime` (Altinn/altinn-events,
src/Events/Migration/v0.21/01-setup-table.sql). Its predecessor `events.events_app` has no time of registration, but
`time` (v0.00/01-setup-tables.sql). The platform reads both in the order of `sequenceno`.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Protocol

NUMBER, EVENT = "sequenceno", "cloudevent"
# Before the first number of a row, which is 0 or more.
START = -1
TableName = Literal["events", "events_app"]
# The column with the time of registration, by table.
TIMES: dict[TableName, str] = {"events": "registeredtime", "events_app": "time"}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TableError(Exception):
    """A table that cannot be read. The message names the line or the row, and the fix."""


class Row(NamedTuple):
    """An event as JSON, its number, the time of its registration (µs since 1970), and its line in a CSV file."""

    number: int
    time: int | None
    text: bytes
    line: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}, "
        return f"{line}{NUMBER} {self.number}"


class Table(Protocol):
    """A table of events. Raises `TableError`."""

    name: TableName

    async def count(self, *, after: int) -> int:
        """Return the number of rows with a number over `after`."""
        ...

    def rows(self, *, after: int, limit: int) -> AsyncGenerator[Sequence[Row], None]:
        """Yield the rows with a number over `after`, in order, at most `limit` at once."""
        ...


def table_of(columns: Sequence[str]) -> TableName | None:
    """Return the table with these columns, None for any other one."""
    if not {NUMBER, EVENT} <= set(columns):
        return None
    return next((name for name, time in TIMES.items() if time in columns), None)


def microseconds(time: datetime) -> int:
    """Return a time as µs since 1970."""
    return (time - _EPOCH) // _MICROSECOND
