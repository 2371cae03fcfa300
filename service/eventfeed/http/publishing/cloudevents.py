"""Reading events off the wire: what the bytes of a publish mean (CloudEvents JSON format and HTTP binding 1.0.2)."""

import base64
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from eventfeed.domain.errors import Fault, InvalidEvent, TooLarge
from eventfeed.domain.event import (
    EVENT_BYTES_MAX,
    REQUEST_EVENTS_MAX,
    Event,
    Identity,
    app_event_faults,
    app_of,
    event_faults,
    implied,
    instance_of,
)
from eventfeed.domain.moment import format_moment

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
JSON = "application/json"

_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]*\+)?json|text/json")
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Sent(NamedTuple):
    """The events of a request as they stand in its body, and whether they came as an array."""

    texts: Sequence[bytes]
    batch: bool

    def pointer(self, place: int) -> str:
        """The JSON pointer (RFC 6901) of the event at this place."""
        return f"/{place}" if self.batch else ""


class EventDefaults(NamedTuple):
    """What the service gives an event that lacks it; `now` in µs since 1970, `traceparent` if there is a trace."""

    new_id: Callable[[], str]
    now: int
    traceparent: str = ""


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes that decide where an event belongs."""

    source: str
    type: str
    id: str | None = None
    subject: str | None = None
    resource: str | None = None
    resourceinstance: str | None = None


def sent(body: bytes, *, batch: bool | None) -> Sent:
    """The events of a JSON body: an array when `batch`, an object when not, either when it is None.

    Raises `InvalidEvent` when it is not what was said, `TooLarge` over the number or bytes of events.
    """
    body = body.strip()
    is_array = body.startswith(b"[")
    if batch is not None and batch is not is_array:
        raise _invalid(f"The body must be a JSON {'array of events' if batch else 'object'}.")
    if not is_array:
        return _bounded(Sent(texts=[body], batch=False))
    try:
        texts = [bytes(text) for text in msgspec.json.decode(body, type=list[Raw])]
    except _BROKEN as failure:
        raise _invalid(f"The body is no JSON: {_plain(failure)}.") from None
    if not texts:
        raise _invalid("The array holds no event.")
    return _bounded(Sent(texts=texts, batch=True))


def binary_event(body: bytes, headers: Iterable[tuple[str, str]]) -> Sent:
    """The event of a request in binary mode (CloudEvents HTTP binding 1.0.2 §3.1): `ce-` headers, data as the body."""
    attributes: dict[str, object] = {}
    content_type = ""
    for name, value in headers:
        if name.startswith("ce-"):
            attribute = name.removeprefix("ce-")
            if attribute in attributes or attribute in ("data", "data_base64", "datacontenttype"):
                raise _invalid(f"The header {name} stands twice, or is none.", pointer=f"/{_escaped(attribute)}")
            attributes[attribute] = _header_text(value, attribute)
        elif name == "content-type":
            content_type = value
    if content_type:
        attributes["datacontenttype"] = content_type
    if body:
        attributes |= _data(body, content_type)
    return _bounded(Sent(texts=[msgspec.json.encode(attributes)], batch=False))


def parse_events(events: Sent, given: EventDefaults, *, from_app: bool) -> Sequence[Event]:
    """Valid events, in order. Raises `InvalidEvent` that names every fault of all of them.

    `from_app`: an app's events, which need an instance as source and a party as subject, and may lack an id.
    """
    read, faults = list[Event](), list[Fault]()
    for place, text in enumerate(events.texts):
        try:
            attributes = _attributes(text)
            found = _faults(attributes, from_app=from_app)
            faults += (Fault(pointer=f"{events.pointer(place)}/{_escaped(name)}", detail=why) for name, why in found)
            if not faults:
                read.append(_event(text, attributes, given=given))
        except _BROKEN as failure:
            faults.append(Fault(pointer=events.pointer(place), detail=f"is no JSON object: {_plain(failure)}"))
    if faults:
        raise InvalidEvent(f"Faults found: {len(faults)}. Nothing was written.", faults=faults)
    return read


def _attributes(text: bytes) -> Mapping[str, object]:
    """The members that are there: null stands for an absent attribute (CloudEvents JSON format 1.0.2 §2.2)."""
    members = _decoder.decode(text)
    return {name: value for name, value in members.items() if value is not None or name == "data"}


def _faults(attributes: Mapping[str, object], *, from_app: bool) -> Sequence[tuple[str, str]]:
    if not from_app:
        return list(event_faults(attributes))
    return [*event_faults({"id": "given by the service", **attributes}), *app_event_faults(attributes)]


def _event(text: bytes, attributes: Mapping[str, object], *, given: EventDefaults) -> Event:
    """The event of a valid JSON object, with what it lacks filled in."""
    members = msgspec.json.decode(msgspec.json.format(text, indent=-1), type=dict[str, Raw])
    members = {name: value for name, value in members.items() if name in attributes}
    named = msgspec.convert(attributes, _Named)
    id_ = named.id or given.new_id()
    if named.id is None:
        members["id"] = Raw(msgspec.json.encode(id_))
    if "time" not in members:
        members["time"] = Raw(msgspec.json.encode(format_moment(given.now)))
    if given.traceparent and "traceparent" not in members:
        members["traceparent"] = Raw(msgspec.json.encode(given.traceparent))
    app, known = app_of(named.source, named.resource), implied(named.source)
    return Event(
        identity=Identity(source=named.source, id=id_),
        type=named.type,
        subject=named.subject,
        app=app,
        instance=instance_of(named.source, named.resourceinstance),
        resource=known.resource if known else named.resource,
        content=hashlib.sha256(msgspec.json.encode(attributes, order="sorted")).digest(),
        body=msgspec.json.encode(members),
    )


def _spelling(digits: str) -> Mapping[str, str]:
    """A number with a fraction, as it was spelled: two that a float would round to one must not count as one."""
    if not math.isfinite(float(digits)):
        raise msgspec.ValidationError("Number out of range")
    return {"number": digits}


_decoder = msgspec.json.Decoder(dict[str, object], float_hook=_spelling)


def _header_text(value: str, attribute: str) -> str:
    """A header's value, percent-decoded (CloudEvents HTTP binding 1.0.2 §3.1.3.2)."""
    try:
        return unquote(value.encode("ascii").decode(), errors="strict")
    except UnicodeError:
        detail = "is not ASCII with percent-encoded UTF-8"
        raise _invalid(f"The header ce-{attribute} {detail}.", pointer=f"/{_escaped(attribute)}") from None


