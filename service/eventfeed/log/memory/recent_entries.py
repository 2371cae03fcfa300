"""The newest entries of a log in memory, with indexes like the store's.

A reader near the end of the log costs the store nothing, and memory only the entries on its page.
"""

import functools
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, islice
from operator import attrgetter

from eventfeed.domain.conditions import APP_FIELDS, ATTRIBUTES, Condition, Field
from eventfeed.domain.event import Entry, Event
from eventfeed.domain.feed import FEEDS_MAX, Feed, plan_lookup
from eventfeed.domain.page_entries import EntryList, sequence_of
from eventfeed.domain.ports import Scan

ENTRIES_MAX = 10_000
# Of events as stored; an entry that was read also keeps its JSON.
BYTES_MAX = 32 * 1024 * 1024
# Evicted at once when there are too many: some 2 ms of work.
EVICTION_ENTRIES = 256
# Entries that one scan checks one by one: about 1 ms.
EXAMINED_MAX = 2_000

# By the fields of their keys, the narrowest first.
INDEXES: Sequence[tuple[Field, ...]] = (
    ("instance",),
    ("subject",),
    ("org", "app", "type"),
    ("org", "app"),
    ("resource",),
    ("type",),
)
# The fields of an index, and their value or values.
Key = tuple[tuple[Field, ...], str | tuple[str, ...]]

_VALUES: Sequence[tuple[tuple[Field, ...], Callable[[Event], str | tuple[str, ...] | None]]] = [
    (fields, attrgetter(*(ATTRIBUTES[field] for field in fields))) for fields in INDEXES
]
_VALUES_WITHOUT_APP = [(fields, get) for fields, get in _VALUES if APP_FIELDS.isdisjoint(fields)]


def event_keys(event: Event) -> Sequence[Key]:
    """Return the key of an event in each index that has its fields."""
    readers = _VALUES if event.app is not None else _VALUES_WITHOUT_APP
    return [(fields, values) for fields, get in readers if (values := get(event)) is not None]


@functools.lru_cache(maxsize=FEEDS_MAX)
def feed_keys(feed: Feed) -> tuple[Sequence[Key], Sequence[Condition]]:
    """Return keys of which each event of the feed has exactly one, and the conditions left to check.

    Without keys, the feed selects an event by its id: the store has an index for that.
    """
    if any(condition.field == "id" for condition in (*feed.conditions, *feed.filters)):
        return (), ()
    plan = plan_lookup(feed, INDEXES)
    return [(plan.fields, values if len(values) > 1 else values[0]) for values in plan.keys], plan.rest


class _Run:
    """Entries with one key, and their sequences, which are faster to search and to copy."""

    __slots__ = ("entries", "positions")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.positions = array("Q")


class RecentEntries:
    """The last entries of a log without a gap, bounded in count and bytes."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._bytes = 0
        self._runs: dict[Key, _Run] = {}

    def add(self, entry: Entry) -> Sequence[Key]:
        """Add the entry after the last one; return its keys."""
        self._entries.append(entry)
        self._bytes += len(entry.event.body)
        keys = event_keys(entry.event)
        for key in keys:
            run = self._runs.get(key)
            if run is None:
                run = self._runs[key] = _Run()
            run.entries.append(entry)
            run.positions.append(entry.sequence)
        return keys

    def trim(self) -> None:
        """Evict the oldest entries while there are too many entries or bytes."""
        while len(self._entries) > ENTRIES_MAX or self._bytes > BYTES_MAX:
            oldest = self._entries[:EVICTION_ENTRIES]
            del self._entries[:EVICTION_ENTRIES]
            self._bytes -= sum(len(entry.event.body) for entry in oldest)
            counts = Counter(chain.from_iterable(event_keys(entry.event) for entry in oldest))
            for key, count in counts.items():
                run = self._runs[key]
                del run.entries[:count], run.positions[:count]
                if not run.entries:
                    del self._runs[key]

    @property
    def start(self) -> int | None:
        """The position before the oldest entry in memory; None without entries."""
        return self._entries[0].sequence - 1 if self._entries else None

    def at(self, position: int) -> Entry | None:
        """Return the entry at this position; None if memory does not have it."""
        index = position - self._entries[0].sequence if self._entries else -1
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def after(self, position: int) -> Sequence[Entry] | None:
        """Return all entries after this position; None if memory does not reach back to it."""
        return self._entries[position + 1 - self._entries[0].sequence :] if self._reaches(position) else None

    def scan(self, feed: Feed, *, after: int, through: int, limit: int) -> Scan | None:
        """See `EventLog.scan`; None if memory does not reach back to `after`, or has no index for the feed."""
        if not self._reaches(after):
            return None
        keys, rest = feed_keys(feed)
        if not keys:
            return None
        most = EXAMINED_MAX if rest else limit
        if len(keys) > 1:  # most keys of a feed have no entries, and one key is faster
            keys = [key for key in keys if key in self._runs] or keys[:1]
        if len(keys) == 1:
            entries, positions = self._between(keys[0], after=after, through=through, most=most)
        else:
            runs = (self._between(key, after=after, through=through, most=most)[0] for key in keys)
            entries, positions = sorted(chain.from_iterable(runs), key=sequence_of)[:most], None
        if len(entries) == most:
            through = entries[-1].sequence
        if rest:
            matches = (entry for entry in entries if all(condition.holds(entry.event) for condition in rest))
            entries, positions = list(islice(matches, limit)), None
            if len(entries) == limit:
                through = entries[-1].sequence
        return Scan(entries=EntryList(entries), examined=through, log_start=after, positions=positions)

    def _reaches(self, position: int) -> bool:
        return bool(self._entries) and position + 1 >= self._entries[0].sequence

    def _between(self, key: Key, *, after: int, through: int, most: int) -> tuple[list[Entry], bytes | None]:
        """Return the first `most` entries with this key in (`after`, `through`], and their positions."""
        run = self._runs.get(key)
        if run is None:
            return [], b""
        start = bisect_right(run.positions, after)
        stop = start + most
        if run.positions[-1] > through:
            stop = min(stop, bisect_right(run.positions, through))
        return run.entries[start:stop], run.positions[start:stop].tobytes()
