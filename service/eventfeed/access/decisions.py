"""Decisions, cached for a while: each is requested once, however many requests wait for it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from cachetools import FIFOCache, TTLCache

from eventfeed.domain.decision import Question, Undecided, Verdicts
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.ports import DecisionPoint
from eventfeed.domain.principal import Principal
from eventfeed.telemetry.telemetry import Telemetry

# A revoked right is gone within 60 s: this, and the longest response.
CACHE_SECONDS = 45.0
RESPONSE_SECONDS_MAX = 10.0
# Some 500 bytes each.
CACHE_DECISIONS_MAX = 100_000
# A failure to decide may pass; one that lasts longer does not.
UNDECIDED_SECONDS_MAX = 600.0
UNDECIDED_QUESTIONS_MAX = 10_000

_OUTCOMES = {True: "allowed", False: "hidden", None: "undecided"}

_log = logging.getLogger(__name__)


class Key(NamedTuple):
    """Everything that a decision depends on."""

    caller: str
    level: int
    question: Question


Keys = Mapping[Question, Key]


class Decisions:
    """A `DecisionPoint` that caches the decisions of another one, for `CACHE_SECONDS` from the request.

    A question without a decision holds up the events after it. After `UNDECIDED_SECONDS_MAX`, in which others were
    decided, the decision is no: anybody may publish an event that makes a decision point fail.
    """

    def __init__(
        self, point: DecisionPoint, *, telemetry: Telemetry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._point, self._telemetry, self._clock = point, telemetry, clock
        # The responses, also those that are still to come.
        self._cache = TTLCache[Key, asyncio.Future[Verdicts]](CACHE_DECISIONS_MAX, CACHE_SECONDS, timer=clock)
        # The time of the first failure to decide on a question, and of the last decision on any.
        self._undecided_since = FIFOCache[Key, float](UNDECIDED_QUESTIONS_MAX)
        self._last_decision = float("-inf")

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        now = self._clock()
        keys = {question: Key(principal.caller, principal.level, question) for question in questions}
        responses = {question: response for question, key in keys.items() if (response := self._cached_response(key))}
        new_questions = frozenset(questions - responses.keys())
        if new_questions:
            response = asyncio.create_task(self._request(principal, new_questions))
            response.add_done_callback(_retrieve_exception)
            for question in new_questions:
                responses[question] = self._cache[keys[question]] = response
        for response in set(responses.values()):
            # Shielded: others may wait for it after this request is cancelled.
            await asyncio.shield(response)
        verdicts = {
            question: results[question]
            for question, response in responses.items()
            if question in (results := response.result())
        }
        self._telemetry.decisions_made(
            (_OUTCOMES[verdicts.get(question)], "asked" if question in new_questions else "memory")
            for question in questions
        )
        return self._decide(keys, verdicts, now=now)

    def _cached_response(self, key: Key) -> asyncio.Future[Verdicts] | None:
        """Return the response to a recent request, unless it has no decision."""
        try:
            response = self._cache[key]
        except KeyError:
            return None
        if response.done() and (
            response.cancelled() or response.exception() or response.result().get(key.question) is None
        ):
            return None
        return response

    def _decide(self, keys: Keys, verdicts: Verdicts, *, now: float) -> AbstractSet[Question]:
        """Return the questions that are allowed. Raises `Undecided` if one is left that may be decided later."""
        decisions = dict(verdicts)
        for question, verdict in verdicts.items():
            if verdict is not None:
                self._undecided_since.pop(keys[question], None)
            elif self._is_given_up(keys[question], now=now):
                decisions[question] = False
        if any(decisions.get(question) is None for question in keys):
            raise Undecided(decisions)
        return {question for question, verdict in decisions.items() if verdict}

    def _is_given_up(self, key: Key, *, now: float) -> bool:
        """True if the question had no decision for so long that the answer is no for a while."""
        since = self._undecided_since.setdefault(key, now)
        if now - since < UNDECIDED_SECONDS_MAX or self._last_decision <= since:
            return False
        _log.warning("The decision point left a question undecided for %d s: the decision is no.", now - since)
        response = asyncio.get_running_loop().create_future()
        response.set_result({key.question: False})
        self._cache[key] = response
        return True

    async def _request(self, principal: Principal, questions: AbstractSet[Question]) -> Verdicts:
        verdicts: Verdicts
        try:
            with self._telemetry.decision_request():
                async with asyncio.timeout(RESPONSE_SECONDS_MAX):
                    permits = await self._point.allowed(principal, questions)
                    verdicts = {question: question in permits for question in questions}
        except TimeoutError:
            raise Unavailable("The decision point did not respond in time.") from None
        except Undecided as failure:
            verdicts = failure.verdicts
        if any(verdict is not None for verdict in verdicts.values()):
            self._last_decision = self._clock()
        return verdicts


def _retrieve_exception(task: asyncio.Future[Verdicts]) -> None:
    """Mark a failure as retrieved: every request that waited for it may have been cancelled."""
    if not task.cancelled():
        task.exception()
