"""The record of a log in Cosmos DB: what of it does not age."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.log.cosmos.database import Calls, ConflictError, Document, read_until_current

# The record of both ends changes once a minute; a new name is for services that start.
RECORD_SECONDS = 30.0
# Several processes change the record; each change is small and seldom.
CHANGE_TRIES_MAX = 10
CHANGE_SECONDS = 0.1

_LOG = "log"


class LogManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What does not age: the log's name, the floor, an entry that was its end at some time, and how it is cut."""

    name: str
    log_start: int = msgspec.field(name="floor")
    position: int
    segment_entries: int
    etag: str = msgspec.field(name="_etag", default="")


class ManifestStore:
    """The record in the control container, and how it was when last read: `last`. `open` it first."""

    def __init__(self, control: Calls, *, segment_entries: int, random: Callable[[], float]) -> None:
        self._control, self._random = control, random
        self.last = LogManifest(name="", log_start=0, position=0, segment_entries=segment_entries)
        self._read = float("-inf")

    async def open(self, *, name: str) -> None:
        """Read the record, or make one under this name where there is none."""
        if await self._now() is None:
            manifest = msgspec.structs.replace(self.last, name=name)
            with contextlib.suppress(ConflictError):  # another process was faster
                await self._control.create("open", [_document(manifest)], partition=_LOG, idempotent=True)
            await read_until_current(self._now)

    async def known(self) -> LogManifest:
        """The record, some time old."""
        if asyncio.get_running_loop().time() - self._read > RECORD_SECONDS:
            await self._now()
        return self.last

    async def change(self, verb: str, changed: Callable[[LogManifest], LogManifest]) -> None:
        """Change the record as `changed` says, whoever else changes it meanwhile. Raises `Unavailable`."""
        manifest: LogManifest | None = await self.known()
        for _ in range(CHANGE_TRIES_MAX):
            if manifest is None:
                raise LogDamaged("The store has lost the record of its log's ends.")
            wanted = changed(manifest)
            if wanted == manifest:
                return
            try:
                etag = await self._control.replace(verb, _document(wanted), etag=manifest.etag)
            except ConflictError:
                await asyncio.sleep(self._random() * CHANGE_SECONDS)
                manifest = await self._now()
            else:
                self.last = msgspec.structs.replace(wanted, etag=etag)
                return
        raise Unavailable("Other processes kept changing the store's record.")

    async def _now(self) -> LogManifest | None:
        """The record as it is now; None when there is no log yet."""
        now = asyncio.get_running_loop().time()
        found = await self._control.query(
            "record",
            "SELECT c.name, c.floor, c.position, c.segment_entries, c._etag FROM c "
            "WHERE c.kind = @kind AND c.id = @kind",
            partition=_LOG,
            values={"kind": _LOG},
        )
        if not found:
            return None
        self.last, self._read = msgspec.convert(found[0], LogManifest), now
        return self.last


def _document(manifest: LogManifest) -> Document:
    members: Document = msgspec.to_builtins(manifest)
    del members["_etag"]
    return {"id": _LOG, "kind": _LOG, **members}
