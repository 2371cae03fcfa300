"""What the store's answers mean: asked again, told as unknown, or refused; and a replica that lags is not believed."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import ClientPayloadError
from azure.core.exceptions import DecodeError, ServiceRequestError, ServiceResponseError
from azure.cosmos import exceptions as cosmos_exceptions
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from eventfeed.domain.errors import OutcomeUnknown, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import AppFeed, Query
from eventfeed.log import cosmos_client
from eventfeed.log.cosmos import Room, Stretch, _taken
from eventfeed.log.cosmos_client import ConflictError, Document, patiently
from eventfeed.log.cosmos_documents import document_of, entry_of
from tests.making import TTD, entry, event

QUERY = Query(feed=AppFeed(app=TTD))


def status(code: int, *, sub_status: int | None = None) -> CosmosHttpResponseError:
    """A refusal of the store."""
    failure = CosmosHttpResponseError(status_code=code, message="no")  # type: ignore[no-untyped-call]  # the SDK's
    failure.sub_status = sub_status
    return failure


def batch(code: int) -> CosmosBatchOperationError:
    """A refusal of a batch."""
    return CosmosBatchOperationError(  # type: ignore[no-untyped-call]  # the SDK's
        error_index=0, headers={}, status_code=code, message="no", operation_responses=[]
    )


def failing(*failures: Exception) -> tuple[Callable[[], object], list[int]]:
    """Something that fails so often and then is done, and how often it was asked."""
    asked, left = [0], list(failures)

    async def ask() -> str:
        asked[0] += 1
        if left:
            raise left.pop(0)
        return "done"

    return ask, asked


LOST = [ServiceRequestError("x"), ServiceResponseError("x"), DecodeError("x"), ClientPayloadError("x"), OSError("x")]


@pytest.mark.parametrize("failure", [status(429), status(449), batch(429), batch(449)], ids=repr)
@pytest.mark.parametrize("writes", [True, False])
async def test_what_was_not_done_is_tried_again(failure: Exception, *, writes: bool) -> None:
    """Too many requests, or a write that met another: nothing happened."""
    ask, asked = failing(failure, failure)

    assert "done" == await patiently(ask, dice=lambda: 0.0, writes=writes)  # type: ignore[arg-type]  # async
    assert [3] == asked


@pytest.mark.parametrize(
    "failure",
    [*(status(code) for code in (408, 410, 500, 502, 503, 504)), status(404, sub_status=1002), *LOST],
    ids=repr,
)
async def test_a_read_is_asked_again(failure: Exception) -> None:
    """Whatever became of it, nothing changed."""
    ask, asked = failing(failure)

    assert "done" == await patiently(ask, dice=lambda: 0.0, writes=False)  # type: ignore[arg-type]  # async
    assert [2] == asked


@pytest.mark.parametrize(
    "failure", [*(status(code) for code in (400, 403, 408, 500, 503)), batch(503), batch(400), *LOST], ids=repr
)
async def test_a_write_in_doubt_is_told_as_unknown(failure: Exception) -> None:
    """And is not sent a second time from here: only looking tells."""
    ask, asked = failing(failure)

    with pytest.raises(OutcomeUnknown):
        await patiently(ask, dice=lambda: 0.0, writes=True)  # type: ignore[arg-type]  # async
    assert [1] == asked


@pytest.mark.parametrize("failure", [status(409), batch(409), status(412)], ids=repr)
async def test_a_document_that_is_there_is_a_conflict(failure: Exception) -> None:
    """Or one that has changed."""
    ask, _ = failing(failure)

    with pytest.raises(ConflictError):
        await patiently(ask, dice=lambda: 0.0, writes=True)  # type: ignore[arg-type]  # async


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413])
async def test_a_read_that_is_refused_is_not_asked_again(code: int) -> None:
    """A missing container says what to do; a rejected identity is no use trying."""
    ask, asked = failing(status(code))

    with pytest.raises(Unavailable):
        await patiently(ask, dice=lambda: 0.0, writes=False)  # type: ignore[arg-type]  # async
    assert [1] == asked


@pytest.mark.parametrize("writes", [True, False])
async def test_patience_ends(monkeypatch: pytest.MonkeyPatch, *, writes: bool) -> None:
    """Then the caller is told to come back."""
    monkeypatch.setattr(cosmos_client, "VERB_SECONDS_MAX", 0.05)
    ask, _ = failing(*[status(429)] * 1_000)

    with pytest.raises(Unavailable):
        await patiently(ask, dice=lambda: 1.0, writes=writes)  # type: ignore[arg-type]  # async


async def test_silence_is_a_lost_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that says nothing leaves a write in doubt."""
    monkeypatch.setattr(cosmos_client, "VERB_SECONDS_MAX", 0.05)

    async def silent() -> None:
        await asyncio.sleep(10)

    with pytest.raises(OutcomeUnknown):
        await patiently(silent, dice=lambda: 0.0, writes=True)


def test_the_sdk_has_no_failures_that_are_not_known() -> None:
    """One that is new must be looked at before it is released with."""
    known = {"CosmosBatchOperationError", "CosmosHttpResponseError", "CosmosResourceExistsError"}
    known |= {"CosmosResourceNotFoundError", "CosmosAccessConditionFailedError", "CosmosClientTimeoutError"}
    found = {
        name
        for name, each in vars(cosmos_exceptions).items()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == cosmos_exceptions.__name__
    }

    assert known == found
    assert all(issubclass(getattr(cosmos_exceptions, name), cosmos_client._LOST) for name in found)


def documents(*sequences: int, hidden: int = 0) -> list[Document]:
    """Documents of the feed, and one of another at `hidden`."""
    made = {each: document_of(entry(each), segment=0) for each in sequences}
    if hidden:
        made[hidden] = document_of(entry(hidden, of=event(app=None)), segment=0)
    return [made[each] for each in sorted(made)]


@pytest.mark.parametrize(
    ("found", "stretch"),
    [
        (documents(1, 3, 9), ([1, 3, 9], 9)),
        (documents(1, 3, hidden=9), ([1, 3], 9)),
        (documents(hidden=9), ([], 9)),
        (documents(1, 2, 3, 4, 5), ([1, 2, 3, 4], 4)),
        (documents(1, 3), None),
        (documents(), None),
    ],
)
def test_an_answer_proves_that_it_has_everything(found: list[Document], stretch: tuple[list[int], int] | None) -> None:
    """The last entry to reach is there, or the page is full; anything else came from a replica that is behind."""
    taken = _taken(found, QUERY, upto=9, room=Room(entries=4, bytes=10_000))

    shown = None if taken is None else ([each.sequence for each in taken.entries], taken.examined)
    assert stretch == shown


def test_bytes_end_a_stretch() -> None:
    """At the last entry that fits; the first always does."""
    found = [document_of(entry(place, of=event(size=1_000)), segment=0) for place in (1, 2, 9)]
    first = entry_of(found[0])

    assert Stretch([first], 1) == _taken(found, QUERY, upto=9, room=Room(entries=4, bytes=10))


def test_an_entry_comes_back_from_its_document() -> None:
    """Whatever it lacks."""
    made: list[Entry] = [entry(1), entry(2, of=event(app=None)), entry(3, of=event(app=None, resource="urn:x"))]

    assert made == [entry_of(document_of(each, segment=0)) for each in made]
