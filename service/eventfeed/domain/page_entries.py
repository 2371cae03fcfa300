"""The entries of a page as their readers need them: objects from memory, or columns from a store.

Neither parses the JSON of an event. Columns have no object an event.
"""

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Protocol, cast

import msgspec

from eventfeed.domain.event import SEQUENCE_BYTES, Entry, traceparent_of


class PageEntry(Protocol):
    """The part of an entry that a page needs. See `Entry`."""

    @property
    def sequence(self) -> int:
        """The position."""

    @property
    def time(self) -> int:
        """The registration (µs since 1970)."""

    @property
    def write_id(self) -> str:
        """The attempt that wrote it."""

    @property
    def traceparent(self) -> str:
        """The trace of its publisher, "" without one."""

    @property
    def json(self) -> bytes:
        """The event as published, with its `sequence` (20 digits) added."""

    @property
    def json_length(self) -> int:
        """Bytes of `json`, without building it."""


sequence_of: Callable[[PageEntry], int] = attrgetter("sequence")


class EntryList(list[PageEntry]):
    """Entries of a page as objects."""

    __slots__ = ()

    def json_array(self) -> bytes:
        """Return the events as a JSON array."""
        return join_array(entry.json for entry in self)

    @property
    def json_bytes(self) -> int:
        """Bytes of the events as a JSON array, with a comma after each."""
        return len(b"[]") + sum(entry.json_length + len(b",") for entry in self)

    def count_fitting(self, bytes_max: int) -> int:
        """Return how many of the first entries have no more `json_bytes` than this."""
        return count_fitting([entry.json_length for entry in self], bytes_max=bytes_max)


class EntryColumns(msgspec.Struct, frozen=True, kw_only=True, dict=True, eq=False):
    """Entries of a page as columns, without an object each.

    `lengths` are the bytes of each event as stored. `texts` are the JSON of consecutive events, with commas between.
    """

    sequences: Sequence[int]
    times: Sequence[int]
    write_ids: Sequence[str]
    lengths: Sequence[int]
    texts: Sequence[bytes]

    def json_array(self) -> bytes:
        """See `EntryList`."""
        return b"[%b]" % b",".join(self.texts)

    @property
    def json_bytes(self) -> int:
        """See `EntryList`."""
        return len(b"[]") + sum(map(len, self.texts)) + len(b",") * len(self.texts)

    def count_fitting(self, bytes_max: int) -> int:
        """See `EntryList`."""
        if self.json_bytes <= bytes_max:
            return len(self)
        return count_fitting(self.lengths, bytes_max=bytes_max, added=SEQUENCE_BYTES)

    @functools.cached_property
    def array(self) -> bytes:
        """The JSON array, from which that of each event is cut."""
        return self.json_array()

    @functools.cached_property
    def ends(self) -> Sequence[int]:
        """The end of each event in the array."""
        return list(accumulate(length + SEQUENCE_BYTES + len(b",") for length in self.lengths))

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[PageEntry]:
        return (_ColumnEntry(self, index) for index in range(len(self)))

    def __getitem__(self, index: int) -> PageEntry:
        return _ColumnEntry(self, range(len(self))[index])


PageEntries = EntryList | EntryColumns


def whole_entries(entries: PageEntries) -> Sequence[Entry]:
    """Return the entries of a page of a feed that `needs_events`: they are whole."""
    return cast("Sequence[Entry]", entries)


class _ColumnEntry(msgspec.Struct, frozen=True, eq=False):
    """See `PageEntry`."""

    columns: EntryColumns
    index: int

    @property
    def sequence(self) -> int:
        return self.columns.sequences[self.index]

    @property
    def time(self) -> int:
        return self.columns.times[self.index]

    @property
    def write_id(self) -> str:
        return self.columns.write_ids[self.index]

    @property
    def traceparent(self) -> str:
        return traceparent_of(self.json)

    @property
    def json(self) -> bytes:
        end = self.columns.ends[self.index]
        return self.columns.array[end - self.json_length : end]

    @property
    def json_length(self) -> int:
        return self.columns.lengths[self.index] + SEQUENCE_BYTES


def join_array(events: Iterable[bytes]) -> bytes:
    """Return a JSON array of events in JSON, at least one. Brackets on the outer ones save a copy of the whole."""
    first, *rest = events
    events = [b"[" + first, *rest]
    events[-1] += b"]"
    return b",".join(events)


def count_fitting(lengths: Iterable[int], *, bytes_max: int, added: int = 0) -> int:
    """Return how many of the first events of these lengths, and bytes added to each, fit into a JSON array.

    A comma follows each.
    """
    return bisect_right(list(accumulate(length + added + len(b",") for length in lengths)), bytes_max - len(b"[]"))
