"""How each failure is told: one table from the failure tree to RFC 9457 problem details."""

import html
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

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
from eventfeed.domain.masking import masked
from eventfeed.domain.moment import format_moment
from eventfeed.http.request import PublicUrl
from eventfeed.telemetry import tracing
from eventfeed.telemetry.metrics import REFUSED

PROBLEM = "application/problem+json"
REALM = "eventfeed"

AnyRequest = Request[None, None, State]

# W3C Trace Context §3.2: version, trace id, parent id, flags.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

# Each event of a full request may have some.
FAULTS_MAX = 500

_log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """What a code stands for."""

    status: int
    title: str
    explanation: str


KINDS: Mapping[str, Kind] = {
    "invalid-request": Kind(
        400,
        "The request cannot be understood",
        "Something in the parameters or the body is wrong. `errors` names every fault at once, each with its "
        "parameter or its JSON pointer into the body. Correct them all and send the request again.",
    ),
    "invalid-event": Kind(
        400,
        "An event is not valid",
        "An event is no CloudEvent 1.0.2, or contradicts its own source. `errors` names every fault with its JSON "
        "pointer. Nothing of the request was written.",
    ),
    "invalid-cursor": Kind(
        400,
        "The cursor names no place in this feed",
        "The cursor is malformed, ahead of the log, or an event id that this feed does not hold. Use the cursor of the "
        "last page, as it stands in its `Feed-Cursor` header or its `next` link.",
    ),
    "unauthenticated": Kind(
        401,
        "A valid token is needed",
        "The request carries no token, or one that is expired or not from here. Exchange a token of Maskinporten or "
        "ID-porten at /authentication/api/v1/exchange/{provider} and send the platform token as bearer.",
    ),
    "insufficient-scope": Kind(
        403,
        "The token lacks a scope",
        "The caller is known, but its token does not carry the scope named in `scope`. Ask for a token with it.",
    ),
    "not-approved": Kind(
        403,
        "The organisation is not approved for this",
        "Events of every party are for organisations with a valid approval for every type asked for. `errors` names "
        "the types that are not covered. Whoever runs this service decides on approvals.",
    ),
    "foreign-source": Kind(
        403,
        "The source belongs to someone else",
        "A publisher may send events whose source begins with its own organisation's short name, about its own apps "
        "and their instances. `errors` names the events that are not. Nothing of the request was written.",
    ),
    "not-through-the-gateway": Kind(
        403,
        "The request came past the gateway",
        "The service answers only what its gateway hands on. Ask at its public address, which the links and the "
        "OpenAPI document name.",
    ),
    "not-found": Kind(404, "There is nothing here", "No resource has this path."),
    "method-not-allowed": Kind(405, "The method is not for this resource", "`Allow` lists the methods that are."),
    "not-acceptable": Kind(
        406,
        "The answer does not exist in a form you accept",
        "Feeds are served as application/cloudevents-batch+json, as application/json, and live as text/event-stream.",
    ),
    "event-conflict": Kind(
        409,
        "An event with this identity and other content exists",
        "`source` and `id` identify an event for good. `errors` names the events whose content differs from what was "
        "published first. Give a changed event an id of its own. Nothing of the request was written.",
    ),
    "cursor-expired": Kind(
        410,
        "The cursor is older than what is kept",
        "Events after this cursor have gone with the retention period. `oldestCursor` is where reading can start, "
        "`oldestTime` when the event there was registered. What lies between must be recovered from its owner.",
    ),
    "cursor-of-another-log": Kind(
        410,
        "The cursor belongs to another log",
        "The store was restored or replaced, and its log has another name. Start again with `from` or `after=0`.",
    ),
    "too-large": Kind(
        413,
        "The request is too large",
        "A request holds at most 100 events and 2 MiB, an event at most 64 KiB, and what is asked of a feed 16 KiB. "
        "Nothing of the request was written.",
    ),
    "unsupported-media-type": Kind(
        415,
        "The body is of a type that is not read here",
        "Publish application/json to /events/api/v1/app, and a CloudEvent structured, batched or binary to "
        "/events/api/v1/events. Ask for a feed by POST with application/json.",
    ),
    "too-many-requests": Kind(429, "Too many requests", "Wait for `Retry-After` seconds, then go on."),
    "internal": Kind(500, "A defect of ours", "The request found a defect. Tell us the `traceId`."),
    "unavailable": Kind(
        503,
        "Not now",
        "The service or something behind it cannot answer at this moment. Wait for `Retry-After` seconds and send the "
        "same request again; a publish whose events carry ids can always be repeated.",
    ),
}

