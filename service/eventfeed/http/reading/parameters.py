"""Reading a feed's parameters off the wire (contract sections 5 and 9): every fault at once, each with its name."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote_plus

import msgspec
from litestar.exceptions import HTTPException

from eventfeed.domain.cursor import Bare, Cursor, EventId, parse_after
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.feed import PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX, TYPES_MAX, Filter
from eventfeed.domain.moment import parse_moment
from eventfeed.http.body import BODY_BYTES_MAX, body_of
from eventfeed.http.request import AnyRequest, header

# Far more than any feed has; a longer query is noise.
FIELDS_MAX = 200
# So many queries of so many bytes are remembered, some 4 MiB.
REPEATED_MAX, REPEATED_BYTES_MAX = 4_096, 400

_DIGITS = re.compile(r"[0-9]{1,100}", re.ASCII)
_ALIASES = {"type": "eventType"}
_TIMES = frozenset({"from", "to"})
# What a page's `next` link holds of a feed that is asked for with a body.
_OF_LINK = frozenset({"after", "size"})
_NO_TYPES = frozenset[str]()

T = TypeVar("T")


class Expected(NamedTuple):
    """What a feed takes: the names of its parameters, those it cannot do without, and whether it needs a start."""

    names: frozenset[str]
    required: frozenset[str] = frozenset()
    start: bool = True


EVERY = Expected(frozenset({"after", "from", "to", "eventType", "source", "party", "unit", "person", "size"}))
OF_TYPES = EVERY._replace(required=frozenset({"eventType"}))
OF_RESOURCE = EVERY._replace(names=EVERY.names | {"resource"}, required=frozenset({"resource"}))
# Nobody knows who asks: a filter by person or organisation would tell who stands behind an instance.
ANONYMOUS = Expected(EVERY.names - {"party", "unit", "person"}, start=False)


class Parameters(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a reader asks of a feed. `rest` is what the next link's query holds after `after`, percent-encoded."""

    rest: str
    after: Cursor | Bare | EventId | None
    since: int | None
    until: int | None
    types: frozenset[str]
    source: str | None
    party: str | None
    unit: str | None
    person: str | None
    resource: str | None
    size: int

    @functools.cached_property
    def filter(self) -> Filter | None:
        """What they want of a feed; None when a party, an organisation or a person is to be found first."""
        if not (self.party is self.unit is self.person is None):
            return None
        return Filter(types=self.types, source=self.source)

    @functools.cached_property
    def told(self) -> bytes:
        """All of them in one text, by which two questions are told apart."""
        return msgspec.json.encode(self, order="sorted")

    def query_after(self, cursor: str) -> str:
        """The percent-encoded query that goes on from `cursor`, which needs no encoding."""
        return f"after={cursor}{self.rest}"


