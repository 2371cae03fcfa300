"""Waiting for what is not there yet: how long a caller would, whether it still does, and how many may at once."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventfeed.domain.errors import TooManyRequests, Unavailable
from eventfeed.http.request import AnyRequest, header
from eventfeed.telemetry.metrics import WAITING

# Contract section 5.
WAIT_SECONDS_MAX = 60
RETRY_SECONDS = 10

_WAIT = re.compile(r'wait[ \t]*=[ \t]*"?(?P<seconds>[0-9]{1,9})"?', re.ASCII | re.IGNORECASE)

Receive = Callable[[], Awaitable[Any]]  # the framework's own messages


def preferred_wait(request: AnyRequest) -> int:
    """How long the caller would wait (s): the first `wait` of its preferences (RFC 7240 §4.3), 0 when it names none."""
    if header(request, b"prefer") is None:
        return 0
    for line in (value.decode("latin-1") for name, value in request.scope["headers"] if name == b"prefer"):
        for preference in line.split(","):
            if found := _WAIT.fullmatch(preference.partition(";")[0].strip()):
                return min(int(found["seconds"]), WAIT_SECONDS_MAX)
    return 0


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


class ConcurrencyLimits:
    """Places for those who wait at this process: so many polls, so many streams, and of these so many a caller."""

    def __init__(self, *, waits: int, streams: int, caller_streams: int) -> None:
        self._waits, self._streams, self._caller_streams = waits, streams, caller_streams
        self._waiting = 0
        self._streaming = Counter[str]()

    @contextmanager
    def wait(self) -> Iterator[bool]:
        """Whether there is a place for a poll that waits, which it has while the block lasts."""
        free = self._waiting < self._waits
        self._waiting += free
        WAITING.add(free, "poll")
        try:
            yield free
        finally:
            self._waiting -= free
            WAITING.add(-free, "poll")

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """A place for a stream while the block lasts. Raises `TooManyRequests`, or `Unavailable` when all are taken."""
        if self._streaming[caller] >= self._caller_streams:
            detail = f"One caller may have {self._caller_streams} streams open at once."
            raise TooManyRequests(detail, retry_seconds=RETRY_SECONDS)
        if self._streaming.total() >= self._streams:
            raise Unavailable("All places for streams are taken.", retry_seconds=RETRY_SECONDS)
        self._streaming[caller] += 1
        WAITING.add(1, "stream")
        try:
            yield
        finally:
            WAITING.add(-1, "stream")
            self._streaming[caller] -= 1
            if not self._streaming[caller]:
                del self._streaming[caller]
