"""Damage of a log: a place whose entry is missing, doubled or malformed."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from eventfeed.domain.errors import LogDamaged

# A damaged place is read again after this time (s): somebody may have mended it.
CHECK_SECONDS = 1.0

T = TypeVar("T")
P = ParamSpec("P")


class DamagedAt(LogDamaged):
    """Damage at a position."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"The log is damaged at sequence {position}: {reason}.")
        self.position = position


class Damage:
    """The damage that this process has found. `check` reads a place again, and raises `DamagedAt` if it is damaged."""

    def __init__(self, check: Callable[[int], Awaitable[None]]) -> None:
        self._check = check
        self._failure: DamagedAt | None = None
        self._next_check = 0.0

    def note(self, failure: DamagedAt) -> None:
        """Remember damage, until its place is mended."""
        self._failure, self._next_check = failure, asyncio.get_running_loop().time() + CHECK_SECONDS

    async def require_none(self) -> None:
        """Raise `DamagedAt` while there is damage."""
        failure, time = self._failure, asyncio.get_running_loop().time()
        if failure is None:
            return
        if time < self._next_check:
            raise failure.with_traceback(None)
        self._next_check = time + CHECK_SECONDS
        await self._check(failure.position)
        self._failure = None


class HasDamage(Protocol):
    """A log that knows its damage."""

    _damage: Damage


Log = TypeVar("Log", bound=HasDamage)
Verb = Callable[Concatenate[Log, P], Coroutine[Any, Any, T]]


def unless_damaged(verb: Verb[Log, P, T]) -> Verb[Log, P, T]:
    """Refuse a verb of a log while the process knows of damage, and remember damage that it finds."""

    @functools.wraps(verb)
    async def checked_verb(log: Log, /, *args: P.args, **kwargs: P.kwargs) -> T:
        await log._damage.require_none()  # noqa: SLF001  # the verb is the log's own
        try:
            return await verb(log, *args, **kwargs)
        except DamagedAt as failure:
            log._damage.note(failure)  # noqa: SLF001  # the verb is the log's own
            raise

    return checked_verb
