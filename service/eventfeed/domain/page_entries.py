"""The entries of a page as their readers need them: objects from memory, or columns from a store.

Neither parses the JSON of an event. Columns have no object an event.
"""

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
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


# Position, time and write id.
ProofMembers = tuple[int, int, str]

_numbers, _strings = msgspec.json.Decoder(list[int]), msgspec.json.Decoder(list[str])

sequence_of: Callable[[PageEntry], int] = attrgetter("sequence")


class EntryList(list[PageEntry]):
    """Entries of a page as objects."""

    __slots__ = ()

    def json_parts(self) -> Sequence[bytes]:
        """Return the events as a JSON array, in parts that are not joined: at least one event."""
        return [join_array(self.json_events())]

    def json_events(self) -> Iterable[bytes]:
        """Return the JSON of each event."""
        return (entry.json for entry in self)

    def proof_members(self) -> Iterable[ProofMembers]:
        """Return the position, time and write id of each entry, which the proof of its cursor covers."""
        return ((entry.sequence, entry.time, entry.write_id) for entry in self)

    @property
    def json_bytes(self) -> int:
        """Bytes of the events as a JSON array, with a comma after each."""
        return len(b"[]") + sum(entry.json_length + len(b",") for entry in self)

    def count_fitting(self, bytes_max: int) -> int:
        """Return how many of the first entries have no more `json_bytes` than this."""
        return count_fitting([entry.json_length for entry in self], bytes_max=bytes_max)


class ColumnPart(msgspec.Struct, frozen=True, dict=True, eq=False):
    """Consecutive entries as columns in JSON, which are parsed when they are needed.

    `length_column` has the bytes of each event as stored, and `text` their JSON, with commas between.
    """

    sequence_column: str
    time_column: str
    write_id_column: str
    length_column: str
    text: bytes

    @functools.cached_property
    def sequences(self) -> Sequence[int]:
        """The position of each entry."""
        return _numbers.decode(self.sequence_column)

    @functools.cached_property
    def times(self) -> Sequence[int]:
        """The registration of each entry."""
        return _numbers.decode(self.time_column)

    @functools.cached_property
    def write_ids(self) -> Sequence[str]:
        """The attempt that wrote each entry."""
        return _strings.decode(self.write_id_column)

    @functools.cached_property
    def json_lengths(self) -> Sequence[int]:
        """The bytes of the JSON of each entry."""
        return json_lengths(self.length_column)

    @functools.cached_property
    def ends(self) -> Sequence[int]:
        """The end of each entry in the text."""
        return [end - len(b",") for end in accumulate(length + len(b",") for length in self.json_lengths)]

    def json_events(self) -> Sequence[bytes]:
        """Return the JSON of each entry."""
        text = self.text
        return [text[end - length : end] for end, length in zip(self.ends, self.json_lengths, strict=True)]

    def entries(self) -> Iterator[PageEntry]:
        """Yield the entries."""
        return (_ColumnEntry(self, index) for index in range(len(self.sequences)))


class EntryColumns(msgspec.Struct, frozen=True, dict=True, eq=False):
    """Entries of a page as columns, without an object each. No part is empty."""

    parts: Sequence[ColumnPart]

    def json_parts(self) -> Sequence[bytes]:
        """See `EntryList`."""
        first, *rest = (part.text for part in self.parts)
        return [b"[%b" % first, *(b",%b" % text for text in rest), b"]"]

    def json_events(self) -> Iterable[bytes]:
        """See `EntryList`."""
        return chain.from_iterable(part.json_events() for part in self.parts)

    def proof_members(self) -> Iterable[ProofMembers]:
        """See `EntryList`."""
        return chain.from_iterable(zip(part.sequences, part.times, part.write_ids, strict=True) for part in self.parts)

    @property
    def json_bytes(self) -> int:
        """See `EntryList`."""
        return len(b"[]") + sum(len(part.text) + len(b",") for part in self.parts)

    def count_fitting(self, bytes_max: int) -> int:
        """See `EntryList`."""
        if self.json_bytes <= bytes_max:
            return len(self)
        return count_fitting(chain.from_iterable(part.json_lengths for part in self.parts), bytes_max=bytes_max)

    @functools.cached_property
    def _count(self) -> int:
        return sum(len(part.sequences) for part in self.parts)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PageEntry]:
        return chain.from_iterable(part.entries() for part in self.parts)

    def __getitem__(self, index: int) -> PageEntry:
        if index == -1 and self.parts:
            return _ColumnEntry(self.parts[-1], -1)
        return next(islice(self, range(len(self))[index], None))


PageEntries = EntryList | EntryColumns


def whole_entries(entries: PageEntries) -> Sequence[Entry]:
    """Return the entries of a page of a feed that `needs_events`: they are whole."""
    return cast("Sequence[Entry]", entries)


def bytes_after(entries: PageEntries, bytes_max: int) -> int:
    """Return the bytes of a JSON array that may follow these entries, if both together may have `bytes_max`."""
    return bytes_max - entries.json_bytes + len(b"[]")


class _ColumnEntry(msgspec.Struct, frozen=True, eq=False):
    """See `PageEntry`."""

    part: ColumnPart
    index: int

    @property
    def sequence(self) -> int:
        return self.part.sequences[self.index]

    @property
    def time(self) -> int:
        return self.part.times[self.index]

    @property
    def write_id(self) -> str:
        return self.part.write_ids[self.index]

    @property
    def traceparent(self) -> str:
        return traceparent_of(self.json)

    @property
    def json(self) -> bytes:
        end = self.part.ends[self.index]
        return self.part.text[end - self.json_length : end]

    @property
    def json_length(self) -> int:
        return self.part.json_lengths[self.index]


def json_lengths(column: str) -> Sequence[int]:
    """Return the bytes of the JSON of each entry, from a column in JSON with those as stored."""
    return [length + SEQUENCE_BYTES for length in _numbers.decode(column)]


def join_array(events: Iterable[bytes]) -> bytes:
    """Return a JSON array of events in JSON, at least one. Brackets on the outer ones save a copy of the whole."""
    first, *rest = events
    events = [b"[" + first, *rest]
    events[-1] += b"]"
    return b",".join(events)


def count_fitting(lengths: Iterable[int], *, bytes_max: int) -> int:
    """Return how many of the first events of these lengths fit into a JSON array, with a comma after each."""
    return bisect_right(list(accumulate(length + len(b",") for length in lengths)), bytes_max - len(b"[]"))
