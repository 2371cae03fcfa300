"""Approvals for the reportees feed, and the entries of the audit log."""

from collections.abc import Collection, Sequence

import msgspec

from eventfeed.domain.errors import Fault, NotApproved
from eventfeed.domain.filters import APP_TYPE_PREFIX

APPROVAL_TYPES_MAX = 50
# The most entries that one query of the audit log returns.
AUDIT_ENTRIES_MAX = 1_000


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The right of an organisation (9 digits) to read events of these types of every party before `valid_to` (µs)."""

    organisation: str
    types: Sequence[str]
    valid_to: int
    reason: str


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the audit log: at `time` (µs), `organisation` did `action` (`read`, `approve`, `withdraw`).

    A read has the types and filters of its request, the log, and the first and last sequence of the events sent. A
    decision on an approval has the organisation it is about and its content. `trace` is the request's trace id.
    Of another feed than that of all parties (`feed`), the reader may also be a `user` or a `system_user`.
    """

    time: int
    organisation: str
    action: str
    types: Sequence[str] = ()
    log: str = ""
    first: int = 0
    last: int = 0
    events: int = 0
    subject: str = ""
    source: str = ""
    approved: str = ""
    valid_to: int = 0
    reason: str = ""
    trace: str = ""
    feed: str = ""
    user: str = ""
    system_user: str = ""


class AuditRange(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds for audit entries: `since` <= time < `until` (µs), and of one organisation if it is set."""

    since: int = 0
    until: int | None = None
    organisation: str | None = None


def require_approval(approval: Approval | None, *, types: Collection[str], now: int) -> Approval:
    """Return the approval, if at `now` (µs) it is valid for each of these types. Raises `NotApproved`.

    An approval of `x` covers `app.x` too: apps name their types with and without it.
    """
    if approval is None:
        raise NotApproved("This organisation is not approved to read events of every party.")
    if now >= approval.valid_to:
        raise NotApproved("This organisation's approval to read events of every party has expired.")
    covered = {*approval.types, *(f"{APP_TYPE_PREFIX}{each}" for each in approval.types)}
    if missing := sorted(set(types) - covered):
        faults = [Fault(parameter="eventType", detail=f"{type_} is not covered by the approval") for type_ in missing]
        raise NotApproved("The approval does not cover every type in the request.", faults=faults)
    return approval