# Where events are published.
PUBLISHING = frozenset({"/events/api/v1/app", "/events/api/v1/events"})

# What the framework refuses by itself.
_CODES = {
    400: "invalid-request",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
}


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


class Problems:
    """Makes problem answers for the exceptions that requests end in."""

    def __init__(self, addresses: PublicUrl) -> None:
        self._addresses = addresses

    def on_failure(self, request: AnyRequest, failure: Failure) -> Response[bytes]:
        """The answer to a failure of the tree."""
        problem = self._problem(request, failure.code, detail=masked(str(failure)))
        headers = dict[str, str]()
        match failure:
            case Unauthenticated(presented=presented):
                headers["WWW-Authenticate"] = f'Bearer realm="{REALM}"' + ', error="invalid_token"' * presented
            case Forbidden(scope=needed, faults=faults):
                scope = None if needed is None else masked(needed)
                problem = msgspec.structs.replace(problem, scope=scope, errors=_told(faults))
                asked = "" if scope is None else f', scope="{scope}"'
                headers["WWW-Authenticate"] = f'Bearer realm="{REALM}", error="insufficient_scope"{asked}'
            case CursorExpired(oldest=oldest, oldest_time=time):
                moment = None if time is None else format_moment(time)
                problem = msgspec.structs.replace(problem, oldest_cursor=oldest, oldest_time=moment)
            case Refused(faults=faults):
                problem = msgspec.structs.replace(problem, errors=_told(faults))
            case Unavailable(retry_seconds=seconds) | TooManyRequests(retry_seconds=seconds):
                headers["Retry-After"] = str(seconds)
        return _answer(problem, headers)

    def on_refusal(self, request: AnyRequest, refusal: HTTPException) -> Response[bytes]:
        """The answer to what the framework refuses: unknown paths and methods, bodies over the limit."""
        code = _CODES.get(refusal.status_code)
        if code is None:
            return self.on_defect(request, refusal)
        return _answer(self._problem(request, code, detail=KINDS[code].explanation), refusal.headers or {})

    def on_defect(self, request: AnyRequest, defect: Exception) -> Response[bytes]:
        """The answer to what should not have happened."""
        problem = self._problem(request, "internal", detail=KINDS["internal"].explanation)
        _log.error("defect in trace %s", problem.trace_id, exc_info=defect)
        return _answer(problem, {})

    def _problem(self, request: AnyRequest, code: str, *, detail: str) -> Problem:
        kind = KINDS[code]
        if request.method == "POST" and request.scope.get("path_template") in PUBLISHING:
            REFUSED.add(1, code)
        return Problem(
            type=f"{self._addresses.base(request)}/problems/{code}",
            title=kind.title,
            status=kind.status,
            detail=detail,
            code=code,
            trace_id=trace_id(request),
        )


def explanation_page(code: str) -> bytes:
    """The page that a problem's `type` leads to. Raises `KeyError` for a code that does not exist."""
    kind = KINDS[code]
    title, text = html.escape(kind.title), html.escape(kind.explanation)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>Code <code>{code}</code>, status {kind.status}.</p><p>{text}</p></html>"
    ).encode()


def _told(faults: Sequence[Fault]) -> Sequence[Fault]:
    """The first faults, as many as a person reads, and none with a person number in it."""
    told = tuple(
        Fault(
            detail=masked(fault.detail),
            parameter=None if fault.parameter is None else masked(fault.parameter),
            pointer=None if fault.pointer is None else masked(fault.pointer),
        )
        for fault in faults[:FAULTS_MAX]
    )
    return (*told, Fault(detail=f"and {len(faults) - FAULTS_MAX} more")) if len(faults) > FAULTS_MAX else told


def _answer(problem: Problem, headers: Mapping[str, str]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=PROBLEM,
        headers={**headers, "Cache-Control": "no-store"},
    )


def trace_id(request: AnyRequest) -> str:
    """The caller's trace (W3C Trace Context), or one of our own."""
    found = _TRACEPARENT.fullmatch(tracing.here() or request.headers.get("traceparent", ""))
    return found["trace"] if found else secrets.token_hex(16)
