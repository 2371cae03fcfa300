"""Wait for a condition, with a deadline that only applies if something hangs."""

import time
from collections.abc import Callable
from typing import TypeVar

# A busy machine needs many times longer than an idle one.
WAIT_SECONDS_MAX = 120.0
_PAUSE_SECONDS = 0.02

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout: float = WAIT_SECONDS_MAX) -> T:
    """Call `condition` until its result is true, and return that result. Raises `AssertionError` after the timeout."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"the condition did not become true in {timeout:.0f} s"
        time.sleep(_PAUSE_SECONDS)
    return result
