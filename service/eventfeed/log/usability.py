"""One judgement of whether a store can take an append, for publishers, readiness and the service's log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from eventfeed.domain.errors import LogDamaged, StoreUnusable, Unavailable
from eventfeed.domain.ports import EventLog
from eventfeed.log.memory.tail import Tail
from eventfeed.single_flight import SingleFlight

_log = logging.getLogger(__name__)

# A judgement is used again for this long (s), and readiness waits this long for a new one. So within a second it shows
# a fault, or that the store does not respond.
JUDGEMENT_SECONDS = 0.5
ANSWER_SECONDS = 0.4
# A probe without a result for this long (s) is a fault. It is longer than the wait for another program's lock.
PROBE_SECONDS_MAX = 6.0


class Usability:
    """The last judgement of a store. Each append is evidence; without a recent one the store is probed.

    A probe waits for the lock of another program as long as an append does. Until then the last judgement is valid, and
    `notice` is a sentence for operators.
    """

    def __init__(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        self._name, self._probe = name, probe
        self.fault: Unavailable | None = None
        self.notice = ""
        # The time of the last append that was stored (event loop, s). The appender sets it: once a batch.
        self.appended = float("-inf")
        self._valid_until = float("-inf")
        self._probe_began = float("-inf")
        self._probing = SingleFlight[None]()

    async def require_usable(self) -> None:
        """Raise `Unavailable` with the reason if the store cannot take an append."""
        if self._time() >= max(self._valid_until, self.appended + JUDGEMENT_SECONDS):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._probing.run(self._judge_by_probe)
            except TimeoutError:
                self._note_delay()
        if self.fault is not None:
            raise self.fault.with_traceback(None)

    def confirm(self) -> None:
        """Note that the store takes appends."""
        if self.fault is not None:
            _log.warning("%s is usable again", self._name)
        self._judge(None)

    def refute(self, failure: Unavailable) -> None:
        """Note that an append failed. Only failures of the store itself count."""
        if not isinstance(failure, StoreUnusable | LogDamaged):
            return
        if self.fault is None or str(self.fault) != str(failure):
            _log.error("%s is not usable: %s", self._name, failure)
        self._judge(failure)

    def _judge(self, fault: Unavailable | None) -> None:
        self.fault, self.notice, self._valid_until = fault, "", self._time() + JUDGEMENT_SECONDS

    async def _judge_by_probe(self) -> None:
        self._probe_began = self._time()
        try:
            await self._probe()
        except (StoreUnusable, LogDamaged) as failure:
            self.refute(failure)
        else:
            self.confirm()

    def _note_delay(self) -> None:
        """Note that the probe under way has no result yet."""
        if self._time() - self._probe_began >= PROBE_SECONDS_MAX:
            self.refute(StoreUnusable(f"For {PROBE_SECONDS_MAX:.0f} seconds {self._name} has not responded."))
        else:
            self.notice = f"At the moment {self._name} does not respond: another program may have locked it."

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def usability_of_log(log: EventLog, tail: Tail) -> Usability:
    """Return the judgement of a log. One that ends before the known end is damaged."""

    async def probe() -> None:
        known = tail.head
        head = await log.probe()
        if head.end_offset < known.end_offset:
            ends = f"The log ends at {head.end_offset}, before {known.end_offset}"
            raise LogDamaged(f"{ends}: was an older copy restored?")

    return Usability("the store", probe)
