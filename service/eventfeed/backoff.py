"""Delays between attempts: random, and longer after each attempt."""

from collections.abc import Callable


class Backoff:
    """Random delays (s) whose upper bound doubles from `first` to `longest` (full jitter).

    `random` returns a number in [0, 1).
    """

    def __init__(self, *, first: float, longest: float, random: Callable[[], float]) -> None:
        self._first, self._longest, self._random = first, longest, random
        self._bound = first

    def next_delay(self, *, at_most: float = float("inf")) -> float:
        """Return the next delay (s), drawn below `at_most`, and double the bound."""
        delay = self._random() * min(self._bound, at_most)
        self._bound = min(2 * self._bound, self._longest)
        return delay

    def reset(self) -> None:
        """Start again with short delays, after a success."""
        self._bound = self._first
