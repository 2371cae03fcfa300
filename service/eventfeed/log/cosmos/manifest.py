"""The record of a log in Cosmos DB: what of it does not age."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from eventfeed.domain.errors import LogDamaged, Unavailable
from eventfeed.log.cosmos.database import Calls, ConflictError, Document, caught_up

# The record of both ends changes once a minute; a new name is for services that start.
RECORD_SECONDS = 30.0
# Several processes change the record; each change is small and seldom.
CHANGE_TRIES_MAX = 10
CHANGE_SECONDS = 0.1

_LOG = "log"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What does not age: the log's name, the floor, an entry that was its end at some time, and how it is cut."""

    name: str
    floor: int
    position: int
    segment_entries: int
    etag: str = msgspec.field(name="_etag", default="")


class Records:
    """The record in the control container, and how it was when last read: `last`. `open` it first."""

    def __init__(self, control: Calls, *, segment_entries: int, dice: Callable[[], float]) -> None:
        self._control, self._dice = control, dice
        self.last = Record(name="", floor=0, position=0, segment_entries=segment_entries)
        self._read = float("-inf")

    async def open(self, *, name: str) -> None:
        """Read the record, or make one under this name where there is none."""
        if await self._now() is None:
            record = msgspec.structs.replace(self.last, name=name)
            with contextlib.suppress(ConflictError):  # another process was faster
                await self._control.create("open", [_document(record)], partition=_LOG, whosever=True)
            await caught_up(self._now)

    async def known(self) -> Record:
        """The record, some time old."""
        if asyncio.get_running_loop().time() - self._read > RECORD_SECONDS:
            await self._now()
        return self.last

    async def change(self, verb: str, changed: Callable[[Record], Record]) -> None:
        """Change the record as `changed` says, whoever else changes it meanwhile. Raises `Unavailable`."""
        record: Record | None = await self.known()
        for _ in range(CHANGE_TRIES_MAX):
            if record is None:
                raise LogDamaged("The store has lost the record of its log's ends.")
            wanted = changed(record)
            if wanted == record:
                return
            try:
                etag = await self._control.replace(verb, _document(wanted), etag=record.etag)
            except ConflictError:
                await asyncio.sleep(self._dice() * CHANGE_SECONDS)
                record = await self._now()
            else:
                self.last = msgspec.structs.replace(wanted, etag=etag)
                return
        raise Unavailable("Other processes kept changing the store's record.")

    async def _now(self) -> Record | None:
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
        self.last, self._read = msgspec.convert(found[0], Record), now
        return self.last


def _document(record: Record) -> Document:
    members = {name: value for name, value in msgspec.structs.asdict(record).items() if name != "etag"}
    return {"id": _LOG, "kind": _LOG, **members}
