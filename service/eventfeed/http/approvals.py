"""Approvals for the reportees feed: read, decide, withdraw; each decision is in the audit log before it counts."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

from eventfeed.domain.approval import APPROVAL_TYPES_MAX, Approval, AuditEntry
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.event import MARKER_TYPE
from eventfeed.domain.feed import Page
from eventfeed.domain.filters import is_exact
from eventfeed.domain.grammar import is_string
from eventfeed.domain.moment import format_moment, parse_moment
from eventfeed.domain.ports import Approvals, Audit, Clock
from eventfeed.domain.principal import SCOPE_ADMIN, Principal, require_scope
from eventfeed.http.authentication import Authenticator
from eventfeed.http.json_object import parse_object
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.request import BODY_BYTES_MAX, HttpRequest, delete, get, put
from eventfeed.http.response import JSON
from eventfeed.telemetry.telemetry import Telemetry

REASON_LENGTH_MAX = 1_000
# The last moment that has a year of four digits.
VALID_TO_MAX = 253_402_300_799_999_999

_NUMBER = re.compile(r"[0-9]{9}", re.ASCII)
# The contract writes "valid-to"; JSON members here are camel case.
_MEMBERS = frozenset({"orgNumber", "types", "validTo", "valid-to", "reason"})


class ApprovalResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An approval as administrators see it."""

    org_number: str
    types: Sequence[str]
    valid_to: str
    reason: str


