"""Work that everyone who waits for it shares."""

import asyncio
from collections.abc import Callable, Coroutine


class Shared:
    """One run of some work at a time: who asks meanwhile waits for that one, and shares its failure."""

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self._running is not None

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Wait for the run under way, or for one that starts now. Whoever stops waiting does not stop it."""
        if self._running is None:
            self._running = asyncio.create_task(work())
            self._running.add_done_callback(self._ended)
        await asyncio.shield(self._running)

    async def anew(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Wait for a run that starts later than now: the one under way may have asked too early."""
        if self._running is not None:
            await asyncio.shield(self._running)
        await self.run(work)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # every waiter may have gone: the failure is theirs, and was told to those who stayed
