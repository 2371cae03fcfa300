"""How often something may be asked for: so many times a minute, in a bounded amount of memory."""

from collections import OrderedDict
from collections.abc import Hashable

# Some 200 bytes each; far more than ask within a minute.
KEYS_MAX = 100_000
_MINUTE = 60.0


class Rate:
    """At most `per_minute` requests a minute for each key, at once or spread (the generic cell rate algorithm).

    One number is kept for a key: when all that it has asked for would be used up at an even pace. After that the key is
    as good as new, and forgotten; beyond `KEYS_MAX` the one that asked longest ago is.
    """

    def __init__(self, *, per_minute: int) -> None:
        self._step = _MINUTE / per_minute
        # The first of a plain dictionary is found past all that were deleted before it.
        self._used_up = OrderedDict[Hashable, float]()

    def wait(self, key: Hashable, *, now: float) -> float:
        """Seconds until this key may ask again; 0 when it may now."""
        return max(0.0, self._used_up.get(key, now) + self._step - _MINUTE - now)

    def count(self, key: Hashable, *, now: float) -> None:
        """Take note of a request that was let through."""
        used_up = max(self._used_up.pop(key, now), now) + self._step
        self._used_up[key] = used_up
        while self._used_up[oldest := next(iter(self._used_up))] <= now or len(self._used_up) > KEYS_MAX:
            del self._used_up[oldest]
