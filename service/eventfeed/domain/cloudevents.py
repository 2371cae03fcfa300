"""Validation of events: CloudEvents 1.0.2 and contract section 3."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from eventfeed.domain.app_source import APP_RESOURCE, RESOURCE_APP_PREFIX, parse_app_source, resembles_app_source
from eventfeed.domain.grammar import HTTPS_URL, MEDIA_TYPE, STRING, TIMESTAMP, TRACE, URI, URN, Grammar, is_string
from eventfeed.domain.party import has_malformed_id, names_party
from eventfeed.domain.uri import is_https_url, is_urn

# Contract section 3: limits of one event and one request.
EVENT_BYTES_MAX = 64 * 1024
# Base64 and escapes make an event longer than it came, and the service adds attributes.
STORED_BYTES_MAX = 2 * EVENT_BYTES_MAX + 1024
REQUEST_BYTES_MAX = 2 * 1024 * 1024
REQUEST_EVENTS_MAX = 100

_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]+")
APP_SOURCE = "https://{host}/{org}/{app}/instances/{partyId}/{instanceGuid}"
_DATA = frozenset({"data", "data_base64"})
# CloudEvents 1.0.2 §2.4: an Integer is a signed 32-bit number.
_INTEGER_MAX = 2**31 - 1
# The usual subject of an app's event.
_PARTY_SUBJECT = re.compile(r"/party/[0-9]{1,10}")
# A person number is no party id.
_PERSON_AS_PARTY = re.compile(r"[0-9]{11}/")


def _is_source(text: str) -> bool:
    # Most sources are those of apps, which are parsed anyway.
    return parse_app_source(text) is not None or is_https_url(text)


def _is_subject(text: str) -> bool:
    return bool(_PARTY_SUBJECT.fullmatch(text)) or (is_string(text) and not has_malformed_id(text))


def _is_instance(text: str) -> bool:
    return is_string(text) and not _PERSON_AS_PARTY.match(text)


def _is_resource(text: str) -> bool:
    return is_urn(text) and (not text.casefold().startswith(RESOURCE_APP_PREFIX) or bool(APP_RESOURCE.fullmatch(text)))


# The type of each attribute. Extensions that are not named here may also be integers and booleans.
ATTRIBUTES: Mapping[str, Grammar] = {
    "id": STRING,
    "source": Grammar(_is_source, HTTPS_URL.fault),
    "specversion": Grammar("1.0".__eq__, "must be 1.0"),
    "type": STRING,
    "subject": Grammar(_is_subject, f"{STRING.fault}; a party id has 1 to 18 digits, and is no person number"),
    "time": TIMESTAMP,
    "datacontenttype": MEDIA_TYPE,
    "dataschema": URI,
    "resource": Grammar(_is_resource, f"{URN.fault}; that of an app is {RESOURCE_APP_PREFIX}{{org}}_{{app}}"),
    "resourceinstance": Grammar(_is_instance, f"{STRING.fault}; a person number is no party id"),
    "alternativesubject": STRING,
    "traceparent": TRACE,
}


def event_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each attribute that CloudEvents 1.0.2 §3 or contract section 3 forbids, with the reason."""
    for name in ("id", "source", "specversion", "type"):
        if name not in attributes:
            yield name, "is required"
    for name, value in attributes.items():
        if name not in _DATA and (reason := attribute_fault(name, value)):
            yield name, reason
    if "data_base64" in attributes:
        yield from _data_faults(attributes)
    source = attributes.get("source")
    if isinstance(source, str) and (app_source := parse_app_source(source)):
        for name, implied_value in (
            ("resource", app_source.resource),
            ("resourceinstance", app_source.resourceinstance),
        ):
            value = attributes.get(name)
            if isinstance(value, str) and value != implied_value:
                yield name, f"contradicts the source, which implies {implied_value}"


def app_event_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the faults of an app's event beyond `event_faults`: its source names an instance, its subject a party."""
    source = attributes.get("source")
    if isinstance(source, str) and _is_source(source) and parse_app_source(source) is None:
        yield "source", f"must be {APP_SOURCE}"
    subject = attributes.get("subject")
    if subject is None:
        yield "subject", "is required"
    elif isinstance(subject, str) and subject and not _PARTY_SUBJECT.fullmatch(subject) and not names_party(subject):
        yield "subject", "must name a party, such as /party/{partyId} or /organisation/{9 digits}"


def feed_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the faults that would leave an event in no feed: a source like that of an app, or no resource."""
    source = attributes.get("source")
    if not isinstance(source, str) or not _is_source(source) or parse_app_source(source):
        return
    if resembles_app_source(source):
        yield "source", f"must be {APP_SOURCE}: it resembles the source of an app"
    elif "resource" not in attributes:
        yield "resource", f"is required, a URN, unless the source is {APP_SOURCE}"


def attribute_fault(name: str, value: object) -> str | None:
    """Return the reason why an attribute must not have this value, or this name; None if it may."""
    grammar = ATTRIBUTES.get(name)
    if grammar is None:
        return _extension_fault(name, value)
    if not isinstance(value, str):
        return "must be a string"
    if not value:
        return "must not be empty"
    # Most strings need no more than this.
    if grammar is STRING and value.isprintable():
        return None
    return None if grammar.accepts(value) else grammar.fault


def _extension_fault(name: str, value: object) -> str | None:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        return "is no attribute name: use lower-case letters and digits"
    if name == "sequence":
        return "is set by the log: leave it out"
    match value:
        case str():
            return None if is_string(value) else STRING.fault
        case bool():
            return None
        case int() if -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX:
            return None
        case _:
            return "must be a string, a boolean or a 32-bit integer"


def _data_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield faults of binary data: it must be base64, without `data` (CloudEvents JSON format 1.0.2 §3.1.1)."""
    if "data" in attributes:
        yield "data_base64", "must not stand beside data"
    value = attributes["data_base64"]
    try:
        base64.b64decode(value if isinstance(value, str) else "=", validate=True)
    except (binascii.Error, ValueError):
        yield "data_base64", "must be a base64 string"
