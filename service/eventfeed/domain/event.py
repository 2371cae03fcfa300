"""An event, what it must look like, and what an app's source implies (CloudEvents 1.0.2, contract section 3)."""

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from urllib.parse import urlsplit

import msgspec

from eventfeed.domain.moment import parse_moment

# Contract section 3: what one event and one request may weigh.
EVENT_BYTES_MAX = 64 * 1024
REQUEST_BYTES_MAX = 2 * 1024 * 1024
REQUEST_EVENTS_MAX = 100

MARKER_TYPE = "eventfeed.marker"
RESOURCE_APP_PREFIX = "urn:altinn:resource:app_"

_ORG, _NAME = r"(?P<org>[A-Za-z0-9-]+)", r"(?P<name>[A-Za-z0-9._-]+)"
_APP = re.compile(f"{_ORG}/{_NAME}")
_APP_PATH = re.compile(
    rf"/{_ORG}/{_NAME}/instances"
    r"/(?P<party>[0-9]+)/(?P<guid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})",
)
# The spelling that nearly all sources of apps have; it has no fault.
_APP_SOURCE = re.compile(rf"https://[a-z0-9-]+(?:\.[a-z0-9-]+)*/(?![^/]*/\.{{1,2}}/){_APP_PATH.pattern[1:]}")
_APP_RESOURCE = re.compile(f"{re.escape(RESOURCE_APP_PREFIX)}{_ORG}_{_NAME}")
_INSTANCE = re.compile(r"(?P<party>[0-9]+)/(?P<guid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})")
_PARTY = re.compile(r"/party/[0-9]{1,18}")
_ALTERNATIVE_SUBJECT = re.compile(r"/person/[0-9]{11}|/organisation/[0-9]{9}")
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]+")
# CloudEvents 1.0.2 §2.4: a string holds no control characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# A segment of dots, or a separator or dot written as an escape, would let two spellings name one place.
_CROOKED_PATH = re.compile(r"//|/\.{1,2}(?:/|$)|%2[fF]|%5[cC]|%2[eE]|\\|%00")
_SPACE = re.compile(r"\s")
# An event's source is looked at from several sides, one after the other.
_SOURCES_KEPT = 256
# An app is asked for again and again.
_APPS_KEPT = 1_024
_STRINGS = frozenset(
    {"id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema"}
    | {"resource", "resourceinstance", "alternativesubject", "traceparent"},
)
_DATA = frozenset({"data", "data_base64"})
# CloudEvents 1.0.2 §2.4: an Integer is a signed 32-bit number.
_INTEGER_MAX = 2**31 - 1
_SEQUENCE_BYTES = len(b',"sequence":""') + 20


