"""The manifest of a log in Cosmos DB: the members of a log that do not expire."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.log.cosmos.database import Calls, Document
from eventfeed.log.cosmos.retry import ConflictError, read_until_current

# The log start changes once a minute. A new name takes effect when services start.
MANIFEST_SECONDS = 30.0
# Several processes change the manifest; each change is small and rare.
CHANGE_TRIES_MAX = 10
CHANGE_SECONDS = 0.1

_LOG = "log"


class LogManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The log's name, its start, the `position` of an entry that was its end at some time, and the segment size."""

    name: str
    log_start: int = msgspec.field(name="floor")
    position: int
    segment_entries: int
    etag: str = msgspec.field(name="_etag", default="")


class ManifestStore:
    """The manifest in the control container. `latest` is the manifest as last read. `open` it first."""

    def __init__(self, control: Calls, *, segment_entries: int, random: Callable[[], float]) -> None:
        self._control, self._random = control, random
        self.latest = LogManifest(name="", log_start=0, position=0, segment_entries=segment_entries)
        self._latest_time = float("-inf")

    async def open(self, *, name: str) -> None:
        """Read the manifest, or create one with this name if there is none."""
        if await self._read() is None:
            manifest = msgspec.structs.replace(self.latest, name=name)
            with contextlib.suppress(ConflictError):  # another process was faster
                await self._control.create("open", [_document(manifest)], partition=_LOG, idempotent=True)
            await read_until_current(self._read)

    async def recent(self) -> LogManifest:
        """Return the manifest, at most `MANIFEST_SECONDS` old."""
        if asyncio.get_running_loop().time() - self._latest_time > MANIFEST_SECONDS:
            await self._read()
        return self.latest

    async def change(self, verb: str, edit: Callable[[LogManifest], LogManifest]) -> None:
        """Replace the manifest by `edit(manifest)`, while other processes may change it. Raises `Unavailable`."""
        manifest: LogManifest | None = await self.recent()
        for _ in range(CHANGE_TRIES_MAX):
            if manifest is None:
                raise LogDamaged("The store has lost the manifest of its log.")
            replacement = edit(manifest)
            if replacement == manifest:
                return
            try:
                etag = await self._control.replace(verb, _document(replacement), etag=manifest.etag)
            except ConflictError:
                await asyncio.sleep(self._random() * CHANGE_SECONDS)
                manifest = await self._read()
            else:
                self.latest = msgspec.structs.replace(replacement, etag=etag)
                return
        raise Unavailable("Other processes kept changing the manifest of the log.")

    async def _read(self) -> LogManifest | None:
        """Read the manifest; None if there is no log yet."""
        start = asyncio.get_running_loop().time()
        documents = await self._control.query(
            "record",
            "SELECT c.name, c.floor, c.position, c.segment_entries, c._etag FROM c "
            "WHERE c.kind = @kind AND c.id = @kind",
            partition=_LOG,
            values={"kind": _LOG},
        )
        if not documents:
            return None
        self.latest, self._latest_time = msgspec.convert(documents[0], LogManifest), start
        return self.latest


def _document(manifest: LogManifest) -> Document:
    members: Document = msgspec.to_builtins(manifest)
    del members["_etag"]
    return {"id": _LOG, "kind": _LOG, **members}
