"""Approvals and the audit log in the container of records, beside the log's manifest.

An approval is one document. Audit entries are documents of the partition of their month, with their time in the id, so
that a range is read month by month in order. One more partition lists the months that have entries.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import msgspec

from eventfeed.domain.approval import AUDIT_ENTRIES_MAX, Approval, AuditEntry, AuditRange
from eventfeed.domain.errors import LogDamaged
from eventfeed.domain.moment import format_moment
from eventfeed.log.cosmos.containers import RECORDS
from eventfeed.log.cosmos.database import Calls, Database, Document
from eventfeed.log.cosmos.retry import ConflictError

T = TypeVar("T")
_APPROVAL, _MONTHS = "approval", "audit-months"


class CosmosRecords:
    """`Approvals` and `Audit` in one container. `new_id` returns a unique text."""

    def __init__(self, database: Database, *, new_id: Callable[[], str]) -> None:
        self._calls = Calls(database, RECORDS)
        self._new_id = new_id
        # The last month that this process has added to the list of months.
        self._month = ""

    async def create(self) -> None:
        """Open the records: infrastructure creates the container."""
        await self.open()

    async def open(self) -> None:
        """Check that the container exists. Raises `Unavailable`."""
        await self.approval("")

    async def close(self) -> None:
        """Do nothing: the owner of the database closes it."""

    async def probe(self) -> None:
        """See `Audit.probe`. Readiness reads the log of the same database, which fails with it."""

    async def approval(self, organisation: str) -> Approval | None:
        """See `Approvals.approval`."""
        documents = await self._calls.query(
            "approval",
            "SELECT c.approval FROM c WHERE c.kind = @kind AND c.id = @id AND IS_STRING(c.approval)",
            partition=_APPROVAL,
            values={"kind": _APPROVAL, "id": organisation},
        )
        return _decode(documents[0], "approval", type_=Approval) if documents else None

    async def approve(self, approval: Approval, *, seed: bool = False) -> None:
        """See `Approvals.approve`."""
        text = msgspec.json.encode(approval).decode()
        document = {"id": approval.organisation, "kind": _APPROVAL, "approval": text}
        if seed:
            with contextlib.suppress(ConflictError):
                await self._calls.create("approve", document, idempotent=True)
        else:
            await self._calls.put("approve", document)

    async def withdraw(self, organisation: str) -> bool:
        """See `Approvals.withdraw`. A document without an approval stays, so that a later seed has no effect."""
        is_approved = await self.approval(organisation) is not None
        if is_approved:
            await self._calls.put("withdraw", {"id": organisation, "kind": _APPROVAL})
        return is_approved

    async def organisations(self) -> Sequence[str]:
        """See `Approvals.organisations`."""
        documents = await self._calls.query(
            "approval",
            "SELECT c.id FROM c WHERE c.kind = @kind",
            partition=_APPROVAL,
            values={"kind": _APPROVAL},
        )
        return sorted(document["id"] for document in documents)

    async def record(self, *entries: AuditEntry) -> None:
        """See `Audit.record`. A repeated write of the same document changes nothing."""
        for entry in entries:
            await self._record(entry)

    async def _record(self, entry: AuditEntry) -> None:
        month = _month(entry.time)
        if month != self._month:
            await self._calls.put("record", {"id": month, "kind": _MONTHS})
            self._month = month
        document = {
            "id": f"{entry.time:020d}-{self._new_id()}",
            "kind": _partition(month),
            "organisation": entry.organisation,
            "entry": msgspec.json.encode(entry).decode(),
        }
        await self._calls.put("record", document)

    async def entries(self, bounds: AuditRange) -> AsyncIterator[AuditEntry]:
        """See `Audit.entries`."""
        documents = await self._calls.query(
            "recorded",
            "SELECT c.id FROM c WHERE c.kind = @kind",
            partition=_MONTHS,
            values={"kind": _MONTHS},
        )
        first, last = _month(bounds.since), "~" if bounds.until is None else _month(bounds.until)
        for month in sorted(document["id"] for document in documents if first <= document["id"] <= last):
            async for entry in self._entries_of_month(_partition(month), bounds):
                yield entry

    async def _entries_of_month(self, partition: str, bounds: AuditRange) -> AsyncIterator[AuditEntry]:
        condition = "" if bounds.organisation is None else "AND c.organisation = @organisation "
        query = (
            f"SELECT TOP {AUDIT_ENTRIES_MAX} c.id, c.entry FROM c "  # noqa: S608  # constants
            f"WHERE c.kind = @kind AND c.id > @after AND c.id < @until {condition}ORDER BY c.id"
        )
        after, until = f"{bounds.since:020d}", "~" if bounds.until is None else f"{bounds.until:020d}"
        values = {"kind": partition, "after": after, "until": until, "organisation": bounds.organisation}
        while documents := await self._calls.query("recorded", query, partition=partition, values=values):
            for document in documents:
                yield _decode(document, "entry", type_=AuditEntry)
            values["after"] = documents[-1]["id"]


def _decode(document: Document, name: str, *, type_: type[T]) -> T:
    """Return the value in a member of a document. Raises `LogDamaged`."""
    try:
        return msgspec.json.decode(str(document.get(name)), type=type_)
    except msgspec.MsgspecError as error:
        raise LogDamaged(f"The container `records` has an invalid record: {error}.") from None


def _month(time: int) -> str:
    return format_moment(time)[:7]


def _partition(month: str) -> str:
    return f"audit-{month}"
