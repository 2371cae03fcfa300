"""The manifest of a log in Cosmos DB: the members of a log that do not expire."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec

from eventfeed.domain.errors import ImportUnfinished, LogDamaged, StoreUnusable, Unavailable
from eventfeed.log.cosmos.containers import description
from eventfeed.log.cosmos.database import Calls, Document
from eventfeed.log.cosmos.retry import ConflictError, read_until_current

# The log start changes once a minute. A new name takes effect when services start.
MANIFEST_SECONDS = 30.0
# Several processes change the manifest; each change is small and rare.
CHANGE_TRIES_MAX = 10
CHANGE_SECONDS = 0.1

_LOG = "log"

Natural = Annotated[int, msgspec.Meta(ge=0)]


class LogManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The log's name, its start, the `position` of an entry that was its end at some time, and the segment size.

    `created` is the time of its creation, and `retention` its shortest retention since then (µs): no entry can have
    expired sooner. `importing` is true while it takes the entries of another system or log.
    """

    name: str
    log_start: Natural
    position: Natural
    segment_entries: Annotated[int, msgspec.Meta(ge=1)]
    created: Natural
    retention: Natural
    layout: int
    importing: bool = False
    etag: str = msgspec.field(name="_etag", default="")


class ManifestStore:
    """The manifest among the records. `latest` is the manifest as last read. `open` it first."""

    def __init__(self, records: Calls, *, segment_entries: int, random: Callable[[], float]) -> None:
        self._records, self._random = records, random
        self.latest = LogManifest(
            name="",
            log_start=0,
            position=0,
            segment_entries=segment_entries,
            created=0,
            retention=0,
            layout=description().layout,
        )
        self._latest_time = float("-inf")

    async def open_existing(self) -> None:
        """Read the manifest. Raises `StoreUnusable` if there is none."""
        if await self._read() is None:
            raise StoreUnusable("The database has no log yet: `eventfeed serve` makes one.")

    def require_no_import(self) -> None:
        """Raise `ImportUnfinished` if an import into the log has begun and not ended."""
        if self.latest.importing:
            raise ImportUnfinished

    async def open(self, *, name: str, time: int, retention: int, last_position: Callable[[], Awaitable[int]]) -> None:
        """Read the manifest, or create one with this name and time if there is none. Note a shorter retention.

        Raises `LogDamaged` if there is none, but the store has entries.
        """
        if await self._read() is None:
            position = await last_position()
            if position and await self._read() is None:
                raise LogDamaged(
                    f"The store has entries up to sequence {position}, but no manifest of their log. Restore the "
                    "container `records`."
                )
            manifest = msgspec.structs.replace(self.latest, name=name, created=time, retention=retention)
            with contextlib.suppress(ConflictError):  # another process was faster
                await self._records.create("open", _document(manifest), idempotent=True)
            await read_until_current(self._read)
        await self.change("open", lambda each: msgspec.structs.replace(each, retention=min(each.retention, retention)))

    async def recent(self) -> LogManifest:
        """Return the manifest, at most `MANIFEST_SECONDS` old. Raises `LogDamaged` if it is lost."""
        if asyncio.get_running_loop().time() - self._latest_time > MANIFEST_SECONDS and await self._read() is None:
            raise _lost()
        return self.latest

    async def change(self, verb: str, edit: Callable[[LogManifest], LogManifest]) -> None:
        """Replace the manifest by `edit(manifest)`, while other processes may change it. Raises `Unavailable`."""
        manifest: LogManifest | None = await self.recent()
        for _ in range(CHANGE_TRIES_MAX):
            if manifest is None:
                raise _lost()
            replacement = edit(manifest)
            if replacement == manifest:
                return
            try:
                etag = await self._records.replace(verb, _document(replacement), etag=manifest.etag)
            except ConflictError:
                await asyncio.sleep(self._random() * CHANGE_SECONDS)
                manifest = await self._read()
            else:
                self.latest = msgspec.structs.replace(replacement, etag=etag)
                return
        raise Unavailable("Other processes kept changing the manifest of the log.")

    async def _read(self) -> LogManifest | None:
        """Read the manifest; None if there is no log yet. Raises `LogDamaged` for one that is not of this layout."""
        start = asyncio.get_running_loop().time()
        documents = await self._records.query(
            "record", "SELECT * FROM c WHERE c.kind = @kind AND c.id = @kind", partition=_LOG, values={"kind": _LOG}
        )
        if not documents:
            return None
        layout, own = documents[0].get("layout"), description().layout
        if layout != own:
            raise LogDamaged(f"The manifest of the log has layout {layout}; this release reads layout {own}.")
        try:
            self.latest, self._latest_time = msgspec.convert(documents[0], LogManifest), start
        except msgspec.ValidationError as error:
            raise LogDamaged(f"The manifest of the log is malformed: {error}.") from None
        return self.latest


def _lost() -> LogDamaged:
    return LogDamaged("The store has lost the manifest of its log. Restore the container `records`.")


def _document(manifest: LogManifest) -> Document:
    members: Document = msgspec.to_builtins(manifest)
    del members["_etag"]
    return {"id": _LOG, "kind": _LOG, **members}
