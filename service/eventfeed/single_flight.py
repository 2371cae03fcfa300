"""Work that concurrent callers share."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs the work of a key at most once at a time: callers that arrive meanwhile share its result, or its failure.

    Work without a key has one of its own.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    @property
    def is_running(self) -> bool:
        """True while any work is under way."""
        return bool(self._tasks)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, key: Hashable = None) -> T:
        """Return the result of the run under way, or of a new one. A caller that is cancelled does not cancel it."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(functools.partial(self._finish, key))
        return await asyncio.shield(task)

    async def run_after(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of a run that starts after this call: the one under way may have read too early."""
        if None in self._tasks:
            await asyncio.shield(self._tasks[None])
        return await self.run(work)

    def _finish(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: every caller may have been cancelled
