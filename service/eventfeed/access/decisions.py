"""Decisions, remembered for a while: each asked once, however many callers wait for it."""

import asyncio
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from eventfeed.domain.errors import Unavailable
from eventfeed.domain.feed import Question
from eventfeed.domain.ports import DecisionPoint
from eventfeed.domain.principal import Method, Principal

# A right that was taken away is gone within 60 s: this, and what asking takes at most.
REMEMBERED_SECONDS = 45.0
# An answer later than this is no answer.
ANSWER_SECONDS_MAX = 10.0
# Some 500 bytes each.
REMEMBERED_MAX = 100_000


class Key(NamedTuple):
    """What a decision depends on: who asks, how surely that is known, and the question with its party."""

    method: Method
    user: str | None
    organisation: str | None
    level: int
    question: Question


class Asked(NamedTuple):
    """A question put together with others: when (s, on the event loop's clock), and what was or will be allowed."""

    at: float
    allowed: asyncio.Task[AbstractSet[Question]]


class Decisions:
    """A `DecisionPoint` that remembers what another one said, for at most `REMEMBERED_SECONDS` from the asking."""

    def __init__(self, point: DecisionPoint) -> None:
        self._point = point
        self._asked: dict[Key, Asked] = {}

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        now = asyncio.get_running_loop().time()
        keys = {question: _key(principal, question) for question in questions}
        asked = {question: self._remembered(key, now=now) for question, key in keys.items()}
        if unknown := frozenset(question for question, task in asked.items() if task is None):
            task = asyncio.create_task(self._ask(principal, unknown))
            task.add_done_callback(_heard)
            for question in unknown:
                asked[question] = task
                self._remember(keys[question], Asked(now, task))
        tasks = {question: task for question, task in asked.items() if task is not None}
        for task in set(tasks.values()):
            # Shielded: what others wait for as well is not given up when this caller goes.
            await asyncio.shield(task)
        return {question for question, task in tasks.items() if question in task.result()}

    def _remembered(self, key: Key, *, now: float) -> asyncio.Task[AbstractSet[Question]] | None:
        """What was asked a short while ago, unless it failed."""
        asked = self._asked.get(key)
        if asked is None or now - asked.at >= REMEMBERED_SECONDS:
            return None
        failed = asked.allowed.done() and (asked.allowed.cancelled() or asked.allowed.exception())
        return None if failed else asked.allowed

    def _remember(self, key: Key, asked: Asked) -> None:
        """Keep this as the newest; the oldest goes when there are too many."""
        self._asked.pop(key, None)
        self._asked[key] = asked
        if len(self._asked) > REMEMBERED_MAX:
            del self._asked[next(iter(self._asked))]

    async def _ask(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await self._point.allowed(principal, questions)
        except TimeoutError:
            raise Unavailable("The decision point did not answer in time.") from None


def _heard(task: asyncio.Task[AbstractSet[Question]]) -> None:
    """Whoever asked may have gone: the failure is theirs, and was told to those who stayed."""
    if not task.cancelled():
        task.exception()


def _key(principal: Principal, question: Question) -> Key:
    return Key(principal.method, principal.user, principal.organisation, principal.level, question)
