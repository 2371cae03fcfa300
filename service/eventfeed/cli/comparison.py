"""The differences of two feeds, whatever the distance of their events, in bounded memory.

The events of both lie in a temporary file, which the operating system removes with the process. Memory is 32 bytes an
event, for the order, and the cache of the file.
"""

import hashlib
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from eventfeed.domain.app_source import parse_app_source
from eventfeed.domain.moment import parse_moment

# Most of the index of identities of a million events.
CACHE_KIB = 32 * 1024
Side = Literal["old", "new"]
Kind = Literal["missing", "extra", "doubled", "different", "reordered"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "doubled", "different", "reordered")
# JSON is the type of data that names none (CloudEvents JSON format 1.0.2 §3.1).
_JSON_TYPES = frozenset({"application/json", "application/json; charset=utf-8"})
_TABLES = "CREATE TABLE {0} (position INTEGER PRIMARY KEY, key BLOB NOT NULL, time INTEGER, text BLOB NOT NULL)"
_KEYS = "CREATE TABLE {0}_key AS SELECT key, min(position) AS position, count(*) AS count FROM {0} GROUP BY key"
_ONE_SIDE = """
SELECT {0}.position, {0}.time, {0}.text FROM {0}_key JOIN {0} USING (position)
WHERE NOT EXISTS (SELECT 1 FROM {1}_key WHERE {1}_key.key = {0}_key.key) ORDER BY {0}.position
"""
_REPEATS = """
SELECT {0}.position, {0}.time, {0}.text FROM {0} JOIN {0}_key ON {0}_key.key = {0}.key
WHERE {0}.position > {0}_key.position ORDER BY {0}.position
"""
_PAIRS = """
SELECT old.position, new.position, old.text, new.text FROM old_key JOIN new_key ON new_key.key = old_key.key
JOIN old ON old.position = old_key.position JOIN new ON new.position = new_key.position ORDER BY old.position
"""


class Difference(NamedTuple):
    """A difference: its kind, the event, and a text with its places."""

    kind: Kind
    source: str
    id: str
    places: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.source} {self.id} ({self.places})"


class _Names(msgspec.Struct):
    """The identity of an event, and its time."""

    source: str = ""
    id: str = ""
    time: str | None = None


class Comparison:
    """Collects the events of two feeds, then yields their differences.

    Unmatched events with a time outside of `since` and `until` (µs) do not count. `registration` returns the time at
    which the new system registered the event at a position.
    """

    def __init__(self, *, since: int | None, until: int | None, registration: Callable[[int], str]) -> None:
        self._db = sqlite3.connect("")
        # The file is not kept, so nothing is undone in it.
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._since, self._until, self._registration = since, until, registration
        self.counts: dict[Side, int] = {"old": 0, "new": 0}
        for side in self.counts:
            self._db.execute(_TABLES.format(side))

    def add(self, side: Side, texts: Sequence[bytes]) -> None:
        """Add the next events of a feed."""
        rows = [(_key(names), _moment(names.time), text) for text in texts for names in [_names(text)]]
        self._db.executemany(f"INSERT INTO {side} (key, time, text) VALUES (?, ?, ?)", rows)  # noqa: S608  # a constant
        self.counts[side] += len(rows)

    def differences(self) -> Iterator[Difference]:
        """Yield the differences, kind by kind, each in the order of its feed."""
        for side in self.counts:
            self._db.execute(f"CREATE INDEX {side}_index ON {side} (key)")
            self._db.execute(_KEYS.format(side))
            self._db.execute(f"CREATE UNIQUE INDEX {side}_key_index ON {side}_key (key)")
        yield from self._unmatched("missing", _ONE_SIDE.format("old", "new"), side="old")
        yield from self._unmatched("extra", _ONE_SIDE.format("new", "old"), side="new")
        for side in self.counts:
            yield from self._unmatched("doubled", _REPEATS.format(side), side=side)
        yield from self._pairs()

    def _unmatched(self, kind: Kind, sql: str, *, side: Side) -> Iterator[Difference]:
        for position, time, text in self._db.execute(sql):
            if time is not None and not ((self._since or 0) <= time <= (self._until or time)):
                continue
            names = _names(text)
            yield Difference(kind, names.source, names.id, f"{side} {position}")

    def _pairs(self) -> Iterator[Difference]:
        positions = array("q")
        for old, new, old_text, new_text in self._db.execute(_PAIRS):
            positions.append(new)
            if members := self._different_members(old_text, new_text):
                names = _names(old_text)
                places = f"old {old}, new {new}: {', '.join(members)}"
                yield Difference("different", names.source, names.id, places)
        for new in sorted(out_of_order(positions)):
            (text,) = self._db.execute("SELECT text FROM new WHERE position = ?", (new,)).fetchone()
            names = _names(text)
            (old,) = self._db.execute("SELECT position FROM old_key WHERE key = ?", (_key(names),)).fetchone()
            yield Difference("reordered", names.source, names.id, f"old {old}, new {new}")

    def _different_members(self, old_text: bytes, new_text: bytes) -> Sequence[str]:
        """Return the names of the members that differ, but for those that this service adds (contract section 3)."""
        old, new = _members(old_text), _members(new_text)
        names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
        return [name for name in names if not self._is_addition(name, old=old, new=new)]

    def _is_addition(self, name: str, *, old: Mapping[str, object], new: Mapping[str, object]) -> bool:
        """True if the new system may have another value: some members are filled in, and `sequence` is its own."""
        if name == "sequence" or (name == "time" and name not in old):
            return True
        if name == "time":
            return self._is_same_time(old[name], new.get(name), sequence=str(new.get("sequence")))
        source = parse_app_source(str(new.get("source")))
        return name not in old and source is not None and new[name] == getattr(source, name, None)

    def _is_same_time(self, old: object, new: object, *, sequence: str) -> bool:
        """True if two times are equal, or the new one is the registration, since the old one is later."""
        old_time, new_time = _moment(old), _moment(new)
        if old_time is None or new_time is None or old_time < new_time:
            return False
        if old_time == new_time:
            return True
        return sequence.isdecimal() and _moment(self._registration(int(sequence))) == new_time


def out_of_order(positions: "array[int]") -> Iterator[int]:
    """Yield the fewest positions without which the others increase: all but a longest increasing subsequence."""
    tails, tail_indexes, previous = array("q"), array("q"), array("q")
    for index, position in enumerate(positions):
        length = len(tails) if not tails or position > tails[-1] else bisect_left(tails, position)
        previous.append(tail_indexes[length - 1] if length else -1)
        if length == len(tails):
            tails.append(position)
            tail_indexes.append(index)
        else:
            tails[length], tail_indexes[length] = position, index
    kept = tail_indexes[-1] if tail_indexes else -1
    for index in reversed(range(len(positions))):
        if index == kept:
            kept = previous[index]
        else:
            yield positions[index]


def _names(text: bytes) -> _Names:
    try:
        return msgspec.json.decode(text, type=_Names)
    except (ValueError, RecursionError):
        return _Names()


def _key(names: _Names) -> bytes:
    text = f"{len(names.source)}:{names.source}{names.id}"
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _moment(time: object) -> int | None:
    return parse_moment(time) if isinstance(time, str) else None


def _members(text: bytes) -> dict[str, object]:
    """Return the members of an event that count: without those that are null, and without the usual type of data."""
    members = msgspec.json.decode(text, type=dict[str, object])
    members = {name: value for name, value in members.items() if value is not None}
    if str(members.get("datacontenttype", "")).lower() in _JSON_TYPES:
        del members["datacontenttype"]
    return members