class App(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An app of an organisation: two fields, never one joined string."""

    org: str
    name: str


class Implied(msgspec.Struct, frozen=True, kw_only=True):
    """What an app's source says without being asked."""

    app: App
    party: str
    guid: str

    @property
    def resource(self) -> str:
        """The resource that rights are given for."""
        return f"{RESOURCE_APP_PREFIX}{self.app.org}_{self.app.name}"

    @property
    def resourceinstance(self) -> str:
        """The instance, as `{partyId}/{instanceGuid}`."""
        return f"{self.party}/{self.guid}"


class Identity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What makes two events the same: `source` and `id` together (CloudEvents 1.0.2 §3.1.1)."""

    source: str
    id: str

    def digest(self) -> bytes:
        """32 bytes that stand for this identity."""
        return hashlib.sha256(f"{len(self.source)}:{self.source}{self.id}".encode()).digest()


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A valid event: the attributes that are asked for, and `body`, the whole of it as one JSON text.

    `content` digests what the publisher sent, before anything was filled in. `instance` is the instance's guid in
    lower case.
    """

    identity: Identity
    type: str
    subject: str | None
    app: App | None
    instance: str | None
    resource: str | None
    content: bytes
    body: bytes


class _Safe(msgspec.Struct, frozen=True, kw_only=True):
    specversion: str
    id: str
    source: str
    type: str
    time: str


class _Instance(msgspec.Struct, frozen=True, kw_only=True):
    resourceinstance: str | None = None


def marker(name: str) -> Event:
    """An event that only keeps the log's end young: of no app, party, resource or instance, so in nobody's feed."""
    identity = Identity(source="https://eventfeed.invalid/marker", id=name)
    body = {"specversion": "1.0", "id": name, "source": identity.source, "type": MARKER_TYPE}
    return Event(
        identity=identity,
        type=MARKER_TYPE,
        subject=None,
        app=None,
        instance=None,
        resource=None,
        content=name.encode(),
        body=msgspec.json.encode(body),
    )


# Version, trace, span and flags (W3C Trace Context §3.2).
TRACEPARENT_LETTERS = 55
# To look for it in a page of events by a regular expression takes four times as long.
_TRACEPARENT = b'"traceparent":"'


class Entry(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An event at its place. `time` is when it was registered (µs since 1970), `write_id` which try wrote it."""

    sequence: int
    time: int
    write_id: str
    event: Event

    @functools.cached_property
    def trace(self) -> str:
        """The trace it was published in (CloudEvents distributed tracing extension), "" when it tells none."""
        at = self.event.body.find(_TRACEPARENT)
        start = at + len(_TRACEPARENT)
        return self.event.body[start : start + TRACEPARENT_LETTERS].decode(errors="replace") if at >= 0 else ""

    @functools.cached_property
    def served(self) -> bytes:
        """The event as consumers get it: as published, with its `sequence` (20 digits) spliced in."""
        return b'%b,"sequence":"%020d"}' % (self.event.body[:-1], self.sequence)


sequence_of: Callable[[Entry], int] = attrgetter("sequence")


def served_reduced(entry: Entry) -> bytes:
    """What of the event is safe to show to anyone: no subject, no data, no extensions (contract section 5)."""
    shown = msgspec.json.decode(entry.event.body, type=_Safe)
    return b'%b,"sequence":"%020d"}' % (msgspec.json.encode(shown)[:-1], entry.sequence)


def served_bytes(entry: Entry) -> int:
    """How long `served` is, without making it."""
    return len(entry.event.body) + _SEQUENCE_BYTES


@functools.lru_cache(maxsize=_SOURCES_KEPT)
def implied(source: str) -> Implied | None:
    """What `https://{host}/{org}/{app}/instances/{partyId}/{instanceGuid}` says; None for any other source."""
    found = _APP_SOURCE.fullmatch(source)
    if found is None:
        parts = urlsplit(source)
        found = None if parts.query or parts.fragment else _APP_PATH.fullmatch(parts.path)
    if found is None:
        return None
    return Implied(app=App(org=found["org"], name=found["name"]), party=found["party"], guid=found["guid"])


@functools.lru_cache(maxsize=_APPS_KEPT)
def app_named(org: str, name: str) -> App | None:
    """The app with these names; None when no app can be called that."""
    return App(org=org, name=name) if _APP.fullmatch(f"{org}/{name}") else None


def app_of(source: str, resource: str | None) -> App | None:
    """The app an event belongs to: its source's, else the one its resource names."""
    if known := implied(source):
        return known.app
    found = _APP_RESOURCE.fullmatch(resource or "")
    return App(org=found["org"], name=found["name"]) if found else None


def instance_of(source: str, resourceinstance: str | None) -> str | None:
    """The guid, in lower case, of the instance an event belongs to."""
    if known := implied(source):
        return known.guid.lower()
    found = _INSTANCE.fullmatch(resourceinstance or "")
    return found["guid"].lower() if found else None


def party_of_instance(event: Event) -> str | None:
    """The party that stands before the guid in an event's instance."""
    if known := implied(event.identity.source):
        return known.party
    found = _INSTANCE.fullmatch(msgspec.json.decode(event.body, type=_Instance).resourceinstance or "")
    return found["party"] if found else None


def party_named(subject: str | None) -> str | None:
    """The party id of a subject `/party/{partyId}`."""
    return subject.removeprefix("/party/") if subject and _PARTY.fullmatch(subject) else None


def speaks_for(org: str | None, *, source: str, app: App | None) -> bool:
    """Whether a publisher of `org` may send this: the source's first path segment, and any app, are its own."""
    if org is None or (app is not None and app.org != org):
        return False
    if known := implied(source):
        return known.app.org == org
    return urlsplit(source).path.split("/")[1:2] == [org]


def event_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Each attribute that is not as CloudEvents 1.0.2 §3 and contract section 3 demand, with the reason."""
    for name in ("id", "source", "specversion", "type"):
        if name not in attributes:
            yield name, "is required"
    for name, value in attributes.items():
        if name not in _DATA and (reason := _attribute_fault(name, value)):
            yield name, reason
    if "data_base64" in attributes:
        yield from _data_faults(attributes)
    source = attributes.get("source")
    if isinstance(source, str) and source_fault(source) is None and (known := implied(source)):
        for name, expected in (("resource", known.resource), ("resourceinstance", known.resourceinstance)):
            given = attributes.get(name)
            if isinstance(given, str) and given != expected:
                yield name, f"contradicts the source, which implies {expected}"


def app_event_faults(attributes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What an app's event needs on top of `event_faults`: a source that names an instance, a party as subject."""
    source = attributes.get("source")
    if isinstance(source, str) and source_fault(source) is None and implied(source) is None:
        yield "source", "must be https://{host}/{org}/{app}/instances/{partyId}/{instanceGuid}"
    subject = attributes.get("subject")
    if subject is None:
        yield "subject", "is required"
    elif isinstance(subject, str) and subject and not subject.startswith("/party/"):
        yield "subject", "must be /party/{partyId}"


@functools.lru_cache(maxsize=_SOURCES_KEPT)
def source_fault(source: str) -> str | None:
    """Why this cannot be a source: it must be one plain spelling of an absolute https URL."""
    if _APP_SOURCE.fullmatch(source):
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
    if _CROOKED_PATH.search(parts.path) or _SPACE.search(source):
        return "must not hold '.', '..', '//', spaces or escaped separators in its path"
    return None


def _attribute_fault(name: str, value: object) -> str | None:
    if name in _STRINGS:
        return _text_fault(name, value) if isinstance(value, str) else "must be a string"
    if not _ATTRIBUTE_NAME.fullmatch(name):
        return "is no attribute name: use lower-case letters and digits"
    if name == "sequence":
        return "is given by the log: leave it out"
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
    # Nearly every text is printable, which is told in a fifth of the time.
    if not value.isprintable() and _CONTROL.search(value):
        return "must not hold control characters"
    match name:
        case "specversion" if value != "1.0":
            return "must be 1.0"
        case "source":
            return source_fault(value)
        case "time" if parse_moment(value) is None:
            return "must be a time with an offset, such as 2026-01-31T12:00:00Z (RFC 3339)"
        case "subject" if value.startswith("/party/") and not _PARTY.fullmatch(value):
            return "must be /party/{partyId}, the id in digits"
        case "resource" if value.casefold().startswith(RESOURCE_APP_PREFIX) and not _APP_RESOURCE.fullmatch(value):
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
    """CloudEvents JSON format 1.0.2 §3.1.1: binary data is base64, and stands alone."""
    if "data" in attributes:
        yield "data_base64", "must not stand beside data"
    value = attributes["data_base64"]
    try:
        base64.b64decode(value if isinstance(value, str) else "=", validate=True)
    except (binascii.Error, ValueError):
        yield "data_base64", "must be a base64 string"
