"""Events in the body or headers of a publish (CloudEvents JSON format and HTTP binding 1.0.2)."""

import base64
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from eventfeed.domain.app_source import app_of, instance_of, parse_app_source
from eventfeed.domain.cloudevents import (
    EVENT_BYTES_MAX,
    REQUEST_EVENTS_MAX,
    app_event_faults,
    event_faults,
    feed_faults,
)
from eventfeed.domain.errors import Fault, InvalidEvent, TooLarge
from eventfeed.domain.event import Event, Identity
from eventfeed.domain.moment import parse_moment

_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]*\+)?json|text/json")
_PARSE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RawEvents(NamedTuple):
    """The JSON texts of a request's events, and whether they came as an array."""

    texts: Sequence[bytes]
    batch: bool

    def pointer(self, index: int) -> str:
        """Return the JSON pointer (RFC 6901) of the event at this index."""
        return f"/{index}" if self.batch else ""

    def pointers(self) -> Sequence[str]:
        """Return the JSON pointer of each event."""
        return [self.pointer(index) for index in range(len(self.texts))]


class EventDefaults(NamedTuple):
    """Defaults for absent attributes; `now` in µs since 1970, `time` the same as text, `traceparent` of the request.

    The text of what `new_id` returns is unique.
    """

    new_id: Callable[[], object]
    now: int
    time: str
    traceparent: str = ""


class _Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes that select the feeds of an event, and its time."""

    source: str
    type: str
    id: str | None = None
    subject: str | None = None
    resource: str | None = None
    resourceinstance: str | None = None
    time: str | None = None


def json_events(body: bytes, *, batch: bool | None) -> RawEvents:
    """Return the events of a JSON body: an array if `batch`, an object if not, either if it is None.

    Raises `InvalidEvent` for anything else, `TooLarge` over the number or bytes of events.
    """
    body = body.strip()
    is_array = body.startswith(b"[")
    if batch is not None and batch is not is_array:
        raise _invalid(f"The body must be a JSON {'array of events' if batch else 'object'}.")
    if not is_array:
        return _check_limits(RawEvents(texts=[body], batch=False))
    try:
        texts = [bytes(text) for text in msgspec.json.decode(body, type=list[Raw])]
    except _PARSE_ERRORS as failure:
        raise _invalid(f"The body is not JSON: {_reason(failure)}.") from None
    if not texts:
        raise _invalid("The array holds no event.")
    return _check_limits(RawEvents(texts=texts, batch=True))


def binary_event(body: bytes, headers: Iterable[tuple[str, str]]) -> RawEvents:
    """Return the event of a request in binary mode: `ce-` headers, data as the body (HTTP binding 1.0.2 §3.1)."""
    attributes: dict[str, object] = {}
    content_type = ""
    for name, value in headers:
        if name.startswith("ce-"):
            attribute = name.removeprefix("ce-")
            if attribute in attributes or attribute in ("data", "data_base64", "datacontenttype"):
                raise _invalid(f"The header {name} is repeated, or not allowed.", pointer=f"/{_escape(attribute)}")
            attributes[attribute] = _header_text(value, attribute)
        elif name == "content-type":
            content_type = value
    if content_type:
        attributes["datacontenttype"] = content_type
    if body:
        attributes |= _data(body, content_type)
    return _check_limits(RawEvents(texts=[msgspec.json.encode(attributes)], batch=False))


def parse_events(raw: RawEvents, defaults: EventDefaults, *, from_app: bool) -> Sequence[Event]:
    """Return valid events, in order. Raises `InvalidEvent` with every fault of all of them.

    With `from_app` the source must name an instance and the subject a party, and the id may be absent.
    """
    events, faults = list[Event](), list[Fault]()
    for index, text in enumerate(raw.texts):
        pointer = raw.pointer(index)
        try:
            attributes = _attributes(text)
            reasons = _faults(attributes, from_app=from_app)
            faults += (Fault(pointer=f"{pointer}/{_escape(name)}", detail=reason) for name, reason in reasons)
            if not faults:
                events.append(_event(text, attributes, defaults=defaults))
        except _PARSE_ERRORS as failure:
            faults.append(Fault(pointer=pointer, detail=f"is not a JSON object: {_reason(failure)}"))
    if faults:
        raise InvalidEvent(f"Faults found: {len(faults)}. Nothing was written.", faults=faults)
    return events


def _attributes(text: bytes) -> Mapping[str, object]:
    """Return the members of an event; null stands for an absent attribute (CloudEvents JSON format 1.0.2 §2.2)."""
    members = _decoder.decode(text)
    return {name: value for name, value in members.items() if value is not None or name == "data"}


def _faults(attributes: Mapping[str, object], *, from_app: bool) -> Sequence[tuple[str, str]]:
    if not from_app:
        return [*event_faults(attributes), *feed_faults(attributes)]
    return [*event_faults({"id": "set by the service", **attributes}), *app_event_faults(attributes)]


def _event(text: bytes, attributes: Mapping[str, object], *, defaults: EventDefaults) -> Event:
    """Return the event of a valid JSON object, with defaults for absent attributes."""
    members = msgspec.json.decode(msgspec.json.format(text, indent=-1), type=dict[str, Raw])
    members = {name: value for name, value in members.items() if name in attributes}
    fields = msgspec.convert(attributes, _Attributes)
    id_ = fields.id or str(defaults.new_id())
    if fields.id is None:
        members["id"] = Raw(msgspec.json.encode(id_))
    if "time" not in members:
        members["time"] = Raw(msgspec.json.encode(defaults.time))
    if defaults.traceparent and "traceparent" not in members:
        members["traceparent"] = Raw(msgspec.json.encode(defaults.traceparent))
    app_source = parse_app_source(fields.source)
    return Event(
        identity=Identity(source=fields.source, id=id_),
        type=fields.type,
        subject=fields.subject,
        app=app_source.app if app_source else app_of(fields.resource),
        instance=app_source.instance if app_source else instance_of(fields.resourceinstance),
        resource=app_source.resource if app_source else fields.resource,
        content=hashlib.sha256(msgspec.json.encode(attributes, order="sorted")).digest(),
        body=msgspec.json.encode(members),
        future_time=_future_time(fields.time, now=defaults.now),
    )


def _future_time(time: str | None, *, now: int) -> int | None:
    moment = None if time is None else parse_moment(time)
    return moment if moment is not None and moment > now else None


def _keep_spelling(digits: str) -> Mapping[str, str]:
    """Return a number with a fraction as text: two numbers that a float would round to one are different content."""
    if not math.isfinite(float(digits)):
        raise msgspec.ValidationError("Number out of range")
    return {"number": digits}


_decoder = msgspec.json.Decoder(dict[str, object], float_hook=_keep_spelling)


def _header_text(value: str, attribute: str) -> str:
    """Return a header's value, percent-decoded (CloudEvents HTTP binding 1.0.2 §3.1.3.2)."""
    try:
        return unquote(value.encode("ascii").decode(), errors="strict")
    except UnicodeError:
        detail = "is not ASCII with percent-encoded UTF-8"
        raise _invalid(f"The header ce-{attribute} {detail}.", pointer=f"/{_escape(attribute)}") from None


