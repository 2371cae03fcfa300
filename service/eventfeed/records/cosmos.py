"""Approvals and the audit log in a container of their own, beside the log's.

An approval is one document. Audit entries are documents of the partition of their day, named by their time, so that a
range is read day by day in order; the days that have entries are listed in a partition as well.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from eventfeed.domain.approval import Approval, Audited, AuditRange
from eventfeed.domain.moment import format_moment
from eventfeed.log.cosmos.containers import ACCESS
from eventfeed.log.cosmos.database import Calls, ConflictError, Database, Document

# One step of reading the audit log.
AUDIT_ENTRIES_MAX = 1_000

_APPROVAL, _DAYS = "approval", "audit-days"


class CosmosAccess:
    """`Approvals` and `Audit` in one container."""

    def __init__(self, database: Database, *, new_write_id: Callable[[], str]) -> None:
        self._calls = Calls(database, ACCESS)
        self._new_write_id = new_write_id
        # The last day this process has listed.
        self._day = ""

    async def open(self) -> None:
        """See that the container is there. Raises `Unavailable`."""
        await self.approval("")

    async def close(self) -> None:
        """Nothing is held here: the database is closed by whoever opened it."""

    async def approval(self, organisation: str) -> Approval | None:
        """See `Approvals.approval`."""
        found = await self._calls.query(
            "approval",
            "SELECT c.approval FROM c WHERE c.kind = @kind AND c.id = @id AND IS_STRING(c.approval)",
            partition=_APPROVAL,
            values={"kind": _APPROVAL, "id": organisation},
        )
        return msgspec.json.decode(found[0]["approval"], type=Approval) if found else None

    async def approve(self, approval: Approval, *, seed: bool = False) -> None:
        """See `Approvals.approve`."""
        document = _decided(approval.organisation)
        document["approval"] = msgspec.json.encode(approval).decode()
        if seed:
            with contextlib.suppress(ConflictError):
                await self._calls.create("approve", [document], partition=_APPROVAL, idempotent=True)
        else:
            await self._calls.put("approve", document)

    async def withdraw(self, organisation: str) -> bool:
        """See `Approvals.withdraw`. A document without an approval stays, so that no seed brings it back."""
        had = await self.approval(organisation) is not None
        if had:
            await self._calls.put("withdraw", _decided(organisation))
        return had

    async def record(self, entry: Audited) -> None:
        """See `Audit.record`. Sending the same document again changes nothing."""
        day = format_moment(entry.time)[:10]
        if day != self._day:
            await self._calls.put("record", {"id": day, "kind": _DAYS})
            self._day = day
        document = {
            "id": f"{entry.time:020d}-{self._new_write_id()}",
            "kind": _partition(day),
            "organisation": entry.organisation,
            "entry": msgspec.json.encode(entry).decode(),
        }
        await self._calls.put("record", document)

    async def recorded(self, wanted: AuditRange) -> AsyncIterator[Audited]:
        """See `Audit.recorded`."""
        days = await self._calls.query(
            "recorded",
            "SELECT c.id FROM c WHERE c.kind = @kind ORDER BY c.id",
            partition=_DAYS,
            values={"kind": _DAYS},
        )
        for each in days:
            async for entry in self._of_day(_partition(each["id"]), wanted):
                yield entry

    async def _of_day(self, partition: str, wanted: AuditRange) -> AsyncIterator[Audited]:
        after, until = f"{wanted.since:020d}", "~" if wanted.until is None else f"{wanted.until:020d}"
        while documents := await self._step(partition, wanted.organisation, after=after, until=until):
            for document in documents:
                yield msgspec.json.decode(document["entry"], type=Audited)
            after = documents[-1]["id"]

    async def _step(self, partition: str, organisation: str | None, *, after: str, until: str) -> Sequence[Document]:
        mine = "" if organisation is None else "AND c.organisation = @organisation "
        return await self._calls.query(
            "recorded",
            f"SELECT TOP {AUDIT_ENTRIES_MAX} c.id, c.entry FROM c "  # noqa: S608  # constants
            f"WHERE c.kind = @kind AND c.id > @after AND c.id < @until {mine}ORDER BY c.id",
            partition=partition,
            values={"kind": partition, "after": after, "until": until, "organisation": organisation},
        )


def _decided(organisation: str) -> Document:
    return {"id": organisation, "kind": _APPROVAL}


def _partition(day: str) -> str:
    return f"audit-{day}"
