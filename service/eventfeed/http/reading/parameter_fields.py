"""Fields of a request: names and values from its query, its headers and its JSON body, before their conversion."""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl

from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.http.header_text import decode_header
from eventfeed.http.json_object import Members, parse_object
from eventfeed.http.reading.parameter_values import restore_plus

# Far more than any feed has.
FIELDS_MAX = 200

ALIASES = {"type": "eventType"}
_TIMES = frozenset({"from", "to"})
# Repeatable parameters, which may be a list in a body.
_LISTS = frozenset({"eventType", "source"})
# Parameters that are true or false, as a text or as JSON.
_BOOLEANS = frozenset({"includeSubunits"})
# A position to read after, and its name in HTTP Feeds.
START_NAMES = frozenset({"after", "lastEventId"})
# Headers of a GET with data about people, by their parameters. A URL ends up in logs.
HEADERS = {"alternativeSubject": "altinn-alternativesubject", "person": "person"}
PARAMETER_HEADERS = frozenset({*HEADERS.values(), "last-event-id"})
NO_HEADERS: Mapping[str, str] = {}
# An escape that is none (RFC 3986 §2.1). A `%` at the end of a value is a wildcard.
_INVALID_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2}|&|$)")


def header_pairs(headers: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return the parameters in headers, percent-decoded. Raises `InvalidRequest` for one that cannot be decoded."""
    if PARAMETER_HEADERS.isdisjoint(headers):
        return ()
    pairs, faults = list[tuple[str, str]](), list[Fault]()
    for name, header in HEADERS.items():
        if header not in headers:
            continue
        try:
            pairs.append((name, decode_header(headers[header])))
        except ValueError as fault:
            faults.append(Fault(parameter=name, detail=f"{fault}, in the header {header}"))
    if faults:
        raise InvalidRequest("A header cannot be decoded.", faults=faults)
    return pairs


def query_pairs(query: bytes) -> Sequence[tuple[str, str]]:
    """Return the fields of a query. Raises `InvalidRequest` for one that is no percent-encoded UTF-8."""
    try:
        if not _INVALID_ESCAPE.search(query):
            pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
            return [(name, restore_plus(value) if name in _TIMES else value) for name, value in pairs]
    except ValueError:
        pass
    raise InvalidRequest("The query cannot be decoded.", faults=list(_query_faults(query)))


def _query_faults(query: bytes) -> Iterator[Fault]:
    """Yield the faults of a query that cannot be decoded."""
    fields = query.split(b"&")
    if len(fields) > FIELDS_MAX:
        yield Fault(detail=f"The query has more than {FIELDS_MAX} fields.")
        return
    for field in fields:
        try:
            is_valid = not _INVALID_ESCAPE.search(field)
            parse_qsl(field.decode("ascii"), errors="strict")
        except ValueError:
            is_valid = False
        if not is_valid:
            name = field.partition(b"=")[0].decode("latin-1")
            parameter = name if name.isascii() and name.isidentifier() else None
            yield Fault(parameter=parameter, detail="is not percent-encoded UTF-8 (% itself is %25)")


def resume(pairs: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return the fields of a stream that resumes after its last id (`Last-Event-ID`)."""
    last_id = headers.get("last-event-id")
    return [("after", last_id), *(pair for pair in pairs if pair[0] not in START_NAMES)] if last_id else pairs


def body_members(body: bytes, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    """Yield the members of a JSON object as fields: text and whole numbers, or a list of them; null is absent."""
    try:
        members = parse_object(body or b"{}")
    except ValueError as reason:
        faults.append(Fault(pointer="", detail=f"must be a JSON object of parameters: {reason}"))
        return
    faults += [Fault(pointer=member_pointer(name), detail="must not be repeated") for name in members.repeated()]
    for name, value in dict(members).items():
        may_be_list = ALIASES.get(name, name) in _LISTS and not isinstance(value, Members)
        for each in value if may_be_list and isinstance(value, list) else [value]:
            match each:
                case None:
                    pass
                case str():
                    yield name, each
                case bool() if name in _BOOLEANS:
                    yield name, "true" if each else "false"
                case int() if not isinstance(each, bool):
                    yield name, str(each)
                case _:
                    faults.append(Fault(pointer=member_pointer(name), detail="must be text or a whole number"))


def member_pointer(name: str) -> str:
    """Return the pointer to a member. A text that is no valid name is not repeated."""
    return f"/{name}" if name.isidentifier() else ""
