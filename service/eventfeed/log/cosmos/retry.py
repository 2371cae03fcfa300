"""Retries of requests to Cosmos DB, deadlines of verbs, and the meaning of the store's errors.

The SDK sends a request once. Only with endpoint discovery, which an account in Azure has, it repeats a request after a
503 or a refused write, in a second region or in the same one. A conflict may then come from its own first attempt. That
is harmless: the writer looks up a write that was refused or is in doubt, and recognises its own by the write id.
"""

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from aiohttp import ClientError
from azure.core.exceptions import AzureError
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from eventfeed.backoff import Backoff
from eventfeed.domain.errors import OutcomeUnknown, Unavailable

# A verb that takes longer fails.
VERB_SECONDS_MAX = 8.0
BACKOFF_SECONDS = 0.02
BACKOFF_SECONDS_MAX = 1.0
# A replica that lags behind catches up within milliseconds.
STALE_TRIES_MAX = 20
STALE_SECONDS = 0.05
# The longest delay that a client is asked to wait, whatever the store asks for.
RETRY_SECONDS_MAX = 60

# Errors of a request in the SDK, in its HTTP client and in the operating system.
REQUEST_ERRORS = (AzureError, ClientError, TimeoutError, OSError)
# Sub-status of 404: this replica lacks what the session has read; another one has it, or this one soon.
_SESSION_NOT_AVAILABLE = 1002
# Too many requests, or a write that met another one: the store did nothing.
_WITHOUT_EFFECT = frozenset({HTTPStatus.TOO_MANY_REQUESTS, 449})
# The request itself is wrong: the store did nothing, and a retry would fail as well.
_INVALID = frozenset({400, 413})
# A read can be retried after these. A write may be done.
_TRANSIENT = frozenset({HTTPStatus.NOT_FOUND, 408, 410, 500, 502, 503, 504})

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


async def with_retries(send: Callable[[], Awaitable[T]], *, random: Callable[[], float], writes: bool) -> T:
    """Send a request until it succeeds or the time is up. Raises `Unavailable`, and for a write `OutcomeUnknown`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + VERB_SECONDS_MAX
    backoff = Backoff(first=BACKOFF_SECONDS, longest=BACKOFF_SECONDS_MAX, random=random)
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await send()
        except REQUEST_ERRORS as error:
            retry_after = _retry_after(error, writes=writes)
        if loop.time() + retry_after > deadline:
            retry_seconds = min(max(1, math.ceil(retry_after)), RETRY_SECONDS_MAX)
            raise Unavailable("The store did not respond in time.", retry_seconds=retry_seconds)
        await asyncio.sleep(max(retry_after, backoff.next_delay()))


async def read_until_current(read: Callable[[], Awaitable[T | None]]) -> T:
    """Read until the result is not None, the result of a replica that lags behind. Raises `StaleReplica`."""
    for _ in range(STALE_TRIES_MAX):
        result = await read()
        if result is not None:
            return result
        await asyncio.sleep(STALE_SECONDS)
    raise StaleReplica("The store's replica does not catch up.")


def _retry_after(error: Exception, *, writes: bool) -> float:
    """Return the shortest delay (s) before a retry. Raises the caller's error if a retry is of no use."""
    status = error.status_code if isinstance(error, CosmosHttpResponseError | CosmosBatchOperationError) else None
    if status in _WITHOUT_EFFECT:
        return _retry_after_header(error)
    if status in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT):
        raise ConflictError from error
    if status in _INVALID:
        raise _refusal(error) from error
    if writes:
        raise OutcomeUnknown(f"The store did not say whether it wrote: {_reason(error)}.") from error
    if status == HTTPStatus.NOT_FOUND and getattr(error, "sub_status", None) != _SESSION_NOT_AVAILABLE:
        raise Unavailable("The store has no such container: `eventfeed store create` makes an emulator's.") from error
    if status is None or status in _TRANSIENT:
        return 0.0
    raise _refusal(error) from error


def _retry_after_header(error: Exception) -> float:
    headers = getattr(error, "headers", None) or {}
    try:
        return float(headers.get("x-ms-retry-after-ms", 0)) / 1000
    except ValueError:
        return 0.0


def _refusal(error: Exception) -> Unavailable:
    return Unavailable(f"The store refused the request: {_reason(error)}.", retry_seconds=5)


def _reason(error: Exception) -> str:
    """The status, or the class of the error. An SDK's message may contain values of the request."""
    status = getattr(error, "status_code", None)
    return f"status {status}" if status is not None else type(error).__name__
