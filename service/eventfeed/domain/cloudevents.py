"""Validation of events: CloudEvents 1.0.2 and contract section 3."""

import base64
import binascii
import functools
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from eventfeed.domain.app_source import (
    APP_RESOURCE,
    PARTY_SUBJECT,
    PLAIN_APP_SOURCE,
    RESOURCE_APP_PREFIX,
    parse_app_source,
)
from eventfeed.domain.moment import parse_moment

# Contract section 3: limits of one event and one request.
EVENT_BYTES_MAX = 64 * 1024
REQUEST_BYTES_MAX = 2 * 1024 * 1024
REQUEST_EVENTS_MAX = 100

_ALTERNATIVE_SUBJECT = re.compile(r"/person/[0-9]{11}|/organisation/[0-9]{9}")
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]+")
# CloudEvents 1.0.2 §2.4: a string holds no control characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# A segment of dots, or an escaped separator or dot, would give one resource two spellings.
_AMBIGUOUS_PATH = re.compile(r"//|/\.{1,2}(?:/|$)|%2[fF]|%5[cC]|%2[eE]|\\|%00")
_SPACE = re.compile(r"\s")
_SOURCES_MAX = 256
_STRINGS = frozenset(
    {"id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema"}
    | {"resource", "resourceinstance", "alternativesubject", "traceparent"}
)
_DATA = frozenset({"data", "data_base64"})
# CloudEvents 1.0.2 §2.4: an Integer is a signed 32-bit number.
_INTEGER_MAX = 2**31 - 1


def event_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each attribute that CloudEvents 1.0.2 §3 or contract section 3 forbids, with the reason."""
    for name in ("id", "source", "specversion", "type"):
        if name not in attributes:
            yield name, "is required"
    for name, value in attributes.items():
        if name not in _DATA and (reason := _attribute_fault(name, value)):
            yield name, reason
    if "data_base64" in attributes:
        yield from _data_faults(attributes)
    source = attributes.get("source")
    if isinstance(source, str) and source_fault(source) is None and (app_source := parse_app_source(source)):
        for name, source_value in (
            ("resource", app_source.resource),
            ("resourceinstance", app_source.resourceinstance),
        ):
            value = attributes.get(name)
            if isinstance(value, str) and value != source_value:
                yield name, f"contradicts the source, which implies {source_value}"


def app_event_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the faults of an app's event beyond `event_faults`: its source names an instance, its subject a party."""
    source = attributes.get("source")
    if isinstance(source, str) and source_fault(source) is None and parse_app_source(source) is None:
        yield "source", "must be https://{host}/{org}/{app}/instances/{partyId}/{instanceGuid}"
    subject = attributes.get("subject")
    if subject is None:
        yield "subject", "is required"
    elif isinstance(subject, str) and subject and not subject.startswith("/party/"):
        yield "subject", "must be /party/{partyId}"


@functools.lru_cache(maxsize=_SOURCES_MAX)
def source_fault(source: str) -> str | None:
    """Return the reason why this is no valid source: it must be an absolute https URL with one plain spelling."""
    if PLAIN_APP_SOURCE.fullmatch(source):
        return None
    try:
        parts = urlsplit(source)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme != "https" or not host:
        return "must be an absolute https URL"
    if "@" in parts.netloc:
        return "must not hold user information"
    if _AMBIGUOUS_PATH.search(parts.path) or _SPACE.search(source):
        return "must not hold '.', '..', '//', spaces or escaped separators in its path"
    return None


def _attribute_fault(name: str, value: object) -> str | None:
    if name in _STRINGS:
        return _text_fault(name, value) if isinstance(value, str) else "must be a string"
    if not _ATTRIBUTE_NAME.fullmatch(name):
        return "is no attribute name: use lower-case letters and digits"
    if name == "sequence":
        return "is set by the log: leave it out"
    match value:
        case str():
            return _text_fault(name, value)
        case bool():
            return None
        case int() if -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX:
            return None
        case _:
            return "must be a string, a boolean or a 32-bit integer"


def _text_fault(name: str, value: str) -> str | None:
    if not value and name in _STRINGS:
        return "must not be empty"
    # `isprintable` takes a fifth of the time, and nearly every text is printable.
    if not value.isprintable() and _CONTROL.search(value):
        return "must not hold control characters"
    match name:
        case "specversion" if value != "1.0":
            return "must be 1.0"
        case "source":
            return source_fault(value)
        case "time" if parse_moment(value) is None:
            return "must be a time with an offset, such as 2026-01-31T12:00:00Z (RFC 3339)"
        case "subject" if value.startswith("/party/") and not PARTY_SUBJECT.fullmatch(value):
            return "must be /party/{partyId}, the id in digits"
        case "resource" if value.casefold().startswith(RESOURCE_APP_PREFIX) and not APP_RESOURCE.fullmatch(value):
            return f"must be {RESOURCE_APP_PREFIX}{{org}}_{{app}}"
        case "alternativesubject" if not _ALTERNATIVE_SUBJECT.fullmatch(value):
            return "must be /person/{11 digits} or /organisation/{9 digits}"
        case "dataschema" if not _is_absolute(value):
            return "must be an absolute URI"
    return None


def _is_absolute(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).scheme)
    except ValueError:
        return False


def _data_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield faults of binary data: it must be base64, without `data` (CloudEvents JSON format 1.0.2 §3.1.1)."""
    if "data" in attributes:
        yield "data_base64", "must not stand beside data"
    value = attributes["data_base64"]
    try:
        base64.b64decode(value if isinstance(value, str) else "=", validate=True)
    except (binascii.Error, ValueError):
        yield "data_base64", "must be a base64 string"
