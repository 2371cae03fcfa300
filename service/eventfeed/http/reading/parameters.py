"""Parameters of feeds (contract sections 5 and 9). All faults are reported together, each with its parameter."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote_plus

import msgspec
from litestar.exceptions import HTTPException

from eventfeed.domain.conditions import AnyOf, Condition, Prefix
from eventfeed.domain.cursor import After, parse_after
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.feed import PAGE_EVENTS_DEFAULT, TYPES_MAX, PageBounds
from eventfeed.http.reading.parameter_values import (
    convert_moment,
    convert_party,
    convert_person,
    convert_size,
    convert_text,
    convert_unit,
)
from eventfeed.http.request import BODY_BYTES_MAX, HttpRequest
from eventfeed.http.response import JSON

# Far more than any feed has.
FIELDS_MAX = 200
# Queries of so many bytes are cached, some 4 MiB.
CACHED_QUERIES_MAX, CACHED_QUERY_BYTES_MAX = 4_096, 400

_ALIASES = {"type": "eventType"}
_TIMES = frozenset({"from", "to"})
# Parameters in the `next` link of a feed that is read with a body.
_LINK_NAMES = frozenset({"after", "size"})

T = TypeVar("T")


class ParameterSet(NamedTuple):
    """The parameters of a feed: their names, the required ones, and whether `from` or `after` is required."""

    names: frozenset[str]
    mandatory: frozenset[str] = frozenset()
    needs_start: bool = True


ANY_FEED = ParameterSet(frozenset({"after", "from", "to", "eventType", "source", "party", "unit", "person", "size"}))
REPORTEE_FEED = ANY_FEED._replace(mandatory=frozenset({"eventType"}))
RESOURCE_FEED = ANY_FEED._replace(names=ANY_FEED.names | {"resource"}, mandatory=frozenset({"resource"}))
# The caller is anonymous: a filter by person or organisation would reveal who an instance is about.
INSTANCE_FEED = ParameterSet(ANY_FEED.names - {"party", "unit", "person"}, needs_start=False)


class Parameters(PageBounds, frozen=True, kw_only=True, dict=True):
    """The parameters of one request. `rest` follows `after` in the query of its next link, percent-encoded."""

    rest: str
    after: After | None
    types: frozenset[str]
    source: str | None
    party: str | None
    unit: str | None
    person: str | None
    resource: str | None

    @functools.cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions on type and source."""
        types = (AnyOf("type", self.types),) if self.types else ()
        return (*types, *(() if self.source is None else (Prefix("source", self.source),)))

    @functools.cached_property
    def json(self) -> bytes:
        """All parameters as one text, for the entity tag."""
        return msgspec.json.encode(self, order="sorted")

    def query_after(self, cursor: str) -> str:
        """Return the percent-encoded query that goes on from `cursor`, which needs no encoding."""
        return f"after={cursor}{self.rest}"


