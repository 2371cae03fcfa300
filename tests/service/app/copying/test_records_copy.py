"""The copy of approvals and of the audit log."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from eventfeed.app.copying import records_copy
from eventfeed.app.copying.entries import CopyRefusedError
from eventfeed.app.copying.records_copy import copy_records
from eventfeed.domain.approval import Approval, AuditEntry, AuditRange
from eventfeed.domain.moment import DAY
from eventfeed.records.sqlite import SqliteRecords

BANK, BAKERY = "310000033", "310000011"


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[SqliteRecords]:
    """Records with an approval, a withdrawal, and entries of three days, two of them equal."""
    records = SqliteRecords(tmp_path / "source.access.db")
    await records.create()
    await records.approve(approval(BANK))
    await records.approve(approval(BAKERY))
    await records.withdraw(BAKERY)
    await records.record(*[audit_entry(time) for time in (5, 6, 6, DAY, 3 * DAY, 3 * DAY + 1)])
    yield records
    await records.close()


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SqliteRecords]:
    """Empty records."""
    records = SqliteRecords(tmp_path / "target.access.db")
    await records.create()
    yield records
    await records.close()


def approval(organisation: str, *, reason: str = "case 1") -> Approval:
    """An approval of an organisation."""
    return Approval(organisation=organisation, types=["a"], valid_to=2**50, reason=reason)


def audit_entry(time: int) -> AuditEntry:
    """The entry of a page."""
    return AuditEntry(time=time, organisation=BANK, action="read", types=["a"], log="x", first=1, last=9, events=2)


async def audit_entries(records: SqliteRecords) -> Sequence[AuditEntry]:
    """Return every entry of the audit log."""
    return [entry async for entry in records.entries(AuditRange())]


async def test_records_are_copied_whole(source: SqliteRecords, target: SqliteRecords) -> None:
    """Entries stay in order, and a withdrawal stays a decision that no seed replaces."""
    counts = await copy_records(source, target)
    await target.approve(approval(BAKERY), seed=True)

    assert (2, 6) == counts
    assert await audit_entries(source) == await audit_entries(target)
    assert approval(BANK) == await target.approval(BANK)
    assert await target.approval(BAKERY) is None


async def test_repeated_copy_adds_what_the_source_got_since(source: SqliteRecords, target: SqliteRecords) -> None:
    """Newer decisions replace older ones, and no entry is recorded twice."""
    await copy_records(source, target)
    await source.approve(approval(BANK, reason="case 2"))
    await source.approve(approval(BAKERY, reason="case 3"))
    await source.record(audit_entry(3 * DAY + 1), audit_entry(5 * DAY))

    counts = await copy_records(source, target)

    assert (2, 8) == counts
    assert await audit_entries(source) == await audit_entries(target)
    assert ["case 2", "case 3"] == [each.reason for name in (BANK, BAKERY) if (each := await target.approval(name))]


@pytest.mark.parametrize("stored", range(7))
async def test_interrupted_copy_goes_on(
    source: SqliteRecords, target: SqliteRecords, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    """The entries that are in the target are not recorded again."""
    monkeypatch.setattr(records_copy, "WRITE_ENTRIES", 2)
    await target.record(*(await audit_entries(source))[:stored])

    await copy_records(source, target)

    assert await audit_entries(source) == await audit_entries(target)


@pytest.mark.parametrize("time", [1, 5, DAY + 5, 9 * DAY])
async def test_target_with_entries_of_its_own_is_refused(
    source: SqliteRecords, target: SqliteRecords, time: int
) -> None:
    """A service has used it, so its decisions may be newer: they stay."""
    await copy_records(source, target)
    await target.record(audit_entry(time))
    await target.withdraw(BANK)
    await source.record(audit_entry(9 * DAY + 1))

    with pytest.raises(CopyRefusedError, match="audit log of TARGET has entries that SOURCE lacks"):
        await copy_records(source, target)
    assert await target.approval(BANK) is None
