"""Hearing of changes for everyone: the reportees feed, and who is approved for it (contract sections 1 and 5, S4)."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.approval import APPROVAL_TYPES_MAX, Approval, Audited, require_approved
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.event import MARKER_TYPE
from eventfeed.domain.feed import Filter, Page, Query, ReporteeFeed
from eventfeed.domain.moment import format_moment, parse_moment
from eventfeed.domain.ports import Approvals, Audit, Clock, Register
from eventfeed.domain.principal import SCOPE_ADMIN, SCOPE_REPORTEES, Principal, require_scope
from eventfeed.http.authentication import Authenticator
from eventfeed.http.body import BODY_BYTES_MAX, body_of
from eventfeed.http.problems import trace_id
from eventfeed.http.publishing.cloudevents import JSON
from eventfeed.http.reading.feeds import subject_of, view_of
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import OF_TYPES, sent_parameters
from eventfeed.http.request import AnyRequest
from eventfeed.http.routing import delete, get, put

REASON_LETTERS_MAX = 1_000
# The last moment that has a year of four digits.
VALID_TO_MAX = 253_402_300_799_999_999

_NUMBER = re.compile(r"[0-9]{9}", re.ASCII)
_PRIVATE = {"Cache-Control": "private, no-cache"}
# The contract writes "valid-to"; JSON members here are camel case.
_MEMBERS = frozenset({"orgNumber", "types", "validTo", "valid-to", "reason"})


class ApprovalOnWire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An approval as administrators see it."""

    org_number: str
    types: Sequence[str]
    valid_to: str
    reason: str


class Reportees(NamedTuple):
    """What hearing for everyone stands on."""

    pages: Pages
    callers: Authenticator
    register: Register
    approvals: Approvals
    audit: Audit
    clock: Clock

    async def page(self, request: AnyRequest, *, principal: Principal) -> Response[bytes]:
        """A page of every party's events, on record before it is sent. Raises `NotApproved`."""
        parameters = sent_parameters(request, expected=OF_TYPES)
        organisation = principal.organisation or ""

        async def allowed() -> None:
            require_approved(await self.approvals.approval(organisation), types=parameters.types, now=self.clock())

        async def recorded(page: Page) -> None:
            await self.audit.record(self._read(request, page, query=query, organisation=organisation))

        await allowed()
        subject = await subject_of(parameters, self.register)
        query = Query(
            feed=ReporteeFeed(types=parameters.types), filter=Filter(source=parameters.source, subject=subject)
        )
        view = view_of(query, principal)._replace(allowed=allowed, recorded=recorded)
        return await self.pages.answered(request, view, parameters=parameters)

    async def decide(self, request: AnyRequest, *, principal: Principal) -> Approval:
        """Make what an administrator sent the organisation's approval, on record before it counts."""
        approval = _approval(await body_of(request, bytes_max=BODY_BYTES_MAX), organisation=_number(request))
        entry = self._entry(request, principal.organisation or "", action="approve")
        await self.audit.record(
            msgspec.structs.replace(
                entry,
                approved=approval.organisation,
                types=approval.types,
                valid_to=approval.valid_to,
                reason=approval.reason,
            )
        )
        await self.approvals.approve(approval)
        return approval

    async def withdraw(self, request: AnyRequest, *, principal: Principal) -> None:
        """Take an approval away, on record before it is gone."""
        number = _number(request)
        if await self.approvals.approval(number) is None:
            raise NotFoundException
        entry = self._entry(request, principal.organisation or "", action="withdraw")
        await self.audit.record(msgspec.structs.replace(entry, approved=number))
        await self.approvals.withdraw(number)

    def _read(self, request: AnyRequest, page: Page, *, query: Query, organisation: str) -> Audited:
        return msgspec.structs.replace(
            self._entry(request, organisation, action="read"),
            types=sorted(query.feed.types) if isinstance(query.feed, ReporteeFeed) else (),
            log=page.cursor.log,
            first=page.entries[0].sequence,
            last=page.entries[-1].sequence,
            events=len(page.entries),
            subject=query.filter.subject or "",
            source=query.filter.source or "",
        )

    def _entry(self, request: AnyRequest, organisation: str, *, action: str) -> Audited:
        return Audited(time=self.clock(), organisation=organisation, action=action, trace=trace_id(request))


