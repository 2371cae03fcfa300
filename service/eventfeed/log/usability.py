"""One judgement of whether the store can take an append, for publishers, readiness and the service's log."""

import asyncio
import logging

from eventfeed.domain.errors import LogDamaged, StoreUnusable, Unavailable
from eventfeed.domain.ports import EventLog
from eventfeed.log.memory.tail import Tail
from eventfeed.single_flight import SingleFlight

_log = logging.getLogger(__name__)

# A judgement is used again for this long (s), so that readiness shows a change within a second.
JUDGEMENT_SECONDS = 0.5


class Usability:
    """The last judgement of the store. Each append is evidence; without a recent one the store is probed."""

    def __init__(self, log: EventLog, tail: Tail) -> None:
        self._log, self._tail = log, tail
        self.fault: Unavailable | None = None
        # The time of the last append that was stored (event loop, s). The appender sets it: once a batch.
        self.appended = float("-inf")
        self._valid_until = float("-inf")
        self._probing = SingleFlight()

    async def require_usable(self) -> None:
        """Raise `Unavailable` with the reason if the store cannot take an append."""
        if asyncio.get_running_loop().time() >= max(self._valid_until, self.appended + JUDGEMENT_SECONDS):
            await self._probing.run(self._probe)
        if self.fault is not None:
            raise self.fault.with_traceback(None)

    def confirm(self) -> None:
        """Note that the store takes appends."""
        if self.fault is not None:
            _log.warning("the store is usable again")
        self._judge(None)

    def refute(self, failure: Unavailable) -> None:
        """Note that an append failed. Only failures of the store itself count."""
        if not isinstance(failure, StoreUnusable | LogDamaged):
            return
        if self.fault is None or str(self.fault) != str(failure):
            _log.error("the store is not usable: %s", failure)
        self._judge(failure)

    def _judge(self, fault: Unavailable | None) -> None:
        self.fault, self._valid_until = fault, asyncio.get_running_loop().time() + JUDGEMENT_SECONDS

    async def _probe(self) -> None:
        known = self._tail.head
        try:
            head = await self._log.probe()
        except (StoreUnusable, LogDamaged) as failure:
            self.refute(failure)
            return
        if head.end_offset < known.end_offset:
            ends = f"The log ends at {head.end_offset}, before {known.end_offset}"
            self.refute(LogDamaged(f"{ends}: was an older copy restored?"))
        else:
            self.confirm()
