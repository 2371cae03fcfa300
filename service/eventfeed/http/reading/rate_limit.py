"""Limits for readers: requests a minute for each key, and requests that wait at the same time."""

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from eventfeed.domain.errors import TooManyRequests, Unavailable
from eventfeed.telemetry.telemetry import Telemetry

# Some 200 bytes each; far more than send requests within a minute.
KEYS_MAX = 100_000
# A stream without a slot is welcome again after this (s).
RETRY_SECONDS = 10

_MINUTE = 60.0


class RateLimit:
    """At most `per_minute` requests a minute for each key, at once or spread (the generic cell rate algorithm).

    It keeps one number for each key: the time at which its requests would be used up at an even pace. Then the key is
    evicted; beyond `KEYS_MAX` keys, the one with the oldest request is.
    """

    def __init__(self, *, per_minute: int) -> None:
        self._step = _MINUTE / per_minute
        # An ordered dictionary finds its first key in constant time also after deletions.
        self._empty_at = OrderedDict[Hashable, float]()

    def wait(self, key: Hashable, *, now: float) -> float:
        """Return the seconds until the next request of this key; 0 if it is allowed now."""
        return max(0.0, self._empty_at.get(key, now) + self._step - _MINUTE - now)

    def count(self, key: Hashable, *, now: float) -> None:
        """Count a request of this key."""
        empty_at = max(self._empty_at.pop(key, now), now) + self._step
        self._empty_at[key] = empty_at
        while self._empty_at[oldest := next(iter(self._empty_at))] <= now or len(self._empty_at) > KEYS_MAX:
            del self._empty_at[oldest]


class ConcurrencyLimits:
    """Slots for requests that wait in this process: polls, streams, and streams of one caller."""

    def __init__(self, *, waits: int, streams: int, caller_streams: int, telemetry: Telemetry) -> None:
        self._waits, self._streams, self._caller_streams = waits, streams, caller_streams
        self._telemetry = telemetry
        self._waiting = 0
        self._streaming = Counter[str]()

    @contextmanager
    def wait(self) -> Iterator[bool]:
        """Hold a slot for a waiting poll during the block; provides False if none is free."""
        has_slot = self._waiting < self._waits
        self._waiting += has_slot
        self._telemetry.waiting_changed("poll", has_slot)
        try:
            yield has_slot
        finally:
            self._waiting -= has_slot
            self._telemetry.waiting_changed("poll", -has_slot)

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """Hold a slot for a stream during the block. Raises `TooManyRequests`, or `Unavailable` if none is free."""
        if self._streaming[caller] >= self._caller_streams:
            detail = f"A caller may have {self._caller_streams} open streams."
            raise TooManyRequests(detail, retry_seconds=RETRY_SECONDS)
        if self._streaming.total() >= self._streams:
            raise Unavailable("The service has no free slot for a stream.", retry_seconds=RETRY_SECONDS)
        self._streaming[caller] += 1
        self._telemetry.waiting_changed("stream", 1)
        try:
            yield
        finally:
            self._telemetry.waiting_changed("stream", -1)
            self._streaming[caller] -= 1
            if not self._streaming[caller]:
                del self._streaming[caller]
