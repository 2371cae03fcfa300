"""Events and their entries in the log."""

import functools
import hashlib

import msgspec
from msgspec.structs import replace

from eventfeed.domain.moment import format_moment

MARKER_TYPE = "eventfeed.marker"
# Version, trace id, span id and flags (W3C Trace Context §3.2).
TRACEPARENT_LENGTH = 55

# A regular expression over each event of a page takes four times as long.
_TRACEPARENT = b'"traceparent":"'
# Bytes that `sequence` adds to the JSON of an event.
SEQUENCE_BYTES = len(b',"sequence":""') + 20


class App(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An app of an organisation: two fields, never one joined string."""

    org: str
    name: str


class Identity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`source` and `id`, which together identify an event (CloudEvents 1.0.2 §3.1.1)."""

    source: str
    id: str

    def digest(self) -> bytes:
        """Return a digest of 32 bytes."""
        return hashlib.sha256(f"{len(self.source)}:{self.source}{self.id}".encode()).digest()


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A valid event: the attributes that feeds are selected by, and `body`, the whole event as JSON.

    `content` is a digest of the event as the publisher sent it, before defaults. `instance` is a guid in lower case.
    `future_time` is the event's `time` (µs since 1970) if that was in the future when the event arrived.
    """

    identity: Identity
    type: str
    subject: str | None
    app: App | None
    instance: str | None
    resource: str | None
    content: bytes
    body: bytes
    future_time: int | None = None

    def registered(self, time: int) -> "Event":
        """Return the event as the log stores it at this time: nothing occurs after its registration."""
        if self.future_time is None:
            return self
        body = self.body if self.future_time <= time else _with_time(self.body, format_moment(time))
        return replace(self, body=body, future_time=None)


def _with_time(body: bytes, time: str) -> bytes:
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**members, "time": time})


class Entry(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An event at its position. `time` is its registration (µs since 1970), `write_id` the attempt that wrote it."""

    sequence: int
    time: int
    write_id: str
    event: Event

    @functools.cached_property
    def traceparent(self) -> str:
        """The trace of its publisher (CloudEvents distributed tracing extension), "" if the event has none."""
        return traceparent_of(self.event.body)

    @functools.cached_property
    def json(self) -> bytes:
        """The event as published, with its `sequence` (20 digits) added."""
        return b'%b,"sequence":"%020d"}' % (self.event.body[:-1], self.sequence)

    @property
    def json_length(self) -> int:
        """Bytes of `json`, without building it."""
        return len(self.event.body) + SEQUENCE_BYTES


def traceparent_of(event: bytes) -> str:
    """Return the trace of the publisher of an event in JSON, "" if it has none."""
    index = event.find(_TRACEPARENT)
    start = index + len(_TRACEPARENT)
    return event[start : start + TRACEPARENT_LENGTH].decode(errors="replace") if index >= 0 else ""


class _AlternativeSubject(msgspec.Struct):
    alternativesubject: object = None


def alternative_subject_of(event: Event) -> str | None:
    """Return the extension `alternativesubject` of an event."""
    value = msgspec.json.decode(event.body, type=_AlternativeSubject).alternativesubject
    return value if isinstance(value, str) else None


def marker(name: str) -> Event:
    """Return an event that is in no feed: its entry keeps the end of the log from expiring."""
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
