"""Background work on a store: appending, filling memory, retention, and a marker that keeps the log's end young."""

import asyncio
import contextlib
import ctypes
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from eventfeed.app.ids import new_unique_id
from eventfeed.domain.errors import StoreAway, Unavailable
from eventfeed.domain.event import marker
from eventfeed.domain.publishing import Submission
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite.clock_reference import ClockReference

if TYPE_CHECKING:
    from eventfeed.log.cosmos.database import Cost

_log = logging.getLogger(__name__)

# Deletion comes long after entries have become invisible; a minute more does not matter.
INTERVAL_SECONDS = 60.0


class Maintenance:
    """The background tasks of one store. `costs`, by verb, are logged if the store charges for requests.

    `reference` is the shared reference of the clock, if the store has no clock of its own.
    """

    def __init__(
        self,
        tail: Tail,
        retention: Retention,
        *,
        appender: Appender,
        costs: "Mapping[str, Cost] | None",
        reference: ClockReference | None,
    ) -> None:
        self._tail, self._retention, self._appender, self._costs = tail, retention, appender, costs
        self._reference = reference
        # The steps that have failed since their last success.
        self._delays = set[str]()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run the tasks during the block; at its end no reader waits any more."""
        work = (self._appender.run(), self._tail.fill_memory(), self._repeat())
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            await self._tail.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self) -> None:
        while True:
            steps = (self._refresh_reference, self._append_marker, self._retention.delete, _return_memory)
            for step in steps:
                try:
                    await step()
                except Unavailable as failure:
                    self._note_delay(step.__name__, failure)
                except Exception:  # noqa: BLE001  # it can wait a minute, and must not end the loop or the other step
                    _log.exception("maintenance of the store failed")
                else:
                    self._delays.discard(step.__name__)
            if self._costs is not None:
                costs = [f"{verb} {cost.requests}/{cost.units:.0f}" for verb, cost in sorted(self._costs.items())]
                _log.info("requests and request units so far: %s", ", ".join(costs))
            await asyncio.sleep(INTERVAL_SECONDS)

    def _note_delay(self, step: str, failure: Unavailable) -> None:
        """Log that a step waits for the store, once until it succeeds. The absence of the store has a line already."""
        if step not in self._delays and not isinstance(failure, StoreAway):
            _log.warning("maintenance of the store is delayed: %s", failure)
        self._delays.add(step)

    async def _refresh_reference(self) -> None:
        if self._reference is not None:
            await asyncio.to_thread(self._reference.refresh)

    async def _append_marker(self) -> None:
        """Append a marker before the store would delete the last entry for its age."""
        if self._retention.end_is_old(await self._tail.refresh()):
            await self._appender.publish(Submission(events=[marker(new_unique_id())], pointers=[""], admin=True))


async def _return_memory() -> None:
    """Return free memory to the operating system. glibc keeps it between blocks that are in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        await asyncio.to_thread(trim, 0)
