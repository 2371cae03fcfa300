"""The audit log: every entry, in order, for any range."""

import asyncio

import pytest

from eventfeed.domain.approval import Audited, AuditRange
from eventfeed.domain.ports import Audit
from eventfeed.records import cosmos as cosmos_access
from eventfeed.records import sqlite as sqlite_access


def read(time: int, *, organisation: str = "310000033") -> Audited:
    """A page that was read."""
    return Audited(time=time, organisation=organisation, action="read", types=["a"], log="x", first=1, last=9, events=2)


async def listed(audit: Audit, wanted: AuditRange) -> list[Audited]:
    """Everything in a range."""
    return [entry async for entry in audit.recorded(wanted)]


async def test_an_entry_is_found_as_it_was_recorded(access: Audit) -> None:
    """Whatever it says."""
    decided = Audited(
        time=5, organisation="1", action="approve", approved="2", valid_to=7, reason="ø", types=["b", "c"]
    )
    await access.record(decided)

    assert [decided] == await listed(access, AuditRange())


@pytest.mark.parametrize(
    ("wanted", "times"),
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
async def test_a_range_is_read_in_order(
    access: Audit, monkeypatch: pytest.MonkeyPatch, wanted: AuditRange, times: list[int]
) -> None:
    """From inclusive, to exclusive, of one organisation or of all, however many steps it takes."""
    monkeypatch.setattr(sqlite_access, "AUDIT_ENTRIES_MAX", 2)
    monkeypatch.setattr(cosmos_access, "AUDIT_ENTRIES_MAX", 2)
    for time in range(1, 6):
        await access.record(read(time, organisation="other" if time == 3 else "310000033"))

    assert times == [entry.time for entry in await listed(access, wanted)]


async def test_nothing_is_lost_when_many_record_at_once(access: Audit) -> None:
    """Each entry stands there once."""
    await asyncio.gather(*(access.record(read(time)) for time in range(50)))

    assert list(range(50)) == sorted(entry.time for entry in await listed(access, AuditRange()))
