"""Decisions, remembered for a while: each asked once, however many callers wait for it."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from eventfeed.domain.errors import Unavailable
from eventfeed.domain.feed import Question, Undecided, Verdicts
from eventfeed.domain.ports import DecisionPoint
from eventfeed.domain.principal import Method, Principal
from eventfeed.telemetry.instruments import measured
from eventfeed.telemetry.metrics import DECISIONS, DECISIONS_DURATION
from eventfeed.telemetry.tracing import CLIENT, doing

# A right that was taken away is gone within 60 s: this, and what asking takes at most.
REMEMBERED_SECONDS = 45.0
# An answer later than this is no answer.
ANSWER_SECONDS_MAX = 10.0
# Some 500 bytes each.
REMEMBERED_MAX = 100_000
# An answer that is no decision may pass; after this it will not.
IN_VAIN_SECONDS = 600.0
IN_VAIN_MAX = 10_000

_OUTCOMES = {True: "allowed", False: "hidden", None: "undecided"}

_log = logging.getLogger(__name__)


class Key(NamedTuple):
    """What a decision depends on: who asks, how surely that is known, and the question with its party."""

    method: Method
    user: str | None
    organisation: str | None
    level: int
    question: Question


class Asked(NamedTuple):
    """A question put together with others: when (s, on the event loop's clock), and what was or will be said."""

    at: float
    verdicts: asyncio.Future[Verdicts]


class Decisions:
    """A `DecisionPoint` that remembers what another one said, for at most `REMEMBERED_SECONDS` from the asking.

    What nobody can decide on holds up the events after it. When it has done so for `IN_VAIN_SECONDS`, in which others
    were decided, it is a no: anybody may publish an event that a decision point chokes on.
    """

    def __init__(self, point: DecisionPoint) -> None:
        self._point = point
        # The first of a plain dictionary is found past all that were deleted before it.
        self._asked = OrderedDict[Key, Asked]()
        # Since when a question is asked in vain, and when any was last answered.
        self._in_vain: dict[Key, float] = {}
        self._answered = float("-inf")

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        now = asyncio.get_running_loop().time()
        keys = {question: _key(principal, question) for question in questions}
        asked = {question: self._remembered(key, now=now) for question, key in keys.items()}
        unknown = frozenset(question for question, task in asked.items() if task is None)
        if unknown:
            task = asyncio.create_task(self._ask(principal, unknown))
            task.add_done_callback(_heard)
            for question in unknown:
                asked[question] = task
                self._remember(keys[question], Asked(now, task))
        tasks = {question: task for question, task in asked.items() if task is not None}
        for future in set(tasks.values()):
            # Shielded: what others wait for as well is not given up when this caller goes.
            await asyncio.shield(future)
        verdicts = {question: task.result()[question] for question, task in tasks.items() if question in task.result()}
        for question in questions:
            outcome = _OUTCOMES[verdicts.get(question)]
            DECISIONS.add(1, outcome, "asked" if question in unknown else "memory")
        return self._decided(keys, verdicts, now=now)

    def _decided(self, keys: Mapping[Question, Key], verdicts: Verdicts, *, now: float) -> AbstractSet[Question]:
        """Those allowed. Raises `Undecided` when a question is left that may be decided yet."""
        decided = dict(verdicts)
        for question, verdict in verdicts.items():
            if verdict is not None:
                self._in_vain.pop(keys[question], None)
            elif self._given_up(keys[question], now=now):
                decided[question] = False
        if any(decided.get(question) is None for question in keys):
            raise Undecided(decided)
        return {question for question, verdict in decided.items() if verdict}

    def _given_up(self, key: Key, *, now: float) -> bool:
        """Whether this question was asked in vain for so long that it is a no for a while."""
        since = self._in_vain.setdefault(key, now)
        if len(self._in_vain) > IN_VAIN_MAX:
            del self._in_vain[next(iter(self._in_vain))]
        if now - since < IN_VAIN_SECONDS or self._answered <= since:
            return False
        _log.warning("The decision point left a question undecided for %d s: it is a no.", now - since)
        no = asyncio.get_running_loop().create_future()
        no.set_result({key.question: False})
        self._remember(key, Asked(now, no))
        return True

    def _remembered(self, key: Key, *, now: float) -> asyncio.Future[Verdicts] | None:
        """What was asked a short while ago, unless there was no answer."""
        asked = self._asked.get(key)
        if asked is None or now - asked.at >= REMEMBERED_SECONDS:
            return None
        said = asked.verdicts
        failed = said.done() and (said.cancelled() or said.exception() or said.result().get(key.question) is None)
        return None if failed else said

    def _remember(self, key: Key, asked: Asked) -> None:
        """Keep this as the newest; the oldest go when they are too old, or there are too many."""
        self._asked.pop(key, None)
        self._asked[key] = asked
        forgotten = asked.at - REMEMBERED_SECONDS
        while self._asked[oldest := next(iter(self._asked))].at < forgotten or len(self._asked) > REMEMBERED_MAX:
            del self._asked[oldest]

    async def _ask(self, principal: Principal, questions: AbstractSet[Question]) -> Verdicts:
        verdicts: Verdicts
        try:
            with measured(DECISIONS_DURATION), doing("decide", kind=CLIENT):
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    allowed = await self._point.allowed(principal, questions)
                    verdicts = {question: question in allowed for question in questions}
        except TimeoutError:
            raise Unavailable("The decision point did not answer in time.") from None
        except Undecided as failure:
            verdicts = failure.verdicts
        if any(verdict is not None for verdict in verdicts.values()):
            self._answered = asyncio.get_running_loop().time()
        return verdicts


def _heard(task: asyncio.Future[Verdicts]) -> None:
    """Whoever asked may have gone: the failure is theirs, and was told to those who stayed."""
    if not task.cancelled():
        task.exception()


def _key(principal: Principal, question: Question) -> Key:
    return Key(principal.method, principal.user, principal.organisation, principal.level, question)
