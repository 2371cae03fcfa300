"""A timer that moves at no cost."""

import asyncio
import math
from collections.abc import Callable


class Timer:
    """Calls back at a time, once. It may move to a later time at no cost: it then looks again when it fires."""

    __slots__ = ("_call", "_handle", "_loop", "_time")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._time = math.inf
        self._call: Callable[[], object] = _nothing
        self._handle: asyncio.TimerHandle | None = None

    def start(self, time: float, call: Callable[[], object]) -> None:
        """Call back at this time (event loop, s), and not at an earlier one."""
        self._time, self._call = time, call
        if self._handle is None or time < self._handle.when():
            self._start()

    def stop(self) -> None:
        """Do not call back."""
        self._time, self._call = math.inf, _nothing

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._start()

    def _start(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(self._time, self._fire) if self._time < math.inf else None

    def _fire(self) -> None:
        self._handle = None
        if self._time > self._loop.time():
            self._start()
            return
        call = self._call
        self.stop()
        call()


def _nothing() -> None:
    """Stand in for a callback."""
