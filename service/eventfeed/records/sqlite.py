"""Approvals and the audit log in one SQLite file of their own, beside the log's.

A log can be restored from a backup; the record of its reads stays.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec

from eventfeed.domain.approval import AUDIT_ENTRIES_MAX, Approval, AuditEntry, AuditRange
from eventfeed.domain.errors import LogDamaged
from eventfeed.log.sqlite.connections import ConnectionPool, StoreConnection, transaction
from eventfeed.log.sqlite.files import StoreFiles

SCHEMA_VERSION = 1

# `valid_to` of a withdrawn approval. Its row stays, so that a later seed has no effect.
_WITHDRAWAL = -1

A = TypeVar("A", Approval, AuditEntry)


class SqliteRecords:
    """`Approvals` and `Audit` in one file. `open` it before anything else."""

    def __init__(self, path: Path) -> None:
        files = self._files = StoreFiles(path)
        pool = self._pool = ConnectionPool(files, count=1, writes=True)
        self.approval, self.approve, self.withdraw = pool.bind(_approval), pool.bind(_approve), pool.bind(_withdraw)
        self.record, self.probe = pool.bind(_record), pool.bind(_probe)
        self.organisations = pool.bind(_organisations)

    async def create(self) -> None:
        """Create the file if it does not exist, then open it."""
        await asyncio.to_thread(self._files.create)
        await self._pool.bind(_create)()
        await self.open()

    async def open(self) -> None:
        """Open a file that exists."""
        await asyncio.to_thread(self._files.require_created)
        await self._pool.bind(_open)()

    async def entries(self, bounds: AuditRange) -> AsyncIterator[AuditEntry]:
        """See `Audit.entries`."""
        after, read = 0, self._pool.bind(_entries)
        while rows := await read(bounds, after=after):
            for _, entry in rows:
                yield entry
            after, _ = rows[-1]

    async def close(self) -> None:
        """Close the file."""
        await self._pool.close()


def _create(db: StoreConnection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    with transaction(db, writes=True):
        if db.pragma("user_version") == 0:
            db.execute(resources.files(__package__).joinpath("sqlite.sql").read_text())


def _open(db: StoreConnection) -> None:
    version = db.pragma("user_version")
    if version != SCHEMA_VERSION:
        raise LogDamaged(f"The access file has layout {version}; this release reads layout {SCHEMA_VERSION}.")
    db.files.restrict()
    db.files.remember()


def _approval(db: StoreConnection, organisation: str) -> Approval | None:
    query = "SELECT approval FROM approval WHERE organisation = ? AND valid_to <> ?"
    row = db.execute(query, (organisation, _WITHDRAWAL)).fetchone()
    return None if row is None else _read(row[0], Approval)


def _approve(db: StoreConnection, approval: Approval, *, seed: bool = False) -> None:
    conflict = "NOTHING" if seed else "UPDATE SET valid_to = excluded.valid_to, approval = excluded.approval"
    statement = f"INSERT INTO approval VALUES (?, ?, ?) ON CONFLICT (organisation) DO {conflict}"  # noqa: S608  # constants
    with transaction(db, writes=True):
        db.execute(statement, (approval.organisation, approval.valid_to, msgspec.json.encode(approval)))


def _withdraw(db: StoreConnection, organisation: str) -> bool:
    statement = "UPDATE approval SET valid_to = ? WHERE organisation = ? AND valid_to <> ?"
    with transaction(db, writes=True):
        db.execute(statement, (_WITHDRAWAL, organisation, _WITHDRAWAL))
        return db.changes() > 0


def _organisations(db: StoreConnection) -> Sequence[str]:
    return [str(name) for (name,) in db.execute("SELECT organisation FROM approval ORDER BY organisation")]


def _record(db: StoreConnection, *entries: AuditEntry) -> None:
    with transaction(db, writes=True):
        db.executemany(
            "INSERT INTO audit (time, organisation, entry) VALUES (?, ?, ?)",
            [(entry.time, entry.organisation, msgspec.json.encode(entry)) for entry in entries],
        )


def _probe(db: StoreConnection) -> None:
    db.require_in_place()


def _entries(db: StoreConnection, bounds: AuditRange, *, after: int) -> Sequence[tuple[int, AuditEntry]]:
    clauses, values = ["number > ?", "time >= ?"], list[object]([after, bounds.since])
    if bounds.until is not None:
        clauses, values = [*clauses, "time < ?"], [*values, bounds.until]
    if bounds.organisation is not None:
        clauses, values = [*clauses, "organisation = ?"], [*values, bounds.organisation]
    query = f"SELECT number, entry FROM audit WHERE {' AND '.join(clauses)} ORDER BY number LIMIT ?"  # noqa: S608  # constants
    return [(number, _read(text, AuditEntry)) for number, text in db.execute(query, (*values, AUDIT_ENTRIES_MAX))]


def _read(text: bytes, kind: type[A]) -> A:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise LogDamaged(f"The access file contains an invalid record: {error}.") from None
