"""The availability of a database: a request that it would not take now fails before it is sent.

The database is away while it does not respond. A probe each second notices the end of that, and any response ends it.
After a response that asks for a longer pause, this process sends no reads or no writes until it is over.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventfeed.domain.errors import StoreAway, Unavailable
from eventfeed.log.cosmos.outcomes import REQUEST_ERRORS, Kind, reason_of, status_of

_log = logging.getLogger(__name__)

# Time without any response (s), from the start of the first request that failed, until the database counts as away.
AWAY_SECONDS = 1.0
# Time between two probes (s), and the time for one of them: a probe need not wait for the one before.
PROBE_SECONDS = 1.0
PROBE_SECONDS_MAX = 4.0
# The longest pause (s), whatever the store asks for.
PAUSE_SECONDS_MAX = 60.0

T = TypeVar("T")


class Availability:
    """Decides if requests are sent to a database, by its responses to this process. `probe` is a cheap request to it.

    Each change is one line of the log. `clock` is monotonic (s).
    """

    def __init__(self, probe: Callable[[], Awaitable[object]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._probe, self._clock = probe, clock
        self._limits = set[asyncio.Timeout]()
        self._prober: asyncio.Task[None] | None = None
        self._has_responded = False
        self._last_response = self._silent_since = float("-inf")
        # The reason why the database is away, "" while it is not.
        self._absence = ""
        # The end of the last pause of each kind of request, and its reason.
        self._pauses = dict.fromkeys(Kind, (float("-inf"), ""))
        # The last refusal of each kind of request that was logged, and not followed by a success.
        self._refusals = dict.fromkeys(Kind, "")

    def require(self, kind: Kind) -> None:
        """Raise `StoreAway` if no request of this kind is sent now."""
        if self._absence:
            raise StoreAway(self._absence)
        seconds, reason = self._pauses[kind.pause_kind]
        seconds -= self._clock()
        if seconds > 0:
            pause = f"The store has requested a pause of {kind.pause_kind.value}"
            raise StoreAway(f"{pause}: {reason}.", retry_seconds=math.ceil(seconds))

    async def attempt(self, send: Callable[[], Awaitable[T]], *, seconds: float) -> T:
        """Make one attempt of a request. Raises `TimeoutError` after this time, or once the database is away."""
        start = self._clock()
        try:
            async with asyncio.timeout(seconds) as limit:
                result = await self._send_within(limit, send)
        except REQUEST_ERRORS as error:
            if status_of(error) is None:
                self._note_silence(start, error)
            else:
                self.note_response()
            raise
        self.note_response()
        return result

    async def _send_within(self, limit: asyncio.Timeout, send: Callable[[], Awaitable[T]]) -> T:
        self._limits.add(limit)
        try:
            return await send()
        finally:
            self._limits.discard(limit)

    def note_response(self) -> None:
        """Note a response of any status."""
        self._has_responded, self._last_response = True, self._clock()
        self._silent_since = float("-inf")
        if self._absence:
            self._absence = ""
            _log.warning("the store responds again")
            if self._prober is not None:
                self._prober.cancel()

    def pause(self, kind: Kind, seconds: float, *, reason: str) -> None:
        """Send no request of this kind for this time."""
        self._pauses[kind.pause_kind] = self._clock() + min(seconds, PAUSE_SECONDS_MAX), reason

    def note_refusal(self, kind: Kind, refusal: str) -> None:
        """Note that the store refuses requests of this kind. The first of equal refusals is logged."""
        if self._refusals[kind.pause_kind] != refusal:
            self._refusals[kind.pause_kind] = refusal
            _log.warning("the store refuses %s: %s", kind.pause_kind.value, refusal)

    def note_success(self, kind: Kind) -> None:
        """Note that the store has done a request of this kind."""
        if self._refusals[kind.pause_kind]:
            self._refusals[kind.pause_kind] = ""
            _log.warning("the store takes %s again", kind.pause_kind.value)

    async def close(self) -> None:
        """Stop probing."""
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)
        self._prober, self._absence = None, ""

    def _note_silence(self, start: float, error: Exception) -> None:
        """Note a request without a response. After a while the database is away, and requests under way end."""
        now = self._clock()
        if self._silent_since == float("-inf"):
            self._silent_since = max(start, self._last_response)
        if self._absence or now - self._silent_since < AWAY_SECONDS:
            return
        self._absence = f"The store does not respond: {reason_of(error)}."
        if self._has_responded:  # a start logs it otherwise
            _log.error("the store does not respond: %s", reason_of(error))
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        self._prober = asyncio.create_task(self._probe_until_response())

    async def _probe_until_response(self) -> None:
        """Send a probe each second, until any request has a response."""
        async with asyncio.TaskGroup() as probes:
            while self._absence:
                probes.create_task(self._probe_once())
                await asyncio.sleep(PROBE_SECONDS)

    async def _probe_once(self) -> None:
        with contextlib.suppress(*REQUEST_ERRORS, Unavailable):  # or the client is not open
            await self.attempt(self._probe, seconds=PROBE_SECONDS_MAX)
