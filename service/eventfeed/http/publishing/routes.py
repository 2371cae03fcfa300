"""Publishing: app events and CloudEvents in, receipts out (contract section 4)."""

from collections.abc import Callable, Sequence

import msgspec
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from eventfeed.access.parties import Parties
from eventfeed.access.publishers import Publishers
from eventfeed.domain.app_source import may_publish
from eventfeed.domain.cloudevents import REQUEST_BYTES_MAX
from eventfeed.domain.errors import Fault, ForeignSource
from eventfeed.domain.event import App, Event
from eventfeed.domain.moment import format_moment
from eventfeed.domain.party import PREFIX
from eventfeed.domain.ports import Clock
from eventfeed.domain.principal import SCOPE_PUBLISH_ADMIN, Principal, require_publisher
from eventfeed.domain.publishing import Receipt, Submission
from eventfeed.http.authentication import Authenticator
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.publishing.cloudevents import EventDefaults, RawEvents, binary_event, json_events, parse_events
from eventfeed.http.request import HttpRequest, post
from eventfeed.http.response import CLOUDEVENT, CLOUDEVENT_BATCH, JSON, BytesResponse, Header
from eventfeed.identity.app_tokens import AppTokens
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.telemetry.telemetry import Telemetry

_FOREIGN_RESOURCE = "belongs to another organisation, and the decision point does not permit to publish"
_FOREIGN_INSTANCE = "names an instance, but neither source nor resource names its app"
_UNREADABLE = "has no owner in the register, and the subject no party, so that nobody could read the event"


class ReceiptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Proof of a durable write: `sequence` as 20 digits, `time` of registration."""

    id: str
    source: str
    sequence: str
    time: str
    duplicate: bool


class Publisher:
    """The caller of a publish, and the app whose token the request carries in the header PlatformAccessToken, if any.

    The token is verified when the caller's own scopes are not enough.
    """

    def __init__(self, principal: Principal, *, app_tokens: AppTokens | None, app_token: str | None) -> None:
        self.principal = principal
        self._app_tokens, self._app_token = app_tokens, app_token
        self._app: App | None = None

    async def app(self) -> App | None:
        """Return the app, None without a token or without keys of apps. Raises as `AppTokens.app` does."""
        if self._app is None and self._app_tokens is not None and self._app_token is not None:
            self._app = await self._app_tokens.app(self._app_token)
        return self._app


class Publishing:
    """Publishes the events of a request, all of them or none."""

    def __init__(
        self,
        appender: Appender,
        parties: Parties,
        *,
        publishers: Publishers,
        clock: Clock,
        new_id: Callable[[], object],
        telemetry: Telemetry,
    ) -> None:
        self._appender, self._parties, self._publishers = appender, parties, publishers
        self._clock, self._new_id, self._telemetry = clock, new_id, telemetry

    async def publish(
        self, publisher: Publisher, raw: RawEvents, *, from_app: bool, traceparent: str
    ) -> Sequence[tuple[Event, Receipt]]:
        """Return each event with its receipt, in order. Raises what its steps raise."""
        if not raw.texts:
            return ()
        principal, telemetry = publisher.principal, self._telemetry
        origin, trace = telemetry.event_traceparent(traceparent), telemetry.request_traceparent()
        now = self._clock() // 1_000
        defaults = EventDefaults(new_id=self._new_id, now=now, time=format_moment(now), traceparent=origin)
        pointers, events = raw.pointers(), parse_events(raw, defaults, from_app=from_app)
        if not principal.is_publish_admin:
            await _require_own_apps(publisher, events, pointers=pointers)
        if any(event.subject and not event.subject.startswith(PREFIX) for event in events):
            events = await self._parties.resolve(events)
        if any(event.app is None for event in events):
            await self._require_resources(principal, events, pointers=pointers)
        if self._publishers.rate is not None:
            self._publishers.count_events(principal, events)
        submission = Submission(events=events, pointers=pointers, admin=principal.is_publish_admin, traceparent=trace)
        receipts = list(zip(events, await self._appender.publish(submission), strict=True))
        for event, receipt in receipts:
            org = event.app.org if event.app else principal.org or ""
            telemetry.event_published(org, is_duplicate=receipt.duplicate)
        return receipts

    async def _require_resources(
        self, publisher: Principal, events: Sequence[Event], *, pointers: Sequence[str]
    ) -> None:
        """Refuse events of no app without a right to their resource, or with an instance.

        Those of an administrator are refused if nobody could read them.
        """
        others = [(event, pointer) for event, pointer in zip(events, pointers, strict=True) if event.app is None]
        rights = await self._publishers.may_publish(publisher, [event for event, _ in others])
        faults = list[Fault]()
        for (event, pointer), has_right in zip(others, rights, strict=True):
            if not has_right:
                detail = _UNREADABLE if publisher.is_publish_admin else _FOREIGN_RESOURCE
                faults.append(Fault(pointer=f"{pointer}/resource", detail=detail))
            if event.instance is not None and not publisher.is_publish_admin:
                faults.append(Fault(pointer=f"{pointer}/resourceinstance", detail=_FOREIGN_INSTANCE))
        if faults:
            detail = "A publisher may send events of its own resources, and of those that it is permitted to publish."
            raise ForeignSource(detail, scope=SCOPE_PUBLISH_ADMIN, faults=faults)


def publish_routes(
    publishing: Publishing,
    tail: Tail,
    *,
    authenticator: Authenticator,
    app_tokens: AppTokens | None,
    public_url: PublicUrl,
) -> list[HTTPRouteHandler]:
    """Return the routes that publish. Without `app_tokens` the tokens of apps are not read."""

    async def admit(request: HttpRequest) -> Publisher:
        principal = await authenticator.principal(request)
        app_token = request.fields.get("platformaccesstoken")
        publisher = Publisher(principal, app_tokens=app_tokens, app_token=app_token)
        if not principal.is_publisher and await publisher.app() is None:
            require_publisher(principal)
        return publisher

    @post("/events/api/v1/app")
    async def publish_app_events(request: HttpRequest) -> BytesResponse:
        publisher, media_type = await admit(request), _app_media_type(request)
        body = await request.read(bytes_max=REQUEST_BYTES_MAX)
        raw = json_events(body, batch=None if media_type == JSON else media_type == CLOUDEVENT_BATCH)
        if not raw.texts:
            return _receipt_response((), batch=True, status=200, headers=[])
        receipts = await publishing.publish(publisher, raw, from_app=True, traceparent=_traceparent(request))
        location = public_url.base(request.host) + _location(*receipts[0], log=tail.head.log)
        return _receipt_response(receipts, batch=raw.batch, status=201, headers=[(b"location", location.encode())])

    @post("/events/api/v1/events")
    async def publish_events(request: HttpRequest) -> BytesResponse:
        publisher, mode = await admit(request), _mode(request)
        body = await request.read(bytes_max=REQUEST_BYTES_MAX)
        headers = request.headers.multi_items()
        raw = json_events(body, batch=mode == CLOUDEVENT_BATCH) if mode else binary_event(body, headers)
        receipts = await publishing.publish(publisher, raw, from_app=False, traceparent=_traceparent(request))
        return _receipt_response(receipts, batch=raw.batch, status=200, headers=[])

    return [publish_app_events, publish_events]


def _mode(request: HttpRequest) -> str:
    """Return the media type of structured or batched mode, or "" for binary: any other type with `ce-` headers."""
    media_type = request.media_type
    if media_type in (CLOUDEVENT, CLOUDEVENT_BATCH):
        return media_type
    if media_type.startswith("application/cloudevents") or not any(name.startswith("ce-") for name in request.headers):
        raise HTTPException(status_code=415)
    return ""


def _app_media_type(request: HttpRequest) -> str:
    media_type = request.media_type
    if media_type not in (JSON, CLOUDEVENT, CLOUDEVENT_BATCH):
        raise HTTPException(status_code=415)
    return media_type


def _traceparent(request: HttpRequest) -> str:
    return request.fields.get("traceparent", "")


async def _require_own_apps(publisher: Publisher, events: Sequence[Event], *, pointers: Sequence[str]) -> None:
    """Refuse events of apps that neither the caller's scope nor its app token permits, and others without a scope."""
    principal = publisher.principal
    foreign = [
        (event, pointer)
        for event, pointer in zip(events, pointers, strict=True)
        if not (principal.is_publisher and (event.app is None or _is_of_organisation(event, principal.org)))
    ]
    if not foreign:
        return
    if (app := await publisher.app()) is not None:
        foreign = [each for each in foreign if each[0].app != app or not _is_of_organisation(each[0], app.org)]
    if foreign:
        raise _foreign_source([pointer for _, pointer in foreign], app)


