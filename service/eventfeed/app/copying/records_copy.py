"""The copy of approvals and of the audit log."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from eventfeed.app.copying.entries import TARGET, CopyRefusedError
from eventfeed.domain.approval import Approval, AuditEntry, AuditRange
from eventfeed.domain.moment import DAY
from eventfeed.domain.ports import Approvals, Audit

# Entries of the audit log that are written at once.
WRITE_ENTRIES = 100


class Records(Approvals, Audit, Protocol):
    """Approvals and the audit log of one store."""


class RecordCounts(NamedTuple):
    """The organisations with a decision, and the entries of the audit log."""

    organisations: int
    entries: int


async def copy_records(source: Records, target: Records) -> RecordCounts:
    """Copy decisions and entries that the target lacks; return the numbers of the source.

    Raises `CopyRefusedError` if the target has entries of its own: its decisions may then be newer.
    """
    days = await _count_by_day(source)
    if await _count_by_day(target) - days:
        raise _used()
    for day in sorted(days):
        missing = await _missing_entries(source, target, bounds=AuditRange(since=day * DAY, until=(day + 1) * DAY))
        for first in range(0, len(missing), WRITE_ENTRIES):
            await target.record(*missing[first : first + WRITE_ENTRIES])
    organisations = await source.organisations()
    for organisation in organisations:
        await _copy_decision(source, target, organisation=organisation)
    return RecordCounts(len(organisations), days.total())


async def _count_by_day(audit: Audit) -> Counter[int]:
    return Counter([entry.time // DAY async for entry in audit.entries(AuditRange())])


async def _missing_entries(source: Audit, target: Audit, *, bounds: AuditRange) -> Sequence[AuditEntry]:
    """Return the entries that only the source has. Two entries may be equal."""
    counts = Counter([msgspec.json.encode(entry) async for entry in target.entries(bounds)])
    missing = list[AuditEntry]()
    async for entry in source.entries(bounds):
        text = msgspec.json.encode(entry)
        if counts[text]:
            counts[text] -= 1
        else:
            missing.append(entry)
    if counts.total():
        raise _used()
    return missing


async def _copy_decision(source: Approvals, target: Approvals, *, organisation: str) -> None:
    approval = await source.approval(organisation)
    if approval is None:
        # A withdrawal stays in the store as a decision only if it follows an approval.
        approval = Approval(organisation=organisation, types=(), valid_to=0, reason="")
        await target.approve(approval)
        await target.withdraw(organisation)
    else:
        await target.approve(approval)


def _used() -> CopyRefusedError:
    return CopyRefusedError(
        f"The audit log of {TARGET} has entries that SOURCE lacks: a service has used it. Copy into an empty store."
    )
