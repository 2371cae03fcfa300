"""Reading a feed's parameters off the wire (contract sections 5 and 9): every fault at once, each with its name."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec

from eventfeed.domain.cursor import Bare, Cursor, EventId, parse_after
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.feed import PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX, TYPES_MAX
from eventfeed.domain.moment import parse_moment

# Far more than any feed has; a longer query is noise.
FIELDS_MAX = 200

_DIGITS = re.compile(r"[0-9]{1,100}", re.ASCII)
_PARTY = re.compile(r"[0-9]{1,18}", re.ASCII)
_UNIT = re.compile(r"[0-9]{9}", re.ASCII)
_PERSON = re.compile(r"[0-9]{11}", re.ASCII)
_ALIASES = {"type": "eventType"}
_TIMES = frozenset({"from", "to"})
_NAMES = frozenset({"after", "from", "to", "eventType", "source", "party", "unit", "person", "size"})

T = TypeVar("T")


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader asks of a feed. `fields` are the parameters as they came, but for `after`, for the next link."""

    fields: Sequence[tuple[str, str]]
    after: Cursor | Bare | EventId | None
    since: int | None
    until: int | None
    types: frozenset[str]
    source: str | None
    party: str | None
    unit: str | None
    person: str | None
    size: int

    def query_after(self, cursor: Cursor) -> str:
        """The percent-encoded query that goes on from `cursor`."""
        return urlencode([("after", str(cursor)), *self.fields])


class _Reading:
    """One reading of the fields: faults gather until all have been looked at."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self.faults: list[Fault] = []
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(_ALIASES.get(name, name), []).append(value)
        for name in self._values.keys() - _NAMES:
            self.faults.append(_misplaced(name))

    def one(self, name: str, convert: Callable[[str], T]) -> T | None:
        """The value of a parameter that stands at most once; None when it is absent or wrong."""
        values = self._values.get(name, ())
        if len(values) > 1:
            self.faults.append(Fault(parameter=name, detail="is given more than once"))
        elif values:
            try:
                return convert(values[0])
            except ValueError as reason:
                self.faults.append(Fault(parameter=name, detail=str(reason)))
        return None

    def types(self) -> frozenset[str]:
        """The event types asked for, however often the parameter stands."""
        types = frozenset(self._values.get("eventType", ()))
        if "" in types:
            self.faults.append(Fault(parameter="eventType", detail="must not be empty"))
        if len(types) > TYPES_MAX:
            self.faults.append(Fault(parameter="eventType", detail=f"is given more than {TYPES_MAX} times"))
        return types


def parameters_of(query: bytes, *, person: str | None) -> Parameters:
    """The parameters of a GET. Raises `InvalidRequest` that names every fault. `person` comes in a header."""
    try:
        fields = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise InvalidRequest("The query cannot be read: too many fields, or not percent-encoded UTF-8.") from None
    # A `+` that was not escaped arrives as a space; no time holds a space.
    fields = [(name, value.replace(" ", "+") if name in _TIMES else value) for name, value in fields]
    reading = _Reading(fields if person is None else [*fields, ("person", person)])
    found = Parameters(
        fields=[field for field in fields if field[0] != "after"],
        after=reading.one("after", parse_after),
        since=reading.one("from", _moment),
        until=reading.one("to", _moment),
        types=reading.types(),
        source=reading.one("source", _text),
        party=reading.one("party", _matching(_PARTY, "must be a party id in digits")),
        unit=reading.one("unit", _matching(_UNIT, "must be an organisation number of 9 digits")),
        person=reading.one("person", _matching(_PERSON, "must be a person number of 11 digits")),
        size=reading.one("size", _size) or PAGE_EVENTS_DEFAULT,
    )
    faults = [*reading.faults, *_contradictions(found, {name for name, _ in fields})]
    if faults:
        raise InvalidRequest(f"Faults found: {len(faults)}.", faults=faults)
    return found


def _contradictions(found: Parameters, names: AbstractSet[str]) -> Iterator[Fault]:
    """What is wrong between parameters that are right alone."""
    if names.isdisjoint({"from", "after"}):
        yield Fault(parameter="from", detail="give from or after: a time, or a cursor (0 is the beginning)")
    if "person" in names:
        yield Fault(parameter="person", detail="belongs in the header of that name, never in a URL")
    if found.since is not None and found.until is not None and found.since > found.until:
        yield Fault(parameter="to", detail="is before from")


def _misplaced(name: str) -> Fault:
    """A name that is no parameter; one that looks like no name is not repeated."""
    return Fault(parameter=name if name.isidentifier() else None, detail="is no parameter of this feed")


def _moment(text: str) -> int:
    moment = parse_moment(text)
    if moment is None:
        raise ValueError("must be a time with an offset, such as 2026-01-31T12:00:00Z (RFC 3339)")
    return moment


def _size(text: str) -> int:
    if not _DIGITS.fullmatch(text) or int(text) < 1:
        raise ValueError(f"must be a number from 1 to {PAGE_EVENTS_MAX}")
    return min(int(text), PAGE_EVENTS_MAX)


def _text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _matching(pattern: re.Pattern[str], otherwise: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return convert
