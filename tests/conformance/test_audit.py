"""`Audit`: every entry, in order, within any bounds."""

import asyncio

import pytest

from eventfeed.domain.approval import AuditEntry, AuditRange
from eventfeed.domain.ports import Audit
from eventfeed.records import cosmos as cosmos_records
from eventfeed.records import sqlite as sqlite_records


def read_entry(time: int, *, organisation: str = "310000033") -> AuditEntry:
    """The audit entry of a page."""
    return AuditEntry(
        time=time, organisation=organisation, action="read", types=["a"], log="x", first=1, last=9, events=2
    )


async def entries_within(audit: Audit, bounds: AuditRange) -> list[AuditEntry]:
    """Return every entry within the bounds."""
    return [entry async for entry in audit.entries(bounds)]


async def test_audit_entry_returns_as_it_was_recorded(records: Audit) -> None:
    """The entry is returned with the same members."""
    approval = AuditEntry(
        time=5, organisation="1", action="approve", approved="2", valid_to=7, reason="ø", types=["b", "c"]
    )
    await records.record(approval)

    assert [approval] == await entries_within(records, AuditRange())


@pytest.mark.parametrize(
    ("bounds", "times"),
    [
        (AuditRange(), [1, 2, 3, 4, 5]),
        (AuditRange(since=2), [2, 3, 4, 5]),
        (AuditRange(until=2), [1]),
        (AuditRange(since=2, until=4), [2, 3]),
        (AuditRange(since=9), []),
        (AuditRange(organisation="other"), [3]),
        (AuditRange(organisation="other", until=3), []),
    ],
    ids=str,
)
async def test_audit_entries_within_bounds_return_in_order(
    records: Audit, monkeypatch: pytest.MonkeyPatch, bounds: AuditRange, times: list[int]
) -> None:
    """`since` is inclusive, `until` exclusive; for one organisation or all, with any number of queries."""
    monkeypatch.setattr(sqlite_records, "AUDIT_ENTRIES_MAX", 2)
    monkeypatch.setattr(cosmos_records, "AUDIT_ENTRIES_MAX", 2)
    for time in range(1, 6):
        await records.record(read_entry(time, organisation="other" if time == 3 else "310000033"))

    assert times == [entry.time for entry in await entries_within(records, bounds)]


async def test_several_audit_entries_are_recorded_at_once(records: Audit) -> None:
    """Two of them may be equal."""
    entries = [read_entry(1), read_entry(2), read_entry(2), read_entry(3)]
    await records.record(*entries)

    assert entries == await entries_within(records, AuditRange())


async def test_concurrent_audit_entries_are_all_recorded(records: Audit) -> None:
    """Each entry is recorded once."""
    await asyncio.gather(*(records.record(read_entry(time)) for time in range(50)))

    assert list(range(50)) == sorted(entry.time for entry in await entries_within(records, AuditRange()))
