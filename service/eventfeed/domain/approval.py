"""Approvals: which organisations may hear of changes for every party, and the record of what they heard."""

from collections.abc import Collection, Sequence

import msgspec

from eventfeed.domain.errors import Fault, NotApproved

APPROVAL_TYPES_MAX = 50


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation (9 digits) may read events of these types, for every party, before `valid_to` (µs since 1970)."""

    organisation: str
    types: Sequence[str]
    valid_to: int
    reason: str


class Audited(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the audit log: at `time` (µs) `organisation` did `action` (`read`, `approve`, `withdraw`).

    A read names the types and filters asked for, and the first and last sequence of the events shown, in which log. A
    decision on an approval names whose it is, and what was decided. `trace` is the request's trace id.
    """

    time: int
    organisation: str
    action: str
    types: Sequence[str] = ()
    trace: str = ""
    log: str = ""
    first: int = 0
    last: int = 0
    events: int = 0
    subject: str = ""
    source: str = ""
    approved: str = ""
    valid_to: int = 0
    reason: str = ""


class AuditRange(msgspec.Struct, frozen=True, kw_only=True):
    """Entries with `since` <= time < `until` (µs), of one organisation when it is given."""

    since: int = 0
    until: int | None = None
    organisation: str | None = None


def require_approved(approval: Approval | None, *, types: Collection[str], now: int) -> None:
    """Refuse an organisation that is not approved, at `now` (µs), for every one of the types asked for."""
    if approval is None:
        raise NotApproved("This organisation is not approved to read events of every party.")
    if now >= approval.valid_to:
        raise NotApproved("This organisation's approval to read events of every party has expired.")
    if uncovered := sorted(set(types) - set(approval.types)):
        faults = [Fault(parameter="eventType", detail=f"{type_} is not covered by the approval") for type_ in uncovered]
        raise NotApproved("The approval does not cover every type asked for.", faults=faults)
