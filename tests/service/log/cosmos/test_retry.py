"""Errors of the store: retried, reported as an unknown outcome, or refused."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientPayloadError
from azure.core.exceptions import DecodeError, ServiceRequestError, ServiceResponseError
from azure.cosmos import exceptions as cosmos_exceptions
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from eventfeed.domain.errors import OutcomeUnknown, Unavailable
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.retry import REQUEST_ERRORS, ConflictError, with_retries


def http_error(code: int, *, sub_status: int | None = None) -> CosmosHttpResponseError:
    """The error of a request with this status."""
    error = CosmosHttpResponseError(status_code=code, message="no")  # type: ignore[no-untyped-call]  # the SDK's
    error.sub_status = sub_status
    return error


def batch_error(code: int) -> CosmosBatchOperationError:
    """The error of a batch with this status."""
    return CosmosBatchOperationError(  # type: ignore[no-untyped-call]  # the SDK's
        error_index=0, headers={}, status_code=code, message="no", operation_responses=[]
    )


class Request:
    """A request that raises these errors, one in each attempt, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.attempts = 0

    async def __call__(self) -> str:
        """Make an attempt."""
        self.attempts += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


async def attempt(request: Callable[[], Awaitable[str]], *, writes: bool, jitter: float = 0.0) -> str:
    """Send a request with retries, whose random delays are all this share of the longest."""
    return await with_retries(request, random=lambda: jitter, writes=writes)


CONNECTION_ERRORS = [
    ServiceRequestError("x"),
    ServiceResponseError("x"),
    DecodeError("x"),
    ClientPayloadError("x"),
    OSError("x"),
]


@pytest.mark.parametrize("error", [http_error(429), http_error(449), batch_error(429), batch_error(449)], ids=repr)
@pytest.mark.parametrize("writes", [True, False])
async def test_request_without_effect_is_retried(error: Exception, *, writes: bool) -> None:
    """The store did nothing: there were too many requests, or a concurrent write."""
    request = Request(error, error)

    assert "done" == await attempt(request, writes=writes)
    assert 3 == request.attempts


@pytest.mark.parametrize(
    "error",
    [
        *(http_error(code) for code in (408, 410, 500, 502, 503, 504)),
        http_error(404, sub_status=1002),
        *CONNECTION_ERRORS,
    ],
    ids=repr,
)
async def test_read_after_a_transient_error_is_retried(error: Exception) -> None:
    """A read changes nothing, so its outcome does not matter."""
    request = Request(error)

    assert "done" == await attempt(request, writes=False)
    assert 2 == request.attempts


@pytest.mark.parametrize(
    "error",
    [*(http_error(code) for code in (403, 408, 500, 503)), batch_error(503), *CONNECTION_ERRORS],
    ids=repr,
)
async def test_write_after_a_transient_error_has_an_unknown_outcome(error: Exception) -> None:
    """The write is not sent a second time: the writer must read the positions."""
    request = Request(error)

    with pytest.raises(OutcomeUnknown):
        await attempt(request, writes=True)
    assert 1 == request.attempts


@pytest.mark.parametrize("error", [http_error(409), batch_error(409), http_error(412)], ids=repr)
async def test_write_of_an_existing_document_is_a_conflict(error: Exception) -> None:
    """A write of a document that has changed meanwhile is a conflict too."""
    with pytest.raises(ConflictError):
        await attempt(Request(error), writes=True)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413])
async def test_invalid_read_is_not_retried(code: int) -> None:
    """A container does not exist, or the store rejects the request or the identity."""
    request = Request(http_error(code))

    with pytest.raises(Unavailable):
        await attempt(request, writes=False)
    assert 1 == request.attempts


@pytest.mark.parametrize("code", [400, 413])
@pytest.mark.parametrize("error_of", [http_error, batch_error])
async def test_invalid_write_is_unavailable_without_doubt(error_of: Callable[[int], Exception], code: int) -> None:
    """The store did not write a request that is too large or invalid, and a retry is of no use."""
    request = Request(error_of(code))

    with pytest.raises(Unavailable) as error:
        await attempt(request, writes=True)
    assert (False, 1) == (isinstance(error.value, OutcomeUnknown), request.attempts)


@pytest.mark.parametrize("writes", [True, False])
async def test_retries_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch, *, writes: bool) -> None:
    """After the deadline the result is unavailable, and the caller must repeat the call."""
    monkeypatch.setattr(retry, "VERB_SECONDS_MAX", 0.05)
    request = Request(*[http_error(429)] * 1_000)

    with pytest.raises(Unavailable):
        await attempt(request, writes=writes, jitter=1.0)


async def test_delay_beyond_the_deadline_is_unavailable_at_once() -> None:
    """A delay that the store asks for is passed on if it is longer than a verb may take."""
    error = batch_error(429)
    error.headers = {"x-ms-retry-after-ms": "30000"}
    request = Request(error)

    with pytest.raises(Unavailable) as unavailable:
        await attempt(request, writes=True)
    assert (30, 1) == (unavailable.value.retry_seconds, request.attempts)


async def test_write_without_a_response_has_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the deadline the store may have executed the write."""
    monkeypatch.setattr(retry, "VERB_SECONDS_MAX", 0.05)

    async def wait() -> str:
        await asyncio.sleep(10)
        return "done"

    with pytest.raises(OutcomeUnknown):
        await attempt(wait, writes=True)


def test_every_error_of_the_sdk_is_classified() -> None:
    """A new error class of the SDK must be classified before that version is used."""
    classes = {
        name: each
        for name, each in vars(cosmos_exceptions).items()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == cosmos_exceptions.__name__
    }

    assert {
        "CosmosAccessConditionFailedError",
        "CosmosBatchOperationError",
        "CosmosClientTimeoutError",
        "CosmosHttpResponseError",
        "CosmosResourceExistsError",
        "CosmosResourceNotFoundError",
    } == set(classes)
    assert all(issubclass(each, REQUEST_ERRORS) for each in classes.values())
