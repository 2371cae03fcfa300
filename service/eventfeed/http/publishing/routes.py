"""Publishing: app events and CloudEvents in, receipts out (contract section 4)."""

import contextlib
import functools
import re
from collections.abc import Callable, Sequence

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.errors import Failure, Fault, ForeignSource, TooLarge
from eventfeed.domain.event import REQUEST_BYTES_MAX, Event, speaks_for
from eventfeed.domain.moment import format_moment
from eventfeed.domain.ports import Clock
from eventfeed.domain.principal import SCOPE_PUBLISH_ADMIN, Publisher, require_publisher
from eventfeed.domain.publishing import Receipt, Submission
from eventfeed.http.authentication import Authenticator
from eventfeed.http.body import body_of
from eventfeed.http.publishing.cloudevents import (
    BATCHED,
    JSON,
    STRUCTURED,
    EventDefaults,
    Sent,
    binary_event,
    parse_events,
    sent,
)
from eventfeed.http.request import AnyRequest, PublicUrl, header
from eventfeed.http.response import Answer, Header
from eventfeed.http.routing import post
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader
from eventfeed.telemetry import tracing
from eventfeed.telemetry.metrics import DUPLICATES, PUBLISHED

_CHARSET = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?(?P<name>[^\s;\"]*)")


class ReceiptOnWire(msgspec.Struct, frozen=True, kw_only=True):
    """Proof of a durable write: `sequence` as 20 digits, `time` of registration."""

    id: str
    source: str
    sequence: str
    time: str
    duplicate: bool


class Publishing:
    """Takes a request's events in, whole or not at all."""

    def __init__(self, appender: Appender, *, clock: Clock, new_id: Callable[[], str]) -> None:
        self._appender, self._clock, self._new_id = appender, clock, new_id

    async def publish(
        self, publisher: Publisher, events: Sent, *, from_app: bool, traceparent: str
    ) -> Sequence[tuple[Event, Receipt]]:
        """Each event with its receipt, in order. Raises what `parse_events` and `Appender.publish` raise."""
        given = EventDefaults(new_id=self._new_id, now=self._clock(), traceparent=tracing.origin(traceparent))
        read = parse_events(events, given, from_app=from_app)
        pointers = [events.pointer(place) for place in range(len(read))]
        if not publisher.admin:
            _require_own(publisher, read, pointers=pointers)
        trace = tracing.here() if tracing.recording() else ""
        submission = Submission(events=read, pointers=pointers, admin=publisher.admin, trace=trace)
        published = list(zip(read, await self._appender.publish(submission), strict=True))
        for event, receipt in published:
            counted = DUPLICATES if receipt.duplicate else PUBLISHED
            counted.add(1, event.app.org if event.app else publisher.org or "")
        return published


def publish_routes(
    publishing: Publishing,
    reader: Reader,
    *,
    callers: Authenticator,
    addresses: PublicUrl,
) -> list[HTTPRouteHandler]:
    """The routes that publish."""

    @post("/events/api/v1/app")
    async def publish_app(request: AnyRequest) -> Response[bytes]:
        publisher, media_type = await _admitted(request, callers, form=_form_of_app_events)
        events = sent(
            await body_of(request, bytes_max=REQUEST_BYTES_MAX),
            batch=None if media_type == JSON else media_type == BATCHED,
        )
        published = await publishing.publish(publisher, events, from_app=True, traceparent=_traceparent(request))
        location = addresses.base(request) + _place_of(*published[0], log=reader.log)
        return _receipts(published, batch=events.batch, status=201, headers=[(b"location", location.encode())])

    @post("/events/api/v1/events")
    async def publish_events(request: AnyRequest) -> Response[bytes]:
        publisher, mode = await _admitted(request, callers, form=_mode)
        events = _cloud_events(request, mode, body=await body_of(request, bytes_max=REQUEST_BYTES_MAX))
        published = await publishing.publish(publisher, events, from_app=False, traceparent=_traceparent(request))
        return _receipts(published, batch=events.batch, status=200, headers=[])

    return [publish_app, publish_events]


def _mode(request: AnyRequest) -> str:
    """Structured, batched, or "" for binary: any other type beside `ce-` headers."""
    media_type = _media_type(request)
    if media_type in (STRUCTURED, BATCHED):
        return media_type
    if media_type.startswith("application/cloudevents") or not any(name.startswith("ce-") for name in request.headers):
        raise HTTPException(status_code=415)
    return ""


def _cloud_events(request: AnyRequest, mode: str, *, body: bytes) -> Sent:
    """The events of a request in structured, batched or binary mode."""
    return sent(body, batch=mode == BATCHED) if mode else binary_event(body, request.headers.multi_items())


async def _admitted(
    request: AnyRequest, callers: Authenticator, *, form: Callable[[AnyRequest], str]
) -> tuple[Publisher, str]:
    """Who publishes, and in which form.

    A refusal waits until the body is taken: a client that is still sending would lose the answer with the connection.
    """
    try:
        return require_publisher(callers.principal(request)), form(request)
    except (Failure, HTTPException):
        with contextlib.suppress(TooLarge):
            await body_of(request, bytes_max=0)
        raise


def _form_of_app_events(request: AnyRequest) -> str:
    media_type = _media_type(request)
    if media_type not in (JSON, STRUCTURED, BATCHED):
        raise HTTPException(status_code=415)
    return media_type


def _traceparent(request: AnyRequest) -> str:
    return header(request, b"traceparent") or ""


def _media_type(request: AnyRequest) -> str:
    return _read_media_type(header(request, b"content-type") or "")


@functools.lru_cache(maxsize=256)
def _read_media_type(text: str) -> str:
    """The body's type in lower case; JSON in another charset than UTF-8 is none that is read here (RFC 8259 §8.1)."""
    media_type, _, parameters = text.lower().partition(";")
    foreign = {name for name in _CHARSET.findall(parameters) if name not in ("", "utf-8", "utf8", "us-ascii")}
    return f"{media_type.strip()}; charset={foreign.pop()}" if foreign else media_type.strip()


def _require_own(publisher: Publisher, events: Sequence[Event], *, pointers: Sequence[str]) -> None:
    faults = [
        Fault(pointer=f"{pointer}/source", detail="does not belong to the token's organisation")
        for event, pointer in zip(events, pointers, strict=True)
        if not speaks_for(publisher.org, source=event.identity.source, app=event.app)
        or (event.instance is not None and event.app is None)
    ]
    if faults:
        detail = "A publisher may send events of its own organisation only."
        raise ForeignSource(detail, scope=SCOPE_PUBLISH_ADMIN, faults=faults)


def _place_of(event: Event, receipt: Receipt, *, log: str) -> str:
    """The path of a read that returns the event."""
    if event.app is None:
        raise ValueError("an app's event belongs to an app")
    before = Cursor(log=log, position=receipt.sequence - 1)
    return f"/events/api/v1/app/{event.app.org}/{event.app.name}?after={before}&size=1"


def _receipts(
    published: Sequence[tuple[Event, Receipt]],
    *,
    batch: bool,
    status: int,
    headers: Sequence[Header],
) -> Answer:
    receipts = [
        ReceiptOnWire(
            id=receipt.identity.id,
            source=receipt.identity.source,
            sequence=f"{receipt.sequence:020d}",
            time=format_moment(receipt.time),
            duplicate=receipt.duplicate,
        )
        for _, receipt in published
    ]
    body = msgspec.json.encode(receipts if batch else receipts[0])
    told = [*headers, (b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body))]
    return Answer(status, told, body=body)
