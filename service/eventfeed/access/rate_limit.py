"""Limits of requests, or of events, in a time for each key."""

from collections import OrderedDict
from collections.abc import Hashable

# Some 200 bytes each; far more than send requests within a minute.
KEYS_MAX = 100_000


class RateLimit:
    """At most `most` requests in `seconds` for each key, at once or spread (the generic cell rate algorithm).

    It keeps one number for each key: the time at which its requests would be used up at an even pace. Then the key is
    evicted; beyond `KEYS_MAX` keys, the one with the oldest request is.
    """

    def __init__(self, most: int, *, seconds: float) -> None:
        self._step, self._seconds = seconds / most, seconds
        # An ordered dictionary finds its first key in constant time also after deletions.
        self._empty_at = OrderedDict[Hashable, float]()

    def wait(self, key: Hashable, *, now: float) -> float:
        """Return the seconds until the next request of this key; 0 if it is allowed now."""
        return max(0.0, self._empty_at.get(key, now) + self._step - self._seconds - now)

    def count(self, key: Hashable, *, now: float, requests: int = 1) -> None:
        """Count requests of this key. After more than are allowed, the wait is longer by as much."""
        empty_at = max(self._empty_at.pop(key, now), now) + self._step * requests
        self._empty_at[key] = empty_at
        while self._empty_at[oldest := next(iter(self._empty_at))] <= now or len(self._empty_at) > KEYS_MAX:
            del self._empty_at[oldest]
