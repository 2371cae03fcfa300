"""Retries of requests to Cosmos DB, and deadlines of verbs.

The SDK sends a request once. Only with endpoint discovery, which an account in Azure has, it repeats a request after a
503 or a refused write, in a second region or in the same one. A conflict may then come from its own first attempt. That
is harmless: the writer looks up a write that was refused or is in doubt, and recognises its own by the write id.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Generic, ParamSpec, TypeVar

from eventfeed.backoff import Backoff
from eventfeed.domain.errors import NotDone, OutcomeUnknown, StoreAway, Unavailable
from eventfeed.log.cosmos.availability import Availability
from eventfeed.log.cosmos.outcomes import (
    REQUEST_ERRORS,
    Kind,
    Outcome,
    outcome_of,
    reason_of,
    retry_after_of,
    status_of,
)

# A verb that takes longer fails.
VERB_SECONDS_MAX = 8.0
BACKOFF_SECONDS = 0.02
BACKOFF_SECONDS_MAX = 1.0
# The longest delay (s) that the store may ask for and a request waits out, and how many of them.
SHORT_DELAY_SECONDS = 0.25
SHORT_DELAYS_MAX = 3
# A replica that lags behind catches up within milliseconds.
STALE_TRIES_MAX = 20
STALE_SECONDS = 0.05
# The delay of a client (s) after a refusal that an operator has to look at.
REFUSAL_SECONDS = 5
_PARTITION_FULL = "status 403/1014"

T = TypeVar("T")
P = ParamSpec("P")


class ConflictError(Exception):
    """A document with this id exists, or the document has changed."""


class StaleReplica(Unavailable):
    """No replica that responded has the entries that are known to exist."""


def with_deadline(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Limit a verb to `VERB_SECONDS_MAX` over all its requests. After that it raises `Unavailable`."""

    @functools.wraps(verb)
    async def limited_verb(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(VERB_SECONDS_MAX):
                return await verb(*args, **kwargs)
        except TimeoutError:
            raise Unavailable("The store did not respond in time.") from None

    return limited_verb


async def with_retries(
    send: Callable[[], Awaitable[T]], kind: Kind, *, availability: Availability, random: Callable[[], float]
) -> T:
    """Send a request until it succeeds or its time is up. A write is repeated if it is idempotent, or was not done.

    Raises `ConflictError`, `NotDone` if the store certainly did nothing, and `StoreAway` if it takes no requests for
    now. Without a clear outcome it raises `OutcomeUnknown` for a write, and `Unavailable` for a read.
    """
    request = _Request(send, kind, availability=availability, random=random)
    try:
        return await request.run()
    except NotDone as failure:
        if request.doubt:
            raise _doubt_about(request.doubt, retry_seconds=failure.retry_seconds) from failure
        raise


class _Request(Generic[T]):
    """A request and its attempts. `doubt` is the reason why an attempt may have been done, "" without one."""

    def __init__(
        self,
        send: Callable[[], Awaitable[T]],
        kind: Kind,
        *,
        availability: Availability,
        random: Callable[[], float],
    ) -> None:
        self._send, self._kind, self._availability = send, kind, availability
        self._backoff = Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=random)
        self._deadline = asyncio.get_running_loop().time() + VERB_SECONDS_MAX
        self._delays = 0
        self.doubt = ""

    async def run(self) -> T:
        """Return the result. Raises as `with_retries` does, but `NotDone` also if an earlier attempt may be done."""
        loop = asyncio.get_running_loop()
        while True:
            self._availability.require(self._kind)
            try:
                result = await self._availability.attempt(self._send, seconds=self._deadline - loop.time())
            except REQUEST_ERRORS as error:
                delay = self._delay_after(error)
                if loop.time() + delay > self._deadline:
                    self._availability.require(self._kind)
                    raise self._late(error) from error
            else:
                self._availability.note_success(self._kind)
                return result
            await asyncio.sleep(delay)

    def _delay_after(self, error: Exception) -> float:
        """Return the delay (s) before the next attempt. Raises the caller's error if there is none."""
        match outcome_of(error, self._kind):
            case Outcome.CONFLICT:
                raise ConflictError from error
            case Outcome.REFUSAL:
                self._availability.note_refusal(self._kind, reason_of(error))
                raise _refusal(error) from error
            case Outcome.WAIT:
                return self._wait_after(error)
            case Outcome.UNKNOWN if self._kind is Kind.WRITE:
                raise _doubt_about(reason_of(error)) from error
            case Outcome.UNKNOWN:
                self.doubt = reason_of(error) if self._kind is Kind.IDEMPOTENT_WRITE else ""
        return self._backoff.next_delay()

    def _wait_after(self, error: Exception) -> float:
        """Return the delay that the store asks for, and a random one. Raises `StoreAway` if it is long, or the last.

        Without the random one, all requests that wait would be sent at the same moment, and be refused again.
        """
        seconds, reason = retry_after_of(error), reason_of(error)
        self._delays += 1
        if seconds <= SHORT_DELAY_SECONDS and self._delays <= SHORT_DELAYS_MAX:
            return seconds + self._backoff.next_delay()
        self._availability.note_refusal(self._kind, reason)
        if seconds > SHORT_DELAY_SECONDS:
            self._availability.pause(self._kind, seconds, reason=reason)
            self._availability.require(self._kind)
        raise StoreAway(f"The store has too many requests: {reason}.")

    def _late(self, error: Exception) -> Unavailable:
        """Return the failure of a request whose time is up."""
        if self.doubt:
            return _doubt_about(self.doubt)
        return Unavailable(f"The store did not respond in time: {reason_of(error)}.")


def _doubt_about(reason: str, *, retry_seconds: int = 1) -> OutcomeUnknown:
    return OutcomeUnknown(f"The store did not confirm the write: {reason}.", retry_seconds=retry_seconds)


def _refusal(error: Exception) -> NotDone:
    """Return the failure of a request that the store does not take as it is."""
    reason, hint = reason_of(error), ""
    if status_of(error) == HTTPStatus.NOT_FOUND:
        hint = " It has no such container: `eventfeed store create` makes an emulator's."
    elif reason == _PARTITION_FULL:
        hint = " A logical partition is full."
    return NotDone(f"The store refused the request: {reason}.{hint}", retry_seconds=REFUSAL_SECONDS)


async def read_until_current(read: Callable[[], Awaitable[T | None]]) -> T:
    """Read until the result is not None, the result of a replica that lags behind. Raises `StaleReplica`."""
    for _ in range(STALE_TRIES_MAX):
        result = await read()
        if result is not None:
            return result
        await asyncio.sleep(STALE_SECONDS)
    raise StaleReplica("The store's replica does not catch up.")