class ApprovalServices(NamedTuple):
    """Approvals, the audit log, and the clock and traces of its entries."""

    approvals: Approvals
    audit: Audit
    clock: Clock
    telemetry: Telemetry

    def audit_entry(self, request: HttpRequest, organisation: str, *, action: str) -> AuditEntry:
        """Return an entry for the audit log about this request."""
        trace = self.telemetry.trace_id(request.fields.get("traceparent", ""))
        return AuditEntry(time=self.clock() // 1_000, organisation=organisation, action=action, trace=trace)

    async def record_page(self, entry: AuditEntry, page: Page, *, parameters: Parameters) -> None:
        """Record a page with events, with the reader in `entry`."""
        await self.audit.record(
            replace(
                entry,
                types=sorted(parameters.types),
                log=page.cursor.log,
                first=page.entries[0].sequence,
                last=page.entries[-1].sequence,
                events=len(page.entries),
                source=" ".join(sorted(parameters.sources)),
            )
        )

    async def approve(self, request: HttpRequest, approval: Approval, *, principal: Principal) -> None:
        """Record a decision, then store it."""
        entry = self.audit_entry(request, principal.organisation or "", action="approve")
        entry = replace(entry, types=approval.types, valid_to=approval.valid_to, reason=approval.reason)
        await self.audit.record(replace(entry, approved=approval.organisation))
        await self.approvals.approve(approval)

    async def withdraw(self, request: HttpRequest, number: str, *, principal: Principal) -> None:
        """Record a withdrawal, then store it."""
        entry = self.audit_entry(request, principal.organisation or "", action="withdraw")
        await self.audit.record(replace(entry, approved=number))
        await self.approvals.withdraw(number)


def approval_routes(authenticator: Authenticator, services: ApprovalServices) -> list[HTTPRouteHandler]:
    """Return the routes of approvals, for administrators."""

    @get("/events/api/v1/approvals/{orgNumber:str}")
    async def read_approval(request: HttpRequest) -> Response[bytes]:
        await _require_admin(request, authenticator)
        approval = await services.approvals.approval(_number(request))
        if approval is None:
            raise NotFoundException
        return _approval_response(approval)

    @put("/events/api/v1/approvals/{orgNumber:str}")
    async def approve(request: HttpRequest) -> Response[bytes]:
        principal = await _require_admin(request, authenticator)
        body = await request.read(bytes_max=BODY_BYTES_MAX)
        approval = _parse_approval(body, organisation=_number(request))
        await services.approve(request, approval, principal=principal)
        return _approval_response(approval)

    @delete("/events/api/v1/approvals/{orgNumber:str}")
    async def withdraw(request: HttpRequest) -> Response[None]:
        principal, number = await _require_admin(request, authenticator), _number(request)
        if await services.approvals.approval(number) is None:
            raise NotFoundException
        await services.withdraw(request, number, principal=principal)
        return Response(None, status_code=204)

    return [read_approval, approve, withdraw]


async def _require_admin(request: HttpRequest, authenticator: Authenticator) -> Principal:
    principal = await authenticator.principal(request)
    require_scope(principal, SCOPE_ADMIN)
    return principal


def _number(request: HttpRequest) -> str:
    number = str(request.path_params["orgNumber"])
    if not _NUMBER.fullmatch(number):
        fault = Fault(parameter="orgNumber", detail="must be an organisation number of 9 digits")
        raise InvalidRequest("The organisation number is not valid.", faults=[fault])
    return number


def _approval_response(approval: Approval) -> Response[bytes]:
    body = ApprovalResponse(
        org_number=approval.organisation,
        types=approval.types,
        valid_to=format_moment(approval.valid_to),
        reason=approval.reason,
    )
    return Response(msgspec.json.encode(body), media_type=JSON, headers={"Cache-Control": "private, no-cache"})


class _ApprovalBody(NamedTuple):
    """The members of an approval's body, and the faults in them so far."""

    members: Mapping[str, object]
    faults: list[Fault]

    def types(self) -> Sequence[str]:
        """Return 1 to 50 event types."""
        types = self.members.get("types")
        if isinstance(types, list) and types and all(isinstance(each, str) and _is_type(each) for each in types):
            unique = sorted({*types})
            if len(unique) <= APPROVAL_TYPES_MAX and MARKER_TYPE not in unique:
                return unique
        self._add_fault("types", f"must be 1 to {APPROVAL_TYPES_MAX} event types without wildcards")
        return ()

    def valid_to(self) -> int:
        """Return the end of the approval (µs)."""
        if {"validTo", "valid-to"} <= self.members.keys():
            self._add_fault("valid-to", "must not be combined with validTo, which has the same meaning")
        text = self.members.get("validTo", self.members.get("valid-to"))
        moment = parse_moment(text) if isinstance(text, str) else None
        if moment is None or not 0 <= moment <= VALID_TO_MAX:
            self._add_fault("validTo", "must be a time with an offset, such as 2027-01-01T00:00:00Z (RFC 3339)")
        return moment or 0

    def reason(self) -> str:
        """Return the reason."""
        reason = self.members.get("reason")
        if isinstance(reason, str) and 0 < len(reason.strip()) <= REASON_LENGTH_MAX:
            return reason.strip()
        self._add_fault("reason", f"must be 1 to {REASON_LENGTH_MAX} letters")
        return ""

    def check_members(self, organisation: str) -> None:
        """Add a fault for each unknown member, and for another organisation than the path's."""
        for name in sorted(self.members.keys() - _MEMBERS):
            self._add_fault(name, "is no member of an approval")
        if self.members.get("orgNumber", organisation) != organisation:
            self._add_fault("orgNumber", "is not the one in the path")

    def _add_fault(self, name: str, detail: str) -> None:
        self.faults.append(Fault(pointer=_pointer(name), detail=detail))


def _pointer(name: str) -> str:
    """Return the pointer to a member. A text that is no valid name is not repeated."""
    return f"/{name}" if name.isidentifier() or name in _MEMBERS else ""


def _is_type(text: str) -> bool:
    """True for a whole type, which an event can have."""
    return bool(text) and is_exact(text) and is_string(text)


def _parse_approval(body: bytes, *, organisation: str) -> Approval:
    """Return the approval in a body. Raises `InvalidRequest` with every fault."""
    try:
        members = parse_object(body)
    except ValueError as reason:
        fault = Fault(pointer="", detail=f"must be a JSON object with types, validTo and reason: {reason}")
        raise InvalidRequest("The body is not valid.", faults=[fault]) from None
    faults = [Fault(pointer=_pointer(name), detail="must not be repeated") for name in members.repeated()]
    fields = _ApprovalBody(dict(members), faults)
    fields.check_members(organisation)
    approval = Approval(
        organisation=organisation, types=fields.types(), valid_to=fields.valid_to(), reason=fields.reason()
    )
    if fields.faults:
        raise InvalidRequest(f"Faults found: {len(fields.faults)}.", faults=fields.faults)
    return approval
