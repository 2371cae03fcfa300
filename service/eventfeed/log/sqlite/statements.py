"""One statement for many events.

The interpreter's lock is given up for every statement and for every row of its answer, and then waited for behind the
event loop. Statements have few forms, so that each is compiled once.
"""

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any


def insert(db: sqlite3.Connection, into: str, *, rows: Sequence[Sequence[object]]) -> None:
    """Insert rows of equal length `into` a table and columns, in order."""
    start = 0
    for count in _powers_of_two(len(rows)):
        some = rows[start : start + count]
        each = f"({_times('?', len(some[0]))})"
        db.execute(f"INSERT INTO {into} VALUES {_times(each, count)}", list(chain.from_iterable(some)))  # noqa: S608  # constants
        start += count


def select(db: sqlite3.Connection, sql: str, *, values: Sequence[object], each: str) -> Sequence[Any]:
    """All rows for these values, which stand in the place of `{}`, each as `each`; NULL finds nothing."""
    if not values:
        return ()
    count = 1 << (len(values) - 1).bit_length()
    return db.execute(sql.format(_times(each, count)), [*values, *[None] * (count - len(values))]).fetchall()


@functools.lru_cache(maxsize=256)
def _times(each: str, count: int) -> str:
    return ", ".join([each] * count)


def _powers_of_two(number: int) -> Iterator[int]:
    """What adds up to the number, the largest first."""
    for bit in reversed(range(number.bit_length())):
        if number & 1 << bit:
            yield 1 << bit