def reportee_routes(reportees: Reportees) -> list[HTTPRouteHandler]:
    """The routes of S4."""

    @get("/events/api/v1/reportees")
    async def reportees_feed(request: AnyRequest) -> Response[bytes]:
        principal = reportees.callers.principal(request)
        require_scope(principal, SCOPE_REPORTEES)
        return await reportees.page(request, principal=principal)

    @get("/events/api/v1/approvals/{orgNumber:str}")
    async def approval(request: AnyRequest) -> Response[bytes]:
        require_scope(reportees.callers.principal(request), SCOPE_ADMIN)
        found = await reportees.approvals.approval(_number(request))
        if found is None:
            raise NotFoundException
        return _shown(found)

    @put("/events/api/v1/approvals/{orgNumber:str}")
    async def approve(request: AnyRequest) -> Response[bytes]:
        principal = reportees.callers.principal(request)
        require_scope(principal, SCOPE_ADMIN)
        return _shown(await reportees.decide(request, principal=principal))

    @delete("/events/api/v1/approvals/{orgNumber:str}")
    async def withdraw(request: AnyRequest) -> Response[None]:
        principal = reportees.callers.principal(request)
        require_scope(principal, SCOPE_ADMIN)
        await reportees.withdraw(request, principal=principal)
        return Response(None)

    return [reportees_feed, approval, approve, withdraw]


def _number(request: AnyRequest) -> str:
    number = str(request.path_params["orgNumber"])
    if not _NUMBER.fullmatch(number):
        fault = Fault(parameter="orgNumber", detail="must be an organisation number of 9 digits")
        raise InvalidRequest("There is no such organisation number.", faults=[fault])
    return number


def _shown(approval: Approval) -> Response[bytes]:
    wire = ApprovalOnWire(
        org_number=approval.organisation,
        types=approval.types,
        valid_to=format_moment(approval.valid_to),
        reason=approval.reason,
    )
    return Response(msgspec.json.encode(wire), media_type=JSON, headers=_PRIVATE)


class _Sent(NamedTuple):
    """An approval's body as it is read: faults gather until all of it has been looked at."""

    members: Mapping[str, object]
    faults: list[Fault]

    def types(self) -> Sequence[str]:
        """1 to 50 event types."""
        types = self.members.get("types")
        if isinstance(types, list) and types and all(isinstance(each, str) and each for each in types):
            unique = sorted({*types})
            if len(unique) <= APPROVAL_TYPES_MAX and MARKER_TYPE not in unique:
                return unique
        self._wrong("types", f"must be 1 to {APPROVAL_TYPES_MAX} event types")
        return ()

    def valid_to(self) -> int:
        """A time (µs)."""
        given = self.members.get("validTo", self.members.get("valid-to"))
        moment = parse_moment(given) if isinstance(given, str) else None
        if moment is None or not 0 <= moment <= VALID_TO_MAX:
            self._wrong("validTo", "must be a time with an offset, such as 2027-01-01T00:00:00Z (RFC 3339)")
        return moment or 0

    def reason(self) -> str:
        """Some words."""
        reason = self.members.get("reason")
        if isinstance(reason, str) and 0 < len(reason.strip()) <= REASON_LETTERS_MAX:
            return reason.strip()
        self._wrong("reason", f"must be 1 to {REASON_LETTERS_MAX} letters")
        return ""

    def require_nothing_else(self, organisation: str) -> None:
        """No member that an approval does not have, and no other organisation than the path's."""
        for name in sorted(self.members.keys() - _MEMBERS):
            self._wrong(name if name.isidentifier() else "", "is nothing that an approval has")
        if self.members.get("orgNumber", organisation) != organisation:
            self._wrong("orgNumber", "is not the one in the path")

    def _wrong(self, name: str, detail: str) -> None:
        self.faults.append(Fault(pointer=f"/{name}" if name else "", detail=detail))


def _approval(body: bytes, *, organisation: str) -> Approval:
    """The approval that a body describes. Raises `InvalidRequest` that names every fault."""
    try:
        sent = _Sent(msgspec.json.decode(body, type=dict[str, object]), [])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fault = Fault(pointer="", detail="must be a JSON object with types, validTo and reason")
        raise InvalidRequest("The body cannot be read.", faults=[fault]) from None
    sent.require_nothing_else(organisation)
    approval = Approval(organisation=organisation, types=sent.types(), valid_to=sent.valid_to(), reason=sent.reason())
    if sent.faults:
        raise InvalidRequest(f"Faults found: {len(sent.faults)}.", faults=sent.faults)
    return approval