def _data(body: bytes, content_type: str) -> Mapping[str, object]:
    """Return the data member for a body of this type: JSON unchanged, text as a string, anything else as base64."""
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if _JSON_TYPE.fullmatch(media_type):
            msgspec.json.decode(body)
            return {"data": Raw(body)}
        if media_type.startswith("text/") and "charset" not in content_type.lower().replace("charset=utf-8", ""):
            return {"data": body.decode()}
    except _PARSE_ERRORS as failure:
        raise _invalid(f"The data is not {media_type}: {_reason(failure)}.", pointer="/data") from None
    return {"data_base64": base64.b64encode(body).decode()}


def _check_limits(events: RawEvents) -> RawEvents:
    if len(events.texts) > REQUEST_EVENTS_MAX:
        raise TooLarge(f"A request holds at most {REQUEST_EVENTS_MAX} events, not {len(events.texts)}.")
    large = [index for index, text in enumerate(events.texts) if len(text) > EVENT_BYTES_MAX]
    if large:
        faults = [Fault(pointer=events.pointer(index), detail=f"is over {EVENT_BYTES_MAX} bytes") for index in large]
        raise TooLarge(f"An event has at most {EVENT_BYTES_MAX} bytes.", faults=faults)
    return events


def _invalid(detail: str, *, pointer: str = "") -> InvalidEvent:
    return InvalidEvent(detail, faults=[Fault(pointer=pointer, detail=detail)])


def _reason(failure: Exception) -> str:
    """Return the reason for a failure, without the wording of the parser."""
    match failure:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _:
            return str(failure)


def _escape(name: str) -> str:
    """Escape a member's name for a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")