def _data(body: bytes, content_type: str) -> Mapping[str, object]:
    """The data member for a body of this type: JSON as it stands, text as a string, anything else as base64."""
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if _JSON_TYPE.fullmatch(media_type):
            msgspec.json.decode(body)
            return {"data": Raw(body)}
        if media_type.startswith("text/") and "charset" not in content_type.lower().replace("charset=utf-8", ""):
            return {"data": body.decode()}
    except _BROKEN as failure:
        raise _invalid(f"The data is no {media_type}: {_plain(failure)}.", pointer="/data") from None
    return {"data_base64": base64.b64encode(body).decode()}


def _bounded(events: Sent) -> Sent:
    if len(events.texts) > REQUEST_EVENTS_MAX:
        raise TooLarge(f"A request holds at most {REQUEST_EVENTS_MAX} events, not {len(events.texts)}.")
    heavy = [place for place, text in enumerate(events.texts) if len(text) > EVENT_BYTES_MAX]
    if heavy:
        faults = [Fault(pointer=events.pointer(place), detail=f"is over {EVENT_BYTES_MAX} bytes") for place in heavy]
        raise TooLarge(f"An event has at most {EVENT_BYTES_MAX} bytes.", faults=faults)
    return events


def _invalid(detail: str, *, pointer: str = "") -> InvalidEvent:
    return InvalidEvent(detail, faults=[Fault(pointer=pointer, detail=detail)])


def _plain(failure: Exception) -> str:
    """The reason without the parser's or the codec's own wording around it."""
    match failure:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _:
            return str(failure)


def _escaped(name: str) -> str:
    """A member's name in a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")
