"""Limits of what the requests of readers hold at the same time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, Protocol

from eventfeed.domain.errors import TooManyRequests, Unavailable
from eventfeed.domain.feed import PAGE_BYTES_MAX
from eventfeed.telemetry.telemetry import Telemetry

# A stream without a slot is welcome again after this (s).
RETRY_SECONDS = 10

# Large pages that are read and made at the same time: some 24 MiB each until they are sent.
LARGE_READS_MAX = 4


class Caller(Protocol):
    """The caller of a request, and whether it has no token."""

    @property
    def caller(self) -> str:
        """The same text for all requests of the caller."""
        ...

    @property
    def is_anonymous(self) -> bool:
        """True without a token."""
        ...


class Quota:
    """An amount that callers share: in total, a part of it for all callers without a token, and for each caller."""

    def __init__(self, total: int, *, anonymous: int, each: int) -> None:
        self._total, self._anonymous, self._each = total, anonymous, each
        self._used_by_anonymous = 0
        self._used = Counter[str]()
        self.used = 0

    def fits_caller(self, caller: Caller, amount: int = 1) -> bool:
        """True if the caller may use this much more, as far as its own part is concerned."""
        return self._used[caller.caller] + amount <= self._each

    def fits(self, caller: Caller, amount: int = 1) -> bool:
        """True if the caller may use this much more."""
        fits_share = not caller.is_anonymous or self._used_by_anonymous + amount <= self._anonymous
        return self.used + amount <= self._total and fits_share and self.fits_caller(caller, amount)

    @contextmanager
    def hold(self, caller: Caller, amount: int = 1) -> Iterator[None]:
        """Use an amount during the block."""
        self._add(caller, amount)
        try:
            yield
        finally:
            self._add(caller, -amount)

    def _add(self, caller: Caller, amount: int) -> None:
        self.used += amount
        self._used_by_anonymous += amount * caller.is_anonymous
        self._used[caller.caller] += amount
        if not self._used[caller.caller]:
            del self._used[caller.caller]


class ReadingLimits:
    """Limits of the requests that this process has at the same time: slots to wait, slots to stream, and memory."""

    def __init__(self, *, waits: Quota, streams: Quota, memory: Quota, telemetry: Telemetry) -> None:
        self._waits, self._streams, self._memory = waits, streams, memory
        self._telemetry = telemetry
        self._large_reads = asyncio.Semaphore(LARGE_READS_MAX)

    @contextmanager
    def wait(self, caller: Caller) -> Iterator[bool]:
        """Hold a slot for a waiting poll during the block; provides False if none is free."""
        if not self._waits.fits(caller):
            yield False
            return
        with self._waits.hold(caller), self._counted("poll"):
            yield True

    @contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """Hold a slot for a stream during the block. Raises `TooManyRequests`, or `Unavailable` if none is free."""
        if not self._streams.fits_caller(caller):
            raise TooManyRequests("The caller has too many open streams.", retry_seconds=RETRY_SECONDS)
        if not self._streams.fits(caller):
            raise Unavailable("The service has no free slot for a stream.", retry_seconds=RETRY_SECONDS)
        with self._streams.hold(caller), self._counted("stream"):
            yield

    @contextmanager
    def memory(self, caller: Caller, size: int) -> Iterator[None]:
        """Hold bytes of a response during the block. Raises `Unavailable` if responses hold too many."""
        if not self._memory.fits(caller, size):
            raise Unavailable("Responses that clients are reading hold too much memory.")
        with self._memory.hold(caller, size):
            yield

    @asynccontextmanager
    async def large_read(self, caller: Caller) -> AsyncIterator[None]:
        """Wait for a place to read a large page, and hold it during the block. Raises `Unavailable` without memory."""
        async with self._large_reads:
            if not self._memory.fits(caller, PAGE_BYTES_MAX):
                raise Unavailable("Responses that clients are reading hold too much memory.")
            yield

    @contextmanager
    def _counted(self, kind: Literal["poll", "stream"]) -> Iterator[None]:
        self._telemetry.waiting_changed(kind, 1)
        try:
            yield
        finally:
            self._telemetry.waiting_changed(kind, -1)
