"""Events in the body or headers of a publish (CloudEvents JSON format and HTTP binding 1.0.2)."""

import base64
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

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
from eventfeed.http.header_text import decode_header
from eventfeed.http.json_object import BYTE_ORDER_MARKS, PARSE_ERRORS, escape, json_fault, parse_fault, repeated_member
from eventfeed.http.response import parse_media_type

# CloudEvents JSON format 1.0.2 §3.1: the subtype is json, or ends in +json.
_JSON_TYPE = re.compile(r"[^/]+/(?:[^/]*\+)?json")
# The type of data that structured mode leaves out.
_DEFAULT_TYPE = re.compile(r'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.IGNORECASE)
# A whole value as a quoted string (RFC 7230 §3.2.6).
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


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
    """Return the events of a JSON body: an array, empty or not, if `batch`, an object if not, either if it is None.

    Raises `InvalidEvent` for anything else, `TooLarge` over the number or bytes of events.
    """
    if body.startswith(BYTE_ORDER_MARKS):
        raise _invalid(f"The body is not JSON: {json_fault(body)}.")
    body = body.strip()
    is_array = body.startswith(b"[")
    if batch is not None and batch is not is_array:
        raise _invalid(f"The body must be a JSON {'array of events' if batch else 'object'}.")
    if not is_array:
        return _check_limits(RawEvents(texts=[body], batch=False))
    try:
        texts = [bytes(text) for text in msgspec.json.decode(body, type=list[Raw])]
    except PARSE_ERRORS as failure:
        raise _invalid(f"The body is not JSON: {parse_fault(failure)}.") from None
    return _check_limits(RawEvents(texts=texts, batch=True))


def binary_event(body: bytes, headers: Iterable[tuple[str, str]]) -> RawEvents:
    """Return the event of a request in binary mode: `ce-` headers, data as the body (HTTP binding 1.0.2 §3.1)."""
    attributes: dict[str, object] = {}
    content_type, size = "", len(body)
    for name, value in headers:
        if name.startswith("ce-"):
            size += len(name) + len(value)
            attribute = name.removeprefix("ce-")
            if attribute in attributes or attribute in ("data", "data_base64", "datacontenttype"):
                raise _invalid(f"The header {name} is repeated, or not allowed.", pointer=f"/{escape(attribute)}")
            attributes[attribute] = _header_text(value, attribute)
        elif name == "content-type":
            content_type = value
    if content_type:
        attributes["datacontenttype"] = content_type
    if body:
        attributes |= _data(body, content_type)
    return _check_limits(RawEvents(texts=[msgspec.json.encode(attributes)], batch=False), sizes=[size])


def parse_events(raw: RawEvents, defaults: EventDefaults, *, from_app: bool) -> Sequence[Event]:
    """Return valid events, in order. Raises `InvalidEvent` with every fault of all of them.

    With `from_app` the source must name an instance and the subject a party, and the id may be absent.
    """
    events, faults = list[Event](), list[Fault]()
    for index, text in enumerate(raw.texts):
        pointer = raw.pointer(index)
        try:
            members = _decoder.decode(text)
            attributes = members if None not in members.values() else _without_null(members)
            content = _canonical(attributes)
            if content.needs_check(text, members=len(members)) and (repeated := repeated_member(text)):
                faults.append(Fault(pointer=f"{pointer}{repeated}", detail="is repeated (RFC 7493 §2.3)"))
                continue
            reasons = _faults(attributes, from_app=from_app)
            faults += (Fault(pointer=f"{pointer}/{escape(name)}", detail=reason) for name, reason in reasons)
            if not faults:
                events.append(_event(text, attributes, content=content.text, defaults=defaults))
        except PARSE_ERRORS as failure:
            faults.append(Fault(pointer=pointer, detail=f"is not a JSON object: {parse_fault(failure)}"))
    if faults:
        raise InvalidEvent(f"Faults found: {len(faults)}. Nothing was written.", faults=faults)
    return events


def _without_null(members: Mapping[str, object]) -> Mapping[str, object]:
    """Return the members of an event; null stands for an absent attribute (CloudEvents JSON format 1.0.2 §2.2)."""
    return {name: value for name, value in members.items() if value is not None or name == "data"}


def _faults(attributes: Mapping[str, object], *, from_app: bool) -> Sequence[tuple[str, str]]:
    if not from_app:
        return [*event_faults(attributes), *feed_faults(attributes)]
    return [*event_faults({"id": "set by the service", **attributes}), *app_event_faults(attributes)]


def _event(text: bytes, attributes: Mapping[str, object], *, content: bytes, defaults: EventDefaults) -> Event:
    """Return the event of a valid JSON object, with defaults for absent attributes."""
    members = _raw_decoder.decode(msgspec.json.format(text, indent=-1))
    if len(members) > len(attributes):
        members = {name: value for name, value in members.items() if name in attributes}
    fields = msgspec.convert(attributes, _Attributes)
    id_ = fields.id or str(defaults.new_id())
    added = {"id": id_, "time": defaults.time}
    app_source = parse_app_source(fields.source)
    if app_source:
        added |= {"resource": app_source.resource, "resourceinstance": app_source.resourceinstance}
    if defaults.traceparent:
        added["traceparent"] = defaults.traceparent
    return Event(
        identity=Identity(source=fields.source, id=id_),
        type=fields.type,
        subject=fields.subject,
        app=app_source.app if app_source else app_of(fields.resource),
        instance=app_source.instance if app_source else instance_of(fields.resourceinstance),
        resource=app_source.resource if app_source else fields.resource,
        content=hashlib.sha256(content).digest(),
        body=msgspec.json.encode(members | {name: value for name, value in added.items() if name not in members}),
        future_time=_future_time(fields.time, now=defaults.now),
    )


def _future_time(time: str | None, *, now: int) -> int | None:
    moment = None if time is None else parse_moment(time)
    return moment if moment is not None and moment > now else None


class _Content(NamedTuple):
    """An event as one text that is the same in every content mode, and the number of its members."""

    text: bytes
    members: int

    def needs_check(self, text: bytes, *, members: int) -> bool:
        """True unless it is certain that the event's JSON, with so many members, repeats none at any depth.

        A member has one colon outside of strings, and decoding keeps one member of each name. So equal numbers of
        colons prove that the JSON repeats none. An escaped colon could hide one, the spelling of a number has one that
        the JSON has not, and data in base64 may have any number.
        """
        left_out = members - self.members - self.text.count(b'{"number":"')
        is_countable = not (b"base64" in text or b"u003" in text or b"u005" in text or b"u006" in text)
        return not is_countable or text.count(b":") - left_out != self.text.count(b":")


def _canonical(attributes: Mapping[str, object]) -> _Content:
    """Return the content to compare: attributes as strings, since headers hold no others (type system of CloudEvents).

    JSON is the type of data that names none, and data is text if it can be.
    """
    values = {name: str(value) for name, value in attributes.items() if isinstance(value, int) and name != "data"}
    content = attributes if not values else {**attributes, **{name: text.lower() for name, text in values.items()}}
    content_type = attributes.get("datacontenttype")
    if isinstance(content_type, str):
        content = dict(content)
        if _DEFAULT_TYPE.fullmatch(content_type):
            del content["datacontenttype"]
        if isinstance(data := attributes.get("data_base64"), str) and "data" not in attributes:
            del content["data_base64"]
            content |= _decoded(data, content_type)
    return _Content(msgspec.json.encode(content, order="sorted"), len(content))


def _decoded(data: str, content_type: str) -> Mapping[str, object]:
    """Return the data that base64 stands for: a value of JSON, or a text."""
    try:
        octets = base64.b64decode(data, validate=True)
        if _JSON_TYPE.fullmatch(_media_type(content_type)):
            return {"data": _decoder_of_data.decode(octets)}
        return {"data": octets.decode()}
    except (*PARSE_ERRORS, ValueError):
        return {"data_base64": data}


def _keep_spelling(digits: str) -> Mapping[str, str]:
    """Return a number with a fraction as text: two numbers that a float would round to one are different content."""
    if not math.isfinite(float(digits)):
        raise msgspec.ValidationError("Number out of range")
    return {"number": digits}


_decoder = msgspec.json.Decoder(dict[str, object], float_hook=_keep_spelling)
_raw_decoder = msgspec.json.Decoder(dict[str, Raw])
_decoder_of_data = msgspec.json.Decoder(float_hook=_keep_spelling)


def _header_text(value: str, attribute: str) -> str:
    """Return a header's value: unquoted, then percent-decoded once (CloudEvents HTTP binding 1.0.2 §3.1.3.2)."""
    if quoted := _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return decode_header(value)
    except ValueError as fault:
        raise _invalid(f"The header ce-{attribute} {fault}.", pointer=f"/{escape(attribute)}") from None


def _data(body: bytes, content_type: str) -> Mapping[str, object]:
    """Return the data member for a body of this type: JSON unchanged, text as a string, anything else as base64.

    A text that would be longer than its base64, since it has many characters to escape, is base64 too.
    """
    media_type = _media_type(content_type)
    try:
        if _JSON_TYPE.fullmatch(media_type):
            if fault := json_fault(body):
                raise _invalid(f"The data is not JSON: {fault}.", pointer="/data")
            msgspec.json.decode(body)
            return {"data": Raw(body)}
        if media_type.startswith("text/") and parse_media_type(content_type) == media_type:  # no other charset
            text = body.decode()
            if len(msgspec.json.encode(text)) <= len(body) * 4 // 3 + len(body) % 3 + 4:
                return {"data": text}
    except PARSE_ERRORS as failure:
        raise _invalid(f"The data is not {media_type}: {parse_fault(failure)}.", pointer="/data") from None
    return {"data_base64": base64.b64encode(body).decode()}


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _check_limits(events: RawEvents, *, sizes: Sequence[int] | None = None) -> RawEvents:
    """Refuse too many or too large events, measured as they came."""
    if len(events.texts) > REQUEST_EVENTS_MAX:
        raise TooLarge(f"A request holds at most {REQUEST_EVENTS_MAX} events, not {len(events.texts)}.")
    large = [index for index, size in enumerate(sizes or map(len, events.texts)) if size > EVENT_BYTES_MAX]
    if large:
        faults = [Fault(pointer=events.pointer(index), detail=f"is over {EVENT_BYTES_MAX} bytes") for index in large]
        raise TooLarge(f"An event has at most {EVENT_BYTES_MAX} bytes.", faults=faults)
    return events


def _invalid(detail: str, *, pointer: str = "") -> InvalidEvent:
    return InvalidEvent(detail, faults=[Fault(pointer=pointer, detail=detail)])
