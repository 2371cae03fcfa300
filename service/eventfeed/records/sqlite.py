"""Approvals and the audit log in one SQLite file of their own, beside the log's.

A log can be restored from a backup; what was read out of it stays on record.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from eventfeed.domain.approval import Approval, Audited, AuditRange
from eventfeed.domain.errors import LogDamaged
from eventfeed.log.sqlite.connections import Threads, transaction

SCHEMA_VERSION = 1
# One step of reading the audit log.
AUDIT_ENTRIES_MAX = 1_000

# Nobody has it: an approval that was withdrawn keeps its row, so that no seed brings it back.
_WITHDRAWN = -1

A = TypeVar("A", Approval, Audited)


class SqliteAccess:
    """`Approvals` and `Audit` in one file. `open` it before anything else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = Threads(path, count=1, writes=True)

    async def open(self) -> None:
        """Make the file where there is none."""
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        await self._threads.run(_create)

    async def approval(self, organisation: str) -> Approval | None:
        """See `Approvals.approval`."""
        return await self._threads.run(_approval, organisation)

    async def approve(self, approval: Approval, *, seed: bool = False) -> None:
        """See `Approvals.approve`."""
        await self._threads.run(_approve, approval, seed=seed)

    async def withdraw(self, organisation: str) -> bool:
        """See `Approvals.withdraw`."""
        return await self._threads.run(_withdraw, organisation)

    async def record(self, entry: Audited) -> None:
        """See `Audit.record`."""
        await self._threads.run(_record, entry)

    async def recorded(self, wanted: AuditRange) -> AsyncIterator[Audited]:
        """See `Audit.recorded`."""
        after = 0
        while rows := await self._threads.run(_recorded, wanted, after=after):
            for _, entry in rows:
                yield entry
            after, _ = rows[-1]

    async def close(self) -> None:
        """Let go of the file."""
        await self._threads.close()


def _create(db: Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    with transaction(db, writes=True):
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in resources.files(__package__).joinpath("sqlite.sql").read_text().split(";;\n"):
                db.execute(statement)
        elif version != SCHEMA_VERSION:
            raise LogDamaged(f"The access file has layout {version}; this release reads layout {SCHEMA_VERSION}.")


def _approval(db: Connection, organisation: str) -> Approval | None:
    query = "SELECT approval FROM approval WHERE organisation = ? AND valid_to <> ?"
    row = db.execute(query, (organisation, _WITHDRAWN)).fetchone()
    return None if row is None else _read(row[0], Approval)


def _approve(db: Connection, approval: Approval, *, seed: bool) -> None:
    conflict = "NOTHING" if seed else "UPDATE SET valid_to = excluded.valid_to, approval = excluded.approval"
    statement = f"INSERT INTO approval VALUES (?, ?, ?) ON CONFLICT (organisation) DO {conflict}"  # noqa: S608  # constants
    with transaction(db, writes=True):
        db.execute(statement, (approval.organisation, approval.valid_to, msgspec.json.encode(approval)))


def _withdraw(db: Connection, organisation: str) -> bool:
    statement = "UPDATE approval SET valid_to = ? WHERE organisation = ? AND valid_to <> ?"
    with transaction(db, writes=True):
        return db.execute(statement, (_WITHDRAWN, organisation, _WITHDRAWN)).rowcount > 0


def _record(db: Connection, entry: Audited) -> None:
    with transaction(db, writes=True):
        db.execute(
            "INSERT INTO audit (time, organisation, entry) VALUES (?, ?, ?)",
            (entry.time, entry.organisation, msgspec.json.encode(entry)),
        )


def _recorded(db: Connection, wanted: AuditRange, *, after: int) -> Sequence[tuple[int, Audited]]:
    clauses, values = ["number > ?", "time >= ?"], list[object]([after, wanted.since])
    if wanted.until is not None:
        clauses, values = [*clauses, "time < ?"], [*values, wanted.until]
    if wanted.organisation is not None:
        clauses, values = [*clauses, "organisation = ?"], [*values, wanted.organisation]
    query = f"SELECT number, entry FROM audit WHERE {' AND '.join(clauses)} ORDER BY number LIMIT ?"  # noqa: S608  # constants
    return [(number, _read(text, Audited)) for number, text in db.execute(query, (*values, AUDIT_ENTRIES_MAX))]


def _read(text: bytes, kind: type[A]) -> A:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as failure:
        raise LogDamaged(f"The access file holds what it should not: {failure}.") from None
