"""The copy of a log: positions, times, write ids and bodies stay, and so do the log's name and start.

So every cursor of a consumer stays valid. The end of the target says where an interrupted copy goes on.
"""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from eventfeed.app.bulk_append import EMPTY, BulkAppend
from eventfeed.app.copying.entries import SOURCE, TARGET, CopyRefusedError, read_parts
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import EventLog, Head, ImportLog

# Bodies and digests are in base64.
_ENCODER = msgspec.json.Encoder()


class LogCopy:
    """A copy of `source` through its present end. Call `start`, then use `steps`, then `comparison`."""

    def __init__(self, source: EventLog, target: ImportLog) -> None:
        self._source, self._target = source, target
        self.head = self._target_head = EMPTY
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 of the entries compared so far: the same for the same entries in any store."""
        return self._digest.hexdigest()

    async def start(self) -> int:
        """Return the number of entries to copy. Raises `CopyRefusedError`."""
        source, target = await self._source.head(), await self._target.head()
        self.head, self._target_head = source, target
        if _is_empty(target):
            return source.end_offset - source.log_start
        _require_part(source, target)
        await self._compare(after=max(source.log_start, target.end_offset - 1), through=target.end_offset)
        return source.end_offset - target.end_offset

    async def steps(self) -> AsyncGenerator[int, None]:
        """Copy the entries; yield the number of each part when it is durable. The next part is read meanwhile."""
        source, target = self.head, self._target_head
        after = source.log_start if _is_empty(target) else target.end_offset
        append = BulkAppend(self._target, head=target, total=source.end_offset - after)
        if _is_empty(target):
            await append.adopt(source.log, log_start=after)
        async with aclosing(read_parts(self._source, SOURCE, after=after, through=source.end_offset)) as parts:
            async for entries in parts:
                for first in range(0, len(entries), self._target.import_entries_max):
                    await append.append(entries[first : first + self._target.import_entries_max])
                yield len(entries)
        await append.finish()

    async def comparison(self) -> AsyncGenerator[int, None]:
        """Compare each entry of the source with that of the target; yield the number of each part.

        Raises `CopyRefusedError` for the first that differs.
        """
        # The retention of the source may have deleted entries since the start.
        self.head = msgspec.structs.replace(self.head, log_start=(await self._source.head()).log_start)
        after, through = self.head.log_start, self.head.end_offset
        async with aclosing(read_parts(self._source, SOURCE, after=after, through=through)) as parts:
            async for entries in parts:
                self._digest.update(await self._compare_with_target(entries))
                yield len(entries)

    async def _compare(self, *, after: int, through: int) -> None:
        async with aclosing(read_parts(self._source, SOURCE, after=after, through=through)) as parts:
            async for entries in parts:
                await self._compare_with_target(entries)

    async def _compare_with_target(self, entries: Sequence[Entry]) -> bytes:
        """Return these entries as lines, if the target has the same ones. Raises `CopyRefusedError`."""
        after, through, others = entries[0].sequence - 1, entries[-1].sequence, list[Entry]()
        async with aclosing(read_parts(self._target, TARGET, after=after, through=through)) as parts:
            async for part in parts:
                others += part
        lines = _ENCODER.encode_lines(entries)
        if lines != _ENCODER.encode_lines(others):
            sequence = next(entry.sequence for entry, other in zip(entries, others, strict=True) if entry != other)
            raise CopyRefusedError(f"Event {sequence} differs in {TARGET}. Copy into an empty store.")
        return lines


def _is_empty(head: Head) -> bool:
    return head.end_offset == head.log_start


def _require_part(source: Head, target: Head) -> None:
    """Raise `CopyRefusedError` unless the target has the beginning of the source's log."""
    state = f"{TARGET} has the events {target.log_start + 1} to {target.end_offset} of the log {target.log}"
    if target.log != source.log:
        reason = f"{state}, and {SOURCE} the log {source.log}."
    elif target.end_offset > source.end_offset:
        reason = f"{state}, and {SOURCE} ends at {source.end_offset}: a service has written to {TARGET}."
    elif target.log_start > source.log_start:
        reason = f"{state}, and {SOURCE} begins with {source.log_start + 1}: a service has deleted events in {TARGET}."
    elif target.end_offset < source.log_start:
        reason = f"{state}, and {SOURCE} begins with {source.log_start + 1}: it has deleted the events between them."
    else:
        return
    raise CopyRefusedError(f"{reason} Copy into an empty store.")
