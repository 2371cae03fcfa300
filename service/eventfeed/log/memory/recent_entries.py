"""The newest entries of a log, held in memory and found as the store's indexes would find them.

A reader near the end of the log costs the store nothing, and here no more than the entries that it is shown.
"""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice

from eventfeed.domain.event import Entry, sequence_of
from eventfeed.domain.feed import Query
from eventfeed.domain.ports import Scan
from eventfeed.log.memory.index_keys import event_keys, query_keys

ENTRIES_MAX = 10_000
# Of events as they are kept; what has been served is held in that form as well.
BYTES_MAX = 32 * 1024 * 1024
# Let go of at once when they are too many or too big: some 2 ms of work.
FORGOTTEN = 256
# What one scan looks at one by one: about 1 ms.
EXAMINED_MAX = 2_000


class _Run:
    """Entries that are looked up by one key, and beside them their places, which are quicker to find and to tell."""

    __slots__ = ("entries", "places")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.places = array("Q")


class RecentEntries:
    """The last entries of a log, one after another without a hole; bounded in count and bytes."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._bytes = 0
        self._by_key: dict[str, _Run] = {}

    def add(self, entry: Entry, keys: Sequence[str]) -> None:
        """Keep an entry that follows the last one; `keys` is what it is looked up by."""
        self._entries.append(entry)
        self._bytes += len(entry.event.body)
        for key in keys:
            run = self._by_key.get(key)
            if run is None:
                run = self._by_key[key] = _Run()
            run.entries.append(entry)
            run.places.append(entry.sequence)

    def trim(self) -> None:
        """Let go of the oldest while there are too many, or they are too big."""
        while len(self._entries) > ENTRIES_MAX or self._bytes > BYTES_MAX:
            oldest = self._entries[:FORGOTTEN]
            del self._entries[:FORGOTTEN]
            self._bytes -= sum(len(entry.event.body) for entry in oldest)
            counts = Counter(chain.from_iterable(event_keys(entry.event) for entry in oldest))
            for key, count in counts.items():
                kept = self._by_key[key]
                del kept.entries[:count], kept.places[:count]
                if not kept.entries:
                    del self._by_key[key]

    @property
    def start(self) -> int | None:
        """The position after which everything is here; None when nothing is."""
        return self._entries[0].sequence - 1 if self._entries else None

    def after(self, position: int) -> Sequence[Entry] | None:
        """All entries after this one; None when that is further back than memory reaches."""
        return self._entries[position + 1 - self._entries[0].sequence :] if self._reaches(position) else None

    def scan(self, query: Query, *, after: int, through: int, limit: int) -> Scan | None:
        """See `EventLog.scan`; None when `after` is further back than memory reaches."""
        if not self._reaches(after):
            return None
        keys, whole = query_keys(query)
        most = limit if whole else EXAMINED_MAX
        if len(keys) == 1:
            found, places = self._between(keys[0], after=after, through=through, most=most)
        else:
            each = (self._between(key, after=after, through=through, most=most)[0] for key in keys)
            found, places = sorted(chain.from_iterable(each), key=sequence_of)[:most], None
        if len(found) == most:
            through = found[-1].sequence
        if not whole:
            found, places = list(islice((entry for entry in found if query.matches(entry.event)), limit)), None
            if len(found) == limit:
                through = found[-1].sequence
        return Scan(entries=found, examined=through, log_start=after, places=places)

    def _reaches(self, position: int) -> bool:
        return bool(self._entries) and position + 1 >= self._entries[0].sequence

    def _between(self, key: str, *, after: int, through: int, most: int) -> tuple[list[Entry], bytes]:
        """The first so many entries with this key in (`after`, `through`], and their places."""
        run = self._by_key.get(key)
        if run is None:
            return [], b""
        start = bisect_right(run.places, after)
        stop = start + most
        if run.places[-1] > through:
            stop = min(stop, bisect_right(run.places, through))
        return run.entries[start:stop], run.places[start:stop].tobytes()
