"""Parameters of feeds (contract sections 5 and 9). All faults are reported together, each with its parameter."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote_plus

import msgspec
from litestar.exceptions import HTTPException

from eventfeed.domain.conditions import Condition, Equal
from eventfeed.domain.cursor import After, parse_after, parse_last_event_id
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.feed import PAGE_EVENTS_DEFAULT, SOURCES_MAX, TYPES_MAX, PageBounds
from eventfeed.domain.filters import source_conditions, type_conditions
from eventfeed.http.reading.parameter_fields import (
    ALIASES,
    HEADERS,
    NO_HEADERS,
    PARAMETER_HEADERS,
    START_NAMES,
    body_members,
    header_pairs,
    member_pointer,
    query_pairs,
    resume,
)
from eventfeed.http.reading.parameter_values import (
    convert_boolean,
    convert_exact_type,
    convert_moment,
    convert_party,
    convert_person,
    convert_resource,
    convert_size,
    convert_source,
    convert_text,
    convert_timeout,
    convert_type,
    convert_unit,
)
from eventfeed.http.request import BODY_BYTES_MAX, HttpRequest
from eventfeed.http.response import JSON

# Queries of so many bytes are cached, some 4 MiB.
CACHED_QUERIES_MAX, CACHED_QUERY_BYTES_MAX = 4_096, 400

# Parameters in the `next` link of a feed that is read with a body.
_LINK_NAMES = frozenset({"after", "size"})

T = TypeVar("T")


class ParameterSet(NamedTuple):
    """The parameters of a feed: their names, the required ones, and whether `from` or `after` is required.

    `is_of_party` is true of the feed of a party: that of the caller if no party is named.
    """

    names: frozenset[str]
    mandatory: frozenset[str] = frozenset()
    needs_start: bool = True
    has_wildcards: bool = True
    is_of_party: bool = False


_EVERYWHERE = frozenset({"after", "from", "to", "eventType", "source", "size"})
# One of them is required, but for some feeds.
_STARTS = START_NAMES | {"from"}
# The names of HTTP Feeds, in the query of every GET.
_HTTP_FEEDS = frozenset({"lastEventId", "timeout"})
# The caller of the instance feed is anonymous: these would reveal who an instance is about.
_PARTIES = frozenset({"party", "unit", "person", "subject", "alternativeSubject"})
ANY_FEED = ParameterSet(_EVERYWHERE | _PARTIES)
REPORTEE_FEED = ANY_FEED._replace(mandatory=frozenset({"eventType"}), has_wildcards=False)
PARTY_FEED = ANY_FEED._replace(names=ANY_FEED.names | {"includeSubunits"}, is_of_party=True)
RESOURCE_FEED = ANY_FEED._replace(names=PARTY_FEED.names | {"resource"}, mandatory=frozenset({"resource"}))
HTTP_FEED = ANY_FEED._replace(needs_start=False)
INSTANCE_FEED = ParameterSet(_EVERYWHERE, needs_start=False)


class Parameters(PageBounds, frozen=True, kw_only=True, dict=True):
    """The parameters of one request. `rest` follows `after` in the query of its next link, percent-encoded.

    `timeout` is the time to wait for an event (s), `after_name` the name by which `after` came.
    """

    rest: str
    after: After | None
    types: frozenset[str]
    sources: frozenset[str]
    party: str | None = None
    unit: str | None = None
    person: str | None = None
    subject: str | None = None
    alternative_subject: str | None = None
    resource: str | None = None
    include_subunits: bool = False
    timeout: float | None = None
    after_name: str = "after"

    @property
    def names_party(self) -> bool:
        """True if the request names a party, also by an event's subject."""
        return not (self.party is None and self.unit is None and self.person is None and self.subject is None)

    @functools.cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions on types, sources and subjects."""
        return (*type_conditions(self.types, of_apps=False), *self.filters)

    @functools.cached_property
    def app_conditions(self) -> tuple[Condition, ...]:
        """The same, for a feed that has only events of apps."""
        return (*type_conditions(self.types, of_apps=True), *self.filters)

    @property
    def filters(self) -> tuple[Condition, ...]:
        """The conditions on sources and subjects."""
        subject = () if self.subject is None else (Equal("subject", self.subject),)
        alternative = self.alternative_subject
        other = () if alternative is None else (Equal("alternativesubject", alternative),)
        return (*source_conditions(self.sources), *subject, *other)

    @functools.cached_property
    def json(self) -> bytes:
        """All values in the order of the parameters, for the entity tag."""
        return msgspec.json.encode(msgspec.structs.astuple(self), order="sorted")

    def query_after(self, cursor: str) -> str:
        """Return the percent-encoded query that goes on from `cursor`, which needs no encoding."""
        return f"after={cursor}{self.rest}"


# By the name of a parameter with a single value: its member of `Parameters`, and its conversion.
_SINGLE_VALUES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "from": ("since", convert_moment),
    "to": ("until", convert_moment),
    "party": ("party", convert_party),
    "unit": ("unit", convert_unit),
    "person": ("person", convert_person),
    "subject": ("subject", convert_text),
    "alternativeSubject": ("alternative_subject", convert_text),
    "resource": ("resource", convert_resource),
    "includeSubunits": ("include_subunits", convert_boolean),
    "timeout": ("timeout", convert_timeout),
}


class _Fields:
    """The fields of a request, and the faults in them so far."""

    def __init__(self, fields: Iterable[tuple[str, str]], parameter_set: ParameterSet, *, body: frozenset[str]) -> None:
        self.faults: list[Fault] = []
        self._body = body
        self._values: dict[str, list[str]] = {}
        # The spelling of the caller.
        self._aliases: dict[str, str] = {}
        for name, value in fields:
            parameter = ALIASES.get(name, name)
            self._aliases[parameter] = name
            self._values.setdefault(parameter, []).append(value)
        self._check_names(parameter_set)
        self._parameter_set = parameter_set
        self._convert_type = convert_type if parameter_set.has_wildcards else convert_exact_type

    def _check_names(self, parameter_set: ParameterSet) -> None:
        names = set(self._values)
        for name in sorted(names - parameter_set.names):
            self.add_fault(name, "is no parameter of this feed")
            del self._values[name]
        for name in sorted(parameter_set.mandatory - names):
            self.add_fault(name, "is required")
        if parameter_set.needs_start and names.isdisjoint(_STARTS):
            self.add_fault("from", "is required, or after: a time, or a cursor (0 is the beginning)")

    def add_fault(self, name: str, detail: str) -> None:
        """Add a fault of a parameter. A text that is no valid name is not repeated."""
        alias = self._aliases.get(name, name)
        if alias in self._body:
            self.faults.append(Fault(pointer=member_pointer(alias), detail=detail))
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

    def _after(self) -> After | None:
        """Return the position to read after, by either of its names."""
        if START_NAMES.issubset(self._values):
            for name, other in (("after", "lastEventId"), ("lastEventId", "after")):
                self.add_fault(name, f"must not be combined with {other}, which has the same meaning")
        return self.single("after", parse_after) or self.single("lastEventId", parse_last_event_id)

    def texts(self, name: str, convert: Callable[[str], str], *, most: int) -> frozenset[str]:
        """Return the values of a repeatable parameter; those that are valid."""
        values = frozenset(self._values.get(name, ()))
        if not values:
            return values
        if len(values) > most:
            self.add_fault(name, f"must not occur more than {most} times")
            return frozenset()
        faults = dict[str, None]()
        for value in values:
            try:
                convert(value)
            except ValueError as reason:
                faults[str(reason)] = None
        for fault in faults:
            self.add_fault(name, fault)
        return values

    def parameters(self, link_fields: Sequence[tuple[str, str]], *, link_size: bool) -> Parameters:
        """Return the parameters; the next link holds `link_fields`, and the size if `link_size` is true.

        Raises `InvalidRequest` with every fault.
        """
        size = self.single("size", convert_size) or PAGE_EVENTS_DEFAULT
        rest = "".join([f"&{name}={quote_plus(value)}" for name, value in link_fields])
        values: dict[str, Any] = {
            member: self.single(name, convert)
            for name, (member, convert) in _SINGLE_VALUES.items()
            if name in self._values
        }
        parameters = Parameters(
            rest=f"{rest}&size={size}" if link_size else rest,
            after=self._after(),
            types=self.texts("eventType", self._convert_type, most=TYPES_MAX),
            sources=self.texts("source", convert_source, most=SOURCES_MAX),
            after_name="lastEventId" if "lastEventId" in self._values else "after",
            size=size,
            **values,
        )
        if parameters.since is not None and parameters.until is not None and parameters.since > parameters.until:
            self.add_fault("to", "is before from")
        has_party = self._parameter_set.is_of_party or not self._values.keys().isdisjoint({"unit", "party"})
        if parameters.include_subunits and not has_party:
            self.add_fault("includeSubunits", "needs the parameter unit or party")
        if self.faults:
            raise InvalidRequest(f"Faults found: {len(self.faults)}.", faults=self.faults)
        return parameters


def query_parameters(request: HttpRequest, *, parameter_set: ParameterSet = ANY_FEED) -> Parameters:
    """Return the parameters of a GET. Raises `InvalidRequest` with every fault."""
    query: bytes = request.scope["query_string"]
    headers = request.fields
    if PARAMETER_HEADERS.isdisjoint(headers) and len(query) <= CACHED_QUERY_BYTES_MAX:
        return _parse_cached(query, parameter_set)
    return parse_query(query, headers=headers, parameter_set=parameter_set)


@functools.lru_cache(maxsize=CACHED_QUERIES_MAX)
def _parse_cached(query: bytes, parameter_set: ParameterSet) -> Parameters:
    """Parse a query; a caller that has caught up repeats the same one until an event comes."""
    return parse_query(query, parameter_set=parameter_set)


async def body_parameters(request: HttpRequest, *, parameter_set: ParameterSet = ANY_FEED) -> Parameters:
    """Return the parameters of a POST. Raises `InvalidRequest` with every fault, `TooLarge`, 415 without JSON."""
    body = await request.read(bytes_max=BODY_BYTES_MAX)
    if body and request.media_type not in ("", JSON):
        raise HTTPException(status_code=415)
    return parse_body(body, request.scope["query_string"], headers=request.fields, parameter_set=parameter_set)


def parse_query(
    query: bytes, *, headers: Mapping[str, str] = NO_HEADERS, parameter_set: ParameterSet = ANY_FEED
) -> Parameters:
    """Parse the parameters of a GET. Raises `InvalidRequest` with every fault.

    Data about people comes in headers; so does the last id of a stream, which replaces `after`.
    """
    pairs = resume(query_pairs(query), headers)
    fields = _Fields([*pairs, *header_pairs(headers)], _with_query_names(parameter_set), body=frozenset())
    names = {name for name, _ in pairs}
    for name, header in HEADERS.items():
        if name in names:
            fields.add_fault(name, f"belongs in the header {header}, never in a URL")
    kept_names = names - _LINK_NAMES - START_NAMES
    link_fields = [pair for pair in pairs if pair[0] in kept_names] if kept_names else ()
    return fields.parameters(link_fields, link_size="size" in names)


@functools.cache
def _with_query_names(parameter_set: ParameterSet) -> ParameterSet:
    return parameter_set._replace(names=parameter_set.names | _HTTP_FEEDS)


def parse_body(
    body: bytes,
    query: bytes,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    parameter_set: ParameterSet = ANY_FEED,
) -> Parameters:
    """Parse the parameters of a POST: a JSON object; `after` and `size` in the query replace its members.

    The last id of a stream replaces both. Without a body, reading starts at the beginning. Raises `InvalidRequest` with
    every fault.
    """
    parameter_set = parameter_set if body else parameter_set._replace(needs_start=False)
    pairs, faults = query_pairs(query), list[Fault]()
    for name in sorted({name for name, _ in pairs} - _LINK_NAMES):
        detail = "belongs in the body" if name in parameter_set.names else "is no parameter of this feed"
        faults.append(Fault(parameter=name if name.isidentifier() else None, detail=detail))
    pairs = resume([pair for pair in pairs if pair[0] in _LINK_NAMES], headers)
    link_names = {name for name, _ in pairs}
    members = [pair for pair in body_members(body, faults) if pair[0] not in link_names]
    if not _STARTS.isdisjoint((fault.parameter or fault.pointer or "from").removeprefix("/") for fault in faults):
        parameter_set = parameter_set._replace(needs_start=False)  # the start, or the whole body, has a fault already
    fields = _Fields(
        [*pairs, *members, *header_pairs(headers)], parameter_set, body=frozenset(name for name, _ in members)
    )
    fields.faults += faults
    return fields.parameters((), link_size=True)