class _Fields:
    """The fields of a request, and the faults in them so far."""

    def __init__(self, fields: Iterable[tuple[str, str]], parameter_set: ParameterSet, *, body: frozenset[str]) -> None:
        self.faults: list[Fault] = []
        self._body = body
        self._values: dict[str, list[str]] = {}
        # The spelling of the caller.
        self._aliases: dict[str, str] = {}
        for name, value in fields:
            parameter = _ALIASES.get(name, name)
            self._aliases[parameter] = name
            self._values.setdefault(parameter, []).append(value)
        self._check_names(parameter_set)

    def _check_names(self, parameter_set: ParameterSet) -> None:
        names = set(self._values)
        for name in sorted(names - parameter_set.names):
            self.add_fault(name, "is no parameter of this feed")
            del self._values[name]
        for name in sorted(parameter_set.mandatory - names):
            self.add_fault(name, "is required")
        if parameter_set.needs_start and "from" not in names and "after" not in names:
            self.add_fault("from", "is required, or after: a time, or a cursor (0 is the beginning)")

    def add_fault(self, name: str, detail: str) -> None:
        """Add a fault of a parameter. A text that is no valid name is not repeated."""
        alias = self._aliases.get(name, name)
        if alias in self._body:
            self.faults.append(Fault(pointer=f"/{alias}" if alias.isidentifier() else "", detail=detail))
        else:
            self.faults.append(Fault(parameter=name if name.isidentifier() else None, detail=detail))

    def single(self, name: str, convert: Callable[[str], T]) -> T | None:
        """Return the value of a parameter that must not be repeated; None if it is absent or invalid."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            self.add_fault(name, "must not be repeated")
            return None
        try:
            return convert(values[0])
        except ValueError as reason:
            self.add_fault(name, str(reason))
            return None

    def types(self) -> frozenset[str]:
        """Return the event types, from each time the parameter is given."""
        types = frozenset(self._values.get("eventType", ()))
        if "" in types:
            self.add_fault("eventType", "must not be empty")
        if len(types) > TYPES_MAX:
            self.add_fault("eventType", f"must not occur more than {TYPES_MAX} times")
        return types

    def parameters(self, link_fields: Sequence[tuple[str, str]], *, link_size: bool) -> Parameters:
        """Return the parameters; the next link holds `link_fields`, and the size if `link_size` is true.

        Raises `InvalidRequest` with every fault.
        """
        size = self.single("size", convert_size) or PAGE_EVENTS_DEFAULT
        rest = "".join([f"&{name}={quote_plus(value)}" for name, value in link_fields])
        parameters = Parameters(
            rest=f"{rest}&size={size}" if link_size else rest,
            after=self.single("after", parse_after),
            since=self.single("from", convert_moment),
            until=self.single("to", convert_moment),
            types=self.types(),
            source=self.single("source", convert_text),
            party=self.single("party", convert_party),
            unit=self.single("unit", convert_unit),
            person=self.single("person", convert_person),
            resource=self.single("resource", convert_text),
            size=size,
        )
        if parameters.since is not None and parameters.until is not None and parameters.since > parameters.until:
            self.add_fault("to", "is before from")
        if self.faults:
            raise InvalidRequest(f"Faults found: {len(self.faults)}.", faults=self.faults)
        return parameters


def query_parameters(request: HttpRequest, *, parameter_set: ParameterSet = ANY_FEED) -> Parameters:
    """Return the parameters of a GET. Raises `InvalidRequest` with every fault."""
    query: bytes = request.scope["query_string"]
    headers = request.fields
    person, last_id = headers.get("person"), headers.get("last-event-id")
    if person is None and last_id is None and len(query) <= CACHED_QUERY_BYTES_MAX:
        return _parse_cached(query, parameter_set)
    return parse_query(query, person=person, last_id=last_id, parameter_set=parameter_set)


@functools.lru_cache(maxsize=CACHED_QUERIES_MAX)
def _parse_cached(query: bytes, parameter_set: ParameterSet) -> Parameters:
    """Parse a query; a caller that has caught up repeats the same one until an event comes."""
    return parse_query(query, person=None, parameter_set=parameter_set)


async def body_parameters(request: HttpRequest, *, parameter_set: ParameterSet = ANY_FEED) -> Parameters:
    """Return the parameters of a POST. Raises `InvalidRequest` with every fault, `TooLarge`, 415 without JSON."""
    body = await request.read(bytes_max=BODY_BYTES_MAX)
    if body and request.media_type not in ("", JSON):
        raise HTTPException(status_code=415)
    last_id = request.fields.get("last-event-id")
    return parse_body(body, request.scope["query_string"], last_id=last_id, parameter_set=parameter_set)


def parse_query(
    query: bytes, *, person: str | None, last_id: str | None = None, parameter_set: ParameterSet = ANY_FEED
) -> Parameters:
    """Parse the parameters of a GET. Raises `InvalidRequest` with every fault.

    `person` comes in a header; so does `last_id`, the last id of a stream, which replaces `after`.
    """
    pairs = _resume(_parse_pairs(query), last_id)
    fields = _Fields(pairs if person is None else [*pairs, ("person", person)], parameter_set, body=frozenset())
    names = {name for name, _ in pairs}
    if "person" in names:
        fields.add_fault("person", "belongs in the header of that name, never in a URL")
    link_fields = () if names <= _LINK_NAMES else [pair for pair in pairs if pair[0] not in _LINK_NAMES]
    return fields.parameters(link_fields, link_size="size" in names)


def parse_body(
    body: bytes, query: bytes, *, last_id: str | None = None, parameter_set: ParameterSet = ANY_FEED
) -> Parameters:
    """Parse the parameters of a POST: a JSON object, or nothing; `after` and `size` in the query replace its members.

    `last_id`, the last id of a stream, replaces both. Raises `InvalidRequest` with every fault.
    """
    pairs, faults = _parse_pairs(query), list[Fault]()
    for name in sorted({name for name, _ in pairs} - _LINK_NAMES):
        detail = "belongs in the body" if name in parameter_set.names else "is no parameter of this feed"
        faults.append(Fault(parameter=name if name.isidentifier() else None, detail=detail))
    pairs = _resume([pair for pair in pairs if pair[0] in _LINK_NAMES], last_id)
    link_names = {name for name, _ in pairs}
    members = [pair for pair in _members(body, faults) if pair[0] not in link_names]
    fields = _Fields([*pairs, *members], parameter_set, body=frozenset(name for name, _ in members))
    fields.faults += faults
    return fields.parameters((), link_size=True)


def _parse_pairs(query: bytes) -> Sequence[tuple[str, str]]:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise InvalidRequest("The query has too many fields, or is no percent-encoded UTF-8.") from None
    # A `+` without an escape arrives as a space; no time holds a space.
    return [(name, value.replace(" ", "+") if name in _TIMES else value) for name, value in pairs]


def _resume(pairs: Sequence[tuple[str, str]], last_id: str | None) -> Sequence[tuple[str, str]]:
    """Return the fields of a stream that resumes after its last id (`Last-Event-ID`)."""
    return [("after", last_id), *(pair for pair in pairs if pair[0] != "after")] if last_id else pairs


def _members(body: bytes, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    """Yield the members of a JSON object as fields: text and whole numbers, a list only for types; null is absent."""
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