def _is_of_organisation(event: Event, org: str | None) -> bool:
    return event.app is not None and may_publish(org, source=event.identity.source, app=event.app)


def _foreign_source(pointers: Sequence[str], app: App | None) -> ForeignSource:
    if app is None:
        detail, reason = "A publisher may send events of its own organisation's apps only.", "the token's organisation"
    else:
        name = f"the app {app.org}/{app.name}"
        detail, reason = f"The token in the header PlatformAccessToken permits events of {name} only.", name
    faults = [Fault(pointer=f"{pointer}/source", detail=f"does not belong to {reason}") for pointer in pointers]
    return ForeignSource(detail, scope=SCOPE_PUBLISH_ADMIN, faults=faults)


def _location(event: Event, receipt: Receipt, *, log: str) -> str:
    """Return the path of a read that returns the event."""
    if event.app is None:
        raise ValueError("an app's event belongs to an app")
    return f"/events/api/v1/app/{event.app.org}/{event.app.name}?after={log}.{receipt.sequence - 1}&size=1"


def _receipt_response(
    receipts: Sequence[tuple[Event, Receipt]], *, batch: bool, status: int, headers: Sequence[Header]
) -> BytesResponse:
    responses = [
        ReceiptResponse(
            id=receipt.identity.id,
            source=receipt.identity.source,
            sequence=f"{receipt.sequence:020d}",
            time=format_moment(receipt.time),
            duplicate=receipt.duplicate,
        )
        for _, receipt in receipts
    ]
    body = msgspec.json.encode(responses if batch else responses[0])
    content = [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body))]
    return BytesResponse(status, [*headers, *content], body=body)
