"""The entries of a page: columns and objects give the same page."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.cursor import cursor_at
from eventfeed.domain.event import Entry
from eventfeed.domain.page_entries import ColumnPart, EntryColumns, EntryList, join_array, sequence_of
from tests.support.events import entry, event, page_rows

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def columns_of(entries: list[Entry], *, part: int) -> EntryColumns:
    """The columns of these entries, with so many of them in a part."""
    return EntryColumns([part_of(entries[start : start + part]) for start in range(0, len(entries), part)])


def part_of(entries: list[Entry]) -> ColumnPart:
    """The columns of these entries as a store returns them."""
    return ColumnPart(
        sequence_column=json.dumps([each.sequence for each in entries]),
        time_column=json.dumps([each.time for each in entries]),
        write_id_column=json.dumps([each.write_id for each in entries]),
        length_column=json.dumps([len(each.event.body) for each in entries]),
        text=b",".join(each.json for each in entries),
    )


def entry_with(sequence: int, data: str) -> Entry:
    """An entry with this data."""
    body = msgspec.json.encode({"id": "x", "data": data, "traceparent": TRACEPARENT} if data else {"id": "x"})
    event_with_data = msgspec.structs.replace(event(), body=body)
    return entry(sequence, of=event_with_data, write_id=f'{data[:3]},"')


ENTRIES = st.lists(st.tuples(st.integers(1, 2**63), st.text(max_size=40)), min_size=1, max_size=12).map(
    lambda each: [entry_with(*one) for one in each]
)


@given(entries=ENTRIES, part=st.integers(1, 12), bytes_max=st.integers(0, 1_500))
def test_columns_equal_the_list_of_their_entries(entries: list[Entry], part: int, bytes_max: int) -> None:
    """The JSON, the bytes, the cursors and the traces are the same, in any number of texts."""
    columns, objects = columns_of(entries, part=part), EntryList(entries)

    assert join_array(each.json for each in entries) == b"".join(columns.json_parts()) == b"".join(objects.json_parts())
    assert objects.json_bytes == columns.json_bytes
    assert objects.count_fitting(bytes_max) == columns.count_fitting(bytes_max)
    assert page_rows(entries) == page_rows(columns)
    assert page_rows([entries[0], *entries[-1:]]) == page_rows([columns[0], columns[-1]])
    assert [each.traceparent for each in entries] == [each.traceparent for each in columns]
    assert [cursor_at(each, log="a" * 12) for each in entries] == [cursor_at(each, log="a" * 12) for each in columns]


@given(entries=ENTRIES, bytes_max=st.integers(0, 1_500))
def test_as_many_entries_fit_as_their_array_has_bytes(entries: list[Entry], bytes_max: int) -> None:
    """A page counts a comma after each event, the last one too."""
    sizes = [len(join_array(each.json for each in entries[:count])) + 1 for count in range(1, len(entries) + 1)]

    assert sum(size <= bytes_max for size in sizes) == EntryList(entries).count_fitting(bytes_max)
    assert sizes[-1] == EntryList(entries).json_bytes


def test_index_after_the_last_column_is_an_error() -> None:
    """Columns are a sequence like any other."""
    with pytest.raises(IndexError):
        columns_of([entry(1)], part=1)[1]


def test_columns_without_entries_are_empty() -> None:
    """A page without events is false, and as long as an empty array."""
    columns = columns_of([], part=1)

    assert (False, 2, 0) == (bool(columns), columns.json_bytes, columns.count_fitting(9))


def test_entries_are_sorted_by_their_sequence() -> None:
    """Their position is the key."""
    assert [1, 2, 3] == [each.sequence for each in sorted([entry(3), entry(1), entry(2)], key=sequence_of)]
