"""Problem details (RFC 9457) for every failure: one table of codes."""

import html
import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec.structs import replace

from eventfeed.domain.errors import (
    CursorExpired,
    Failure,
    Fault,
    Forbidden,
    Refused,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from eventfeed.domain.masking import mask_person_numbers
from eventfeed.domain.moment import format_moment
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.request import HttpRequest, without_body
from eventfeed.telemetry.telemetry import Telemetry

PROBLEM = "application/problem+json"
REALM = "eventfeed"
# Each event of a full request may have some.
FAULTS_MAX = 500
# The routes that publish.
PUBLISHING = frozenset({"/events/api/v1/app", "/events/api/v1/events"})

_log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """The status, title and explanation of a code."""

    status: int
    title: str
    explanation: str


KINDS: Mapping[str, Kind] = {
    "invalid-request": Kind(
        400,
        "Invalid request",
        "The parameters or the body are invalid. `errors` lists every fault, each with its parameter or its JSON "
        "pointer into the body. Correct them all and send the request again.",
    ),
    "invalid-event": Kind(
        400,
        "Invalid event",
        "An event is not a valid CloudEvent 1.0.2, or contradicts its own source. `errors` lists every fault with its "
        "JSON pointer. Nothing was written.",
    ),
    "invalid-cursor": Kind(
        400,
        "Invalid cursor",
        "The cursor is malformed, ahead of the log, or an event id that this feed does not have. Use the cursor of the "
        "last page, from its `Feed-Cursor` header or its `next` link.",
    ),
    "unauthenticated": Kind(
        401,
        "A valid token is required",
        "The request has no token, or one that has expired or was not issued here. Exchange a token of Maskinporten or "
        "ID-porten at /authentication/api/v1/exchange/{provider} and send the platform token as bearer. If `detail` "
        "names the header PlatformAccessToken, get a new token of the app.",
    ),
    "insufficient-scope": Kind(
        403,
        "The token lacks a scope",
        "The token does not have the scope named in `scope`. Request a token with it. Scopes of a system user count "
        "only for feeds of resources: they were granted to the vendor of its system.",
    ),
    "not-approved": Kind(
        403,
        "The organisation is not approved",
        "To read events of every party, an organisation needs a valid approval for every type in the request. `errors` "
        "lists the types without one. The operator of this service decides on approvals.",
    ),
    "foreign-source": Kind(
        403,
        "The event belongs to another publisher",
        "A publisher may send events about its own organisation's apps and their instances, whose source begins with "
        "its short name, and events of resources that it owns or is permitted to publish. The token of an app "
        "permits events of that app. `errors` lists the other events. Nothing was written.",
    ),
    "not-through-the-gateway": Kind(
        403,
        "The request bypassed the gateway",
        "The service accepts only requests from its gateway. Use its public address, which links and the OpenAPI "
        "document contain.",
    ),
    "not-found": Kind(404, "Not found", "No resource has this path."),
    "method-not-allowed": Kind(
        405, "Method not allowed", "The resource does not support this method. `Allow` lists its methods."
    ),
    "not-acceptable": Kind(
        406,
        "Not acceptable",
        "Feeds are available as application/cloudevents-batch+json, as application/json, and as text/event-stream.",
    ),
    "event-conflict": Kind(
        409,
        "The event exists with other content",
        "`source` and `id` identify an event. `errors` lists the events whose content differs from the first publish. "
        "Give a changed event a new id. Nothing was written.",
    ),
    "cursor-expired": Kind(
        410,
        "The cursor has expired",
        "The events after this cursor are older than the retention period. Reading can start at `oldestCursor`, where "
        "the event was registered at `oldestTime`. Recover the events before it from their owner.",
    ),
    "cursor-of-another-log": Kind(
        410,
        "The cursor belongs to another log",
        "The store was restored or replaced, and its log has another name. Start again with `from` or `after=0`.",
    ),
    "too-large": Kind(
        413,
        "The request is too large",
        "A publish holds at most 100 events and 2 MiB, an event at most 64 KiB, and other bodies at most 16 KiB. "
        "Nothing was written.",
    ),
    "url-too-long": Kind(
        414,
        "The URL is too long",
        "Path and query have at most 16 KiB together. Ask for fewer types or sources, or use several requests.",
    ),
    "unsupported-media-type": Kind(
        415,
        "Unsupported media type",
        "Publish application/json to /events/api/v1/app, and CloudEvents in structured, batched or binary mode to "
        "/events/api/v1/events. Read a feed by POST with application/json. A body may be coded with gzip only.",
    ),
    "too-many-requests": Kind(429, "Too many requests", "Wait for `Retry-After` seconds, then try again."),
    "header-too-large": Kind(
        431,
        "A header is too large",
        "Accept, Accept-Encoding and Content-Type have at most 8 KiB each.",
    ),
    "internal": Kind(500, "Internal error", "The service failed. Report the `traceId` to its operator."),
    "unavailable": Kind(
        503,
        "Temporarily unavailable",
        "The service, or another service that it depends on, does not respond. Wait for `Retry-After` seconds and send "
        "the same request again. A publish whose events have ids can always be repeated; unless `detail` ends with "
        "'Nothing was written.', some of its events may be stored.",
    ),
}

# Refusals of the framework.
_CODES = {
    400: "invalid-request",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    414: "url-too-long",
    415: "unsupported-media-type",
    431: "header-too-large",
}


# A word of an explanation that is code.
_CODE = re.compile("`([^`]+)`")
# Of the framework's refusals, it is the only one with status 400.
_INVALID_HOST = Fault(parameter="host", detail="must be a host name or an address, perhaps with a port (RFC 9110 §7.2)")


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Problem details (RFC 9457 §3.1) with our extensions."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    errors: Sequence[Fault] = ()
    scope: str | None = None
    oldest_cursor: str | None = None
    oldest_time: str | None = None


class _AfterBody:
    """An ASGI application that sends a response once the body of the request has been read, to HEAD without its own."""

    def __init__(self, request: HttpRequest, response: ASGIApp) -> None:
        self._request, self._response = request, response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._request.drain()
        await self._response(scope, receive, without_body(send) if self._request.method == "HEAD" else send)


class ProblemResponse(Response[bytes]):
    """A problem: a client that is still sending its body would lose it, so it comes after that."""

    def to_asgi_response(self, app: Any, request: HttpRequest, **options: Any) -> ASGIApp:  # type: ignore[override]
        """Return the ASGI application that sends the response."""
        return _AfterBody(request, super().to_asgi_response(app, request, **options))


class Problems:
    """Builds the responses for exceptions."""

    def __init__(self, public_url: PublicUrl, telemetry: Telemetry) -> None:
        self._public_url, self._telemetry = public_url, telemetry

    def on_failure(self, request: HttpRequest, failure: Failure) -> Response[bytes]:
        """Return the response for a failure of the tree."""
        problem = self._problem(request, failure.code, detail=mask_person_numbers(str(failure)))
        headers = dict[str, str]()
        match failure:
            case Unauthenticated(has_token=has_token):
                headers["WWW-Authenticate"] = f'Bearer realm="{REALM}"' + ', error="invalid_token"' * has_token
            case Forbidden(scope=missing, faults=faults):
                scope = None if missing is None else mask_person_numbers(missing)
                problem = replace(problem, scope=scope, errors=_mask_faults(faults))
                parameter = "" if scope is None else f', scope="{scope}"'
                headers["WWW-Authenticate"] = f'Bearer realm="{REALM}", error="insufficient_scope"{parameter}'
            case CursorExpired(oldest=oldest, oldest_time=time):
                oldest_time = None if time is None else format_moment(time)
                problem = replace(problem, oldest_cursor=oldest, oldest_time=oldest_time)
            case Refused(faults=faults):
                problem = replace(problem, errors=_mask_faults(faults))
            case Unavailable(retry_seconds=seconds) | TooManyRequests(retry_seconds=seconds):
                headers["Retry-After"] = str(seconds)
        return _response(problem, headers)

    def on_refusal(self, request: HttpRequest, refusal: HTTPException) -> Response[bytes]:
        """Return the response for a refusal of the framework: unknown paths and methods, bodies over the limit.

        It comes before the checks of a route, so it makes them.
        """
        try:
            request.check()
        except Failure as failure:
            return self.on_failure(request, failure)
        except HTTPException as other:
            refusal = other
        code = _CODES.get(refusal.status_code)
        if code is None:
            return self.on_defect(request, refusal)
        problem = self._problem(request, code, detail=KINDS[code].explanation)
        if problem.status == HTTPStatus.BAD_REQUEST:
            problem = replace(problem, detail="The Host header is not valid.", errors=[_INVALID_HOST])
        headers = refusal.headers or {}
        if "allow" in headers:  # in the order of the response to OPTIONS
            headers = {**headers, "allow": ", ".join(sorted(headers["allow"].split(", ")))}
        return _response(problem, headers)

    def on_defect(self, request: HttpRequest, defect: Exception) -> Response[bytes]:
        """Return the response for an unexpected exception, and log it."""
        problem = self._problem(request, "internal", detail=KINDS["internal"].explanation)
        _log.error("defect in trace %s", problem.trace_id, exc_info=defect)
        return _response(problem, {})

    def _problem(self, request: HttpRequest, code: str, *, detail: str) -> Problem:
        kind = KINDS[code]
        if request.method == "POST" and request.scope.get("path_template") in PUBLISHING:
            self._telemetry.publish_refused(code)
        return Problem(
            type=f"{self._public_url.base(request.host)}/problems/{code}",
            title=kind.title,
            status=kind.status,
            detail=detail,
            code=code,
            trace_id=self._telemetry.trace_id(request.fields.get("traceparent", "")),
        )


def explanation_page(code: str) -> bytes:
    """Return the page behind a problem's `type`. Raises `KeyError` for an unknown code."""
    kind = KINDS[code]
    title, text = html.escape(kind.title), _CODE.sub(r"<code>\1</code>", html.escape(kind.explanation))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>Code <code>{code}</code>, status {kind.status}.</p><p>{text}</p></html>"
    ).encode()


def _mask_faults(faults: Sequence[Fault]) -> Sequence[Fault]:
    """Return the first `FAULTS_MAX` faults without person numbers."""
    masks = tuple(
        Fault(
            detail=mask_person_numbers(fault.detail),
            parameter=None if fault.parameter is None else mask_person_numbers(fault.parameter),
            pointer=None if fault.pointer is None else mask_person_numbers(fault.pointer),
        )
        for fault in faults[:FAULTS_MAX]
    )
    return (*masks, Fault(detail=f"and {len(faults) - FAULTS_MAX} more")) if len(faults) > FAULTS_MAX else masks


def _response(problem: Problem, headers: Mapping[str, str]) -> Response[bytes]:
    return ProblemResponse(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=PROBLEM,
        headers={**headers, "Cache-Control": "no-store"},
    )
