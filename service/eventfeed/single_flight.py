"""Work that concurrent callers share."""

import asyncio
from collections.abc import Callable, Coroutine


class SingleFlight:
    """Runs some work at most once at a time: callers that arrive meanwhile share its result, also its failure."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """True while the work is under way."""
        return self._task is not None

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Wait for the run under way, or start one. A caller that is cancelled does not cancel the work."""
        if self._task is None:
            self._task = asyncio.create_task(work())
            self._task.add_done_callback(self._finish)
        await asyncio.shield(self._task)

    async def run_after(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Wait for a run that starts after this call: the one under way may have read too early."""
        if self._task is not None:
            await asyncio.shield(self._task)
        await self.run(work)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # marks it as retrieved: every caller may have been cancelled
