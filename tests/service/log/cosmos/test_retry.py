"""Requests to the store: what is repeated, and what their callers get."""

import asyncio

import pytest

from eventfeed.domain.errors import NotDone, OutcomeUnknown, StoreAway, Unavailable
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.availability import Availability
from eventfeed.log.cosmos.outcomes import Kind
from eventfeed.log.cosmos.retry import BACKOFF_SECONDS, SHORT_DELAYS_MAX, ConflictError, with_retries
from tests.service.log.cosmos.errors import Request, batch_error, http_error
from tests.service.log.cosmos.test_outcomes import CONNECTION_ERRORS, WRITES

LOST = http_error(503)


async def attempt(request: Request, kind: Kind, *, jitter: float = 0.0) -> str:
    """Send a request with retries, whose random delays are all this share of the longest."""
    availability = Availability(Request())
    try:
        return await with_retries(request, kind, availability=availability, random=lambda: jitter)
    finally:
        await availability.close()


@pytest.mark.parametrize("error", [http_error(429), http_error(449), batch_error(429, retry_after=0.01)], ids=repr)
@pytest.mark.parametrize("kind", Kind)
async def test_short_delay_that_the_store_asks_for_is_waited_out(error: Exception, kind: Kind) -> None:
    """The store did nothing: there were too many requests, or a concurrent write."""
    request = Request(*[error] * SHORT_DELAYS_MAX)

    assert "done" == await attempt(request, kind)
    assert SHORT_DELAYS_MAX + 1 == request.attempts


async def test_requests_are_spread_after_a_delay_that_the_store_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for a random time more: otherwise all of them would be sent at the same moment."""
    delays = list[float]()

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for jitter in (0.0, 0.5):
        await attempt(Request(http_error(429, retry_after=0.2)), Kind.READ, jitter=jitter)

    assert [0.2, 0.2 + 0.5 * BACKOFF_SECONDS] == delays


@pytest.mark.parametrize("code", [429, 449])
@pytest.mark.parametrize("kind", Kind)
async def test_store_that_keeps_asking_for_delays_is_away(code: int, kind: Kind) -> None:
    """The request fails after a few of them, with the status, and nothing was done."""
    request = Request(*[http_error(code)] * 100)

    with pytest.raises(StoreAway, match=f"too many requests: status {code}"):
        await attempt(request, kind)
    assert SHORT_DELAYS_MAX + 1 == request.attempts


@pytest.mark.parametrize("error", [http_error(429, retry_after=30), batch_error(449, retry_after=30)], ids=repr)
@pytest.mark.parametrize("kind", Kind)
async def test_long_delay_that_the_store_asks_for_is_passed_on_at_once(error: Exception, kind: Kind) -> None:
    """The caller gets the whole of it, and the status."""
    request = Request(error)

    with pytest.raises(StoreAway, match=r"status 4(2|4)9") as away:
        await attempt(request, kind)
    assert (30, 1) == (away.value.retry_seconds, request.attempts)


@pytest.mark.parametrize("error", [LOST, http_error(404, sub_status=1002), *CONNECTION_ERRORS], ids=repr)
async def test_read_without_a_result_is_repeated(error: Exception) -> None:
    """A read changes nothing, so its outcome does not matter."""
    request = Request(error)

    assert "done" == await attempt(request, Kind.READ)
    assert 2 == request.attempts


@pytest.mark.parametrize("error", [LOST, batch_error(503), *CONNECTION_ERRORS], ids=repr)
async def test_idempotent_write_without_an_outcome_is_repeated(error: Exception) -> None:
    """It does not matter which attempt does it."""
    request = Request(error)

    assert "done" == await attempt(request, Kind.IDEMPOTENT_WRITE)
    assert 2 == request.attempts


@pytest.mark.parametrize("error", [LOST, http_error(408), http_error(410), *CONNECTION_ERRORS], ids=repr)
async def test_write_without_an_outcome_is_not_repeated(error: Exception) -> None:
    """The writer must look up what is stored."""
    request = Request(error)

    with pytest.raises(OutcomeUnknown, match="did not confirm the write"):
        await attempt(request, Kind.WRITE)
    assert 1 == request.attempts


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413])
@pytest.mark.parametrize("kind", Kind)
async def test_refused_request_is_not_done_and_not_repeated(code: int, kind: Kind) -> None:
    """The detail has the status. A publisher need not look up anything."""
    request = Request(http_error(code))

    with pytest.raises(NotDone, match=f"status {code}") as failure:
        await attempt(request, kind)
    assert (NotDone, 5, 1) == (type(failure.value), failure.value.retry_seconds, request.attempts)


@pytest.mark.parametrize(
    ("error", "hint"),
    [(http_error(404), "eventfeed store create"), (http_error(403, sub_status=1014), "logical partition is full")],
)
async def test_refusal_that_an_operator_can_end_has_a_hint(error: Exception, hint: str) -> None:
    """A container does not exist, or a partition has its largest size."""
    with pytest.raises(NotDone, match=hint):
        await attempt(Request(error), Kind.WRITE)


@pytest.mark.parametrize(
    "refusal", [http_error(403), http_error(429, retry_after=30), *map(http_error, (400, 401, 404, 413))], ids=repr
)
async def test_refusal_after_an_attempt_that_may_be_done_is_an_unknown_outcome(refusal: Exception) -> None:
    """The first attempt of an idempotent write had no response. The caller still waits as long as the store asks."""
    with pytest.raises(OutcomeUnknown) as failure:
        await attempt(Request(LOST, refusal), Kind.IDEMPOTENT_WRITE)
    with pytest.raises(NotDone) as read_failure:
        await attempt(Request(LOST, refusal), Kind.READ)

    assert read_failure.value.retry_seconds == failure.value.retry_seconds


@pytest.mark.parametrize("error", [http_error(409), batch_error(409), http_error(412)], ids=repr)
@pytest.mark.parametrize("kind", WRITES)
async def test_write_of_an_existing_document_is_a_conflict(error: Exception, kind: Kind) -> None:
    """A write of a document that has changed meanwhile is a conflict too."""
    with pytest.raises(ConflictError):
        await attempt(Request(error), kind)


@pytest.mark.parametrize(
    ("kind", "failure"), [(Kind.READ, Unavailable), (Kind.IDEMPOTENT_WRITE, OutcomeUnknown)], ids=["read", "write"]
)
async def test_retries_end_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, failure: type[Unavailable]
) -> None:
    """The failure has the reason of the last attempt."""
    monkeypatch.setattr(retry, "VERB_SECONDS_MAX", 0.05)

    with pytest.raises(Unavailable, match="status 503") as late:
        await attempt(Request(*[LOST] * 1_000), kind, jitter=1.0)
    assert failure is type(late.value)


async def test_write_without_a_response_has_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the deadline the store may have executed the write."""
    monkeypatch.setattr(retry, "VERB_SECONDS_MAX", 0.05)

    class EndlessRequest(Request):
        async def __call__(self) -> str:
            await asyncio.Event().wait()
            return "done"

    with pytest.raises(OutcomeUnknown):
        await attempt(EndlessRequest(), Kind.WRITE)