class _Reading:
    """One reading of the fields: faults gather until all have been looked at."""

    def __init__(self, fields: Iterable[tuple[str, str]], expected: Expected, *, body: frozenset[str]) -> None:
        self.faults: list[Fault] = []
        self._body = body
        self._values: dict[str, list[str]] = {}
        # As the caller called it.
        self._called: dict[str, str] = {}
        for name, value in fields:
            known = _ALIASES.get(name, name)
            self._called[known] = name
            self._values.setdefault(known, []).append(value)
        given = self._values.keys()
        if not given <= expected.names:
            for name in sorted(given - expected.names):
                self.fault(name, "is no parameter of this feed")
                del self._values[name]
        if not expected.required <= given:
            for name in sorted(expected.required - given):
                self.fault(name, "is required")
        if expected.start and "from" not in given and "after" not in given:
            self.fault("from", "give from or after: a time, or a cursor (0 is the beginning)")

    def fault(self, name: str, detail: str) -> None:
        """Something is wrong with a parameter: named where it stands. What looks like no name is not repeated."""
        called = self._called.get(name, name)
        if called in self._body:
            self.faults.append(Fault(pointer=f"/{called}" if called.isidentifier() else "", detail=detail))
        else:
            self.faults.append(Fault(parameter=name if name.isidentifier() else None, detail=detail))

    def one(self, name: str, convert: Callable[[str], T]) -> T | None:
        """The value of a parameter that stands at most once; None when it is absent or wrong."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            self.fault(name, "is given more than once")
            return None
        try:
            return convert(values[0])
        except ValueError as reason:
            self.fault(name, str(reason))
            return None

    def types(self) -> frozenset[str]:
        """The event types asked for, however often the parameter stands."""
        types = frozenset(self._values["eventType"]) if "eventType" in self._values else _NO_TYPES
        if "" in types:
            self.fault("eventType", "must not be empty")
        if len(types) > TYPES_MAX:
            self.fault("eventType", f"is given more than {TYPES_MAX} times")
        return types

    def found(self, kept: Sequence[tuple[str, str]], *, sized: bool) -> Parameters:
        """The parameters; the next link holds what is `kept`, and the size when it is `sized`.

        Raises `InvalidRequest` that names every fault.
        """
        size = self.one("size", _size) or PAGE_EVENTS_DEFAULT
        rest = "".join([f"&{name}={quote_plus(value)}" for name, value in kept])
        found = Parameters(
            rest=f"{rest}&size={size}" if sized else rest,
            after=self.one("after", parse_after),
            since=self.one("from", _moment),
            until=self.one("to", _moment),
            types=self.types(),
            source=self.one("source", _text),
            party=self.one("party", _PARTY),
            unit=self.one("unit", _UNIT),
            person=self.one("person", _PERSON),
            resource=self.one("resource", _text),
            size=size,
        )
        if found.since is not None and found.until is not None and found.since > found.until:
            self.fault("to", "is before from")
        if self.faults:
            raise InvalidRequest(f"Faults found: {len(self.faults)}.", faults=self.faults)
        return found


def sent_parameters(request: AnyRequest, *, expected: Expected = EVERY) -> Parameters:
    """The parameters of a GET. Raises `InvalidRequest` that names every fault."""
    query: bytes = request.scope["query_string"]
    person, last = header(request, b"person"), header(request, b"last-event-id")
    if person is None and last is None and len(query) <= REPEATED_BYTES_MAX:
        return _repeated(query, expected)
    return parameters_of(query, person=person, last=last, expected=expected)


@functools.lru_cache(maxsize=REPEATED_MAX)
def _repeated(query: bytes, expected: Expected) -> Parameters:
    """The parameters of a query: who has caught up asks with the same one until something comes."""
    return parameters_of(query, person=None, expected=expected)


async def posted_parameters(request: AnyRequest, *, expected: Expected = EVERY) -> Parameters:
    """The parameters of a POST. Raises `InvalidRequest` that names every fault, `TooLarge`, 415 for no JSON."""
    body = await body_of(request, bytes_max=BODY_BYTES_MAX)
    if body and request.content_type[0].lower() not in ("", "application/json"):
        raise HTTPException(status_code=415)
    last = header(request, b"last-event-id")
    return parameters_of_body(body, request.scope["query_string"], last=last, expected=expected)


def parameters_of(
    query: bytes, *, person: str | None, last: str | None = None, expected: Expected = EVERY
) -> Parameters:
    """The parameters of a GET. Raises `InvalidRequest` that names every fault.

    `person` comes in a header, and so does the last id of a stream, which beats `after`.
    """
    fields = _resumed(_fields(query), last)
    reading = _Reading(fields if person is None else [*fields, ("person", person)], expected, body=frozenset())
    names = {name for name, _ in fields}
    if "person" in names:
        reading.fault("person", "belongs in the header of that name, never in a URL")
    kept = () if names <= _OF_LINK else [field for field in fields if field[0] not in _OF_LINK]
    return reading.found(kept, sized="size" in names)


def parameters_of_body(body: bytes, query: bytes, *, last: str | None = None, expected: Expected = EVERY) -> Parameters:
    """The parameters of a POST: a JSON object, or nothing; `after` and `size` of the query come before it.

    The last id of a stream, in a header, comes before both. Raises `InvalidRequest` that names every fault.
    """
    linked, faults = _fields(query), list[Fault]()
    for name in sorted({name for name, _ in linked} - _OF_LINK):
        detail = "belongs in the body" if name in expected.names else "is no parameter of this feed"
        faults.append(Fault(parameter=name if name.isidentifier() else None, detail=detail))
    linked = _resumed([field for field in linked if field[0] in _OF_LINK], last)
    given = [field for field in _members(body, faults) if field[0] not in {name for name, _ in linked}]
    reading = _Reading([*linked, *given], expected, body=frozenset(name for name, _ in given))
    reading.faults += faults
    return reading.found((), sized=True)


def _fields(query: bytes) -> Sequence[tuple[str, str]]:
    try:
        fields = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise InvalidRequest("The query cannot be read: too many fields, or not percent-encoded UTF-8.") from None
    # A `+` that was not escaped arrives as a space; no time holds a space.
    return [(name, value.replace(" ", "+") if name in _TIMES else value) for name, value in fields]


def _resumed(fields: Sequence[tuple[str, str]], last: str | None) -> Sequence[tuple[str, str]]:
    """The fields of a stream that goes on after its last id (`Last-Event-ID`)."""
    return [("after", last), *(field for field in fields if field[0] != "after")] if last else fields


def _members(body: bytes, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    """The members of a JSON object as fields: text and whole numbers, of types also several; null is absent."""
    try:
        members = msgspec.json.decode(body or b"{}", type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        faults.append(Fault(pointer="", detail="must be a JSON object of parameters"))
        return
    for name, value in members.items():
        values = value if isinstance(value, list) and _ALIASES.get(name, name) == "eventType" else [value]
        for each in values:
            match each:
                case None:
                    pass
                case str():
                    yield name, each
                case int() if not isinstance(each, bool):
                    yield name, str(each)
                case _:
                    pointer = f"/{name}" if name.isidentifier() else ""
                    faults.append(Fault(pointer=pointer, detail="must be text or a whole number"))


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


def _matching(form: str, otherwise: str) -> Callable[[str], str]:
    pattern = re.compile(form, re.ASCII)

    def convert(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return convert


# A person's number in the place of a party's would travel in links.
_PARTY = _matching(r"(?![0-9]{11}$)[0-9]{1,18}", "must be a party id in digits, and not a person number")
_UNIT = _matching(r"[0-9]{9}", "must be an organisation number of 9 digits")
_PERSON = _matching(r"[0-9]{11}", "must be a person number of 11 digits")
