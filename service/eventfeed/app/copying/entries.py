"""The entries of a log, read in large parts."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Sequence

from eventfeed.app.bulk_append import BulkAppendError, repeat
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import EventLog

# The stores in messages, as on the command line.
SOURCE, TARGET = "SOURCE", "TARGET"
# An engine returns fewer if their events fill a page.
PART_ENTRIES_MAX = 5_000


class CopyRefusedError(BulkAppendError):
    """Two stores that allow no copy. The message says why, and the way out."""


async def read_parts(log: EventLog, name: str, *, after: int, through: int) -> AsyncGenerator[Sequence[Entry], None]:
    """Yield all entries of a range of the log with this name, in order. The next part is read meanwhile.

    Raises `CopyRefusedError` if one is missing.
    """
    reading: asyncio.Task[Sequence[Entry]] | None = None
    try:
        while reading is not None or after < through:
            entries = await (reading or _read_part(log, name, after=after, through=through))
            after, reading = entries[-1].sequence, None
            if after < through:
                reading = asyncio.create_task(_read_part(log, name, after=after, through=through))
            yield entries
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read_part(log: EventLog, name: str, *, after: int, through: int) -> Sequence[Entry]:
    limit = min(PART_ENTRIES_MAX, through - after)
    entries = await repeat(functools.partial(log.follow, after=after, limit=limit))
    missing = (position for position, entry in enumerate(entries, after + 1) if entry.sequence != position)
    position = next(missing, None if entries else after + 1)
    if position is not None:
        raise CopyRefusedError(
            f"{name} has no event {position}. If its retention has just deleted it, copy into an empty store. "
            "Otherwise see `eventfeed store check`."
        )
    return entries
