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
from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos import database as cosmos_client
from eventfeed.log.cosmos.containers import containers, differences
from eventfeed.log.cosmos.database import ConflictError, Database, Document, with_retries
from eventfeed.log.cosmos.documents import document_of, entry_of
from eventfeed.log.cosmos.segments import ScanBudget, SegmentSlice, fit
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock
from tests.support.events import TTD, entry, event

QUERY = app_feed(TTD)


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

    assert "done" == await with_retries(ask, random=lambda: 0.0, writes=writes)  # type: ignore[arg-type]  # async
    assert [3] == asked


@pytest.mark.parametrize(
    "failure",
    [*(status(code) for code in (408, 410, 500, 502, 503, 504)), status(404, sub_status=1002), *LOST],
    ids=repr,
)
async def test_a_read_is_asked_again(failure: Exception) -> None:
    """Whatever became of it, nothing changed."""
    ask, asked = failing(failure)

    assert "done" == await with_retries(ask, random=lambda: 0.0, writes=False)  # type: ignore[arg-type]  # async
    assert [2] == asked


@pytest.mark.parametrize("failure", [*(status(code) for code in (403, 408, 500, 503)), batch(503), *LOST], ids=repr)
async def test_a_write_in_doubt_is_told_as_unknown(failure: Exception) -> None:
    """And is not sent a second time from here: only looking tells."""
    ask, asked = failing(failure)

    with pytest.raises(OutcomeUnknown):
        await with_retries(ask, random=lambda: 0.0, writes=True)  # type: ignore[arg-type]  # async
    assert [1] == asked


@pytest.mark.parametrize("failure", [status(409), batch(409), status(412)], ids=repr)
async def test_a_document_that_is_there_is_a_conflict(failure: Exception) -> None:
    """Or one that has changed."""
    ask, _ = failing(failure)

    with pytest.raises(ConflictError):
        await with_retries(ask, random=lambda: 0.0, writes=True)  # type: ignore[arg-type]  # async


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413])
async def test_a_read_that_is_refused_is_not_asked_again(code: int) -> None:
    """A missing container says what to do; a rejected identity is no use trying."""
    ask, asked = failing(status(code))

    with pytest.raises(Unavailable):
        await with_retries(ask, random=lambda: 0.0, writes=False)  # type: ignore[arg-type]  # async
    assert [1] == asked


@pytest.mark.parametrize("writes", [True, False])
async def test_patience_ends(monkeypatch: pytest.MonkeyPatch, *, writes: bool) -> None:
    """Then the caller is told to come back."""
    monkeypatch.setattr(cosmos_client, "VERB_SECONDS_MAX", 0.05)
    ask, _ = failing(*[status(429)] * 1_000)

    with pytest.raises(Unavailable):
        await with_retries(ask, random=lambda: 1.0, writes=writes)  # type: ignore[arg-type]  # async


async def test_silence_is_a_lost_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that says nothing leaves a write in doubt."""
    monkeypatch.setattr(cosmos_client, "VERB_SECONDS_MAX", 0.05)

    async def silent() -> None:
        await asyncio.sleep(10)

    with pytest.raises(OutcomeUnknown):
        await with_retries(silent, random=lambda: 0.0, writes=True)


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
    ("found", "segment_slice"),
    [
        (documents(1, 3, 9), ([1, 3, 9], 9)),
        (documents(1, 3, hidden=9), ([1, 3], 9)),
        (documents(hidden=9), ([], 9)),
        (documents(1, 2, 3, 4, 5), ([1, 2, 3, 4], 4)),
        (documents(1, 3), None),
        (documents(), None),
    ],
)
def test_an_answer_proves_that_it_has_everything(
    found: list[Document], segment_slice: tuple[list[int], int] | None
) -> None:
    """The last entry to reach is there, or the page is full; anything else came from a replica that is behind."""
    answer = fit(found, QUERY, upto=9, room=ScanBudget(entries=4, bytes=10_000))

    shown = None if answer is None else ([each.sequence for each in answer.entries], answer.examined)
    assert segment_slice == shown


def test_bytes_end_a_stretch() -> None:
    """At the last entry that fits; the first always does."""
    found = [document_of(entry(place, of=event(size=1_000)), segment=0) for place in (1, 2, 9)]
    first = entry_of(found[0])

    assert SegmentSlice([first], 1) == fit(found, QUERY, upto=9, room=ScanBudget(entries=4, bytes=10))


def test_an_entry_comes_back_from_its_document() -> None:
    """Whatever it lacks."""
    made: list[Entry] = [entry(1), entry(2, of=event(app=None)), entry(3, of=event(app=None, resource="urn:x"))]

    assert made == [entry_of(document_of(each, segment=0)) for each in made]


@pytest.mark.parametrize("code", [400, 413])
@pytest.mark.parametrize("made", [status, batch])
async def test_a_write_that_is_wrong_was_not_done(made: Callable[[int], Exception], code: int) -> None:
    """Too large, or not understood: there is no doubt, and asking again is no use."""
    ask, asked = failing(made(code))

    with pytest.raises(Unavailable) as raised:
        await with_retries(ask, random=lambda: 0.0, writes=True)  # type: ignore[arg-type]  # async
    assert (False, [1]) == (isinstance(raised.value, OutcomeUnknown), asked)


async def test_who_must_wait_long_is_told_at_once() -> None:
    """A store that wants to be left alone for longer than a verb lasts is not waited for."""
    refused = batch(429)
    refused.headers = {"x-ms-retry-after-ms": "30000"}
    ask, asked = failing(refused)

    with pytest.raises(Unavailable) as raised:
        await with_retries(ask, random=lambda: 0.0, writes=True)  # type: ignore[arg-type]  # async
    assert (30, [1]) == (raised.value.retry_seconds, asked)


@pytest.mark.parametrize(
    ("date", "drift"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 9_000_000),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10_000_000),
        ("no time", 0),
        (None, 0),
    ],
)
def test_the_clocks_are_compared_as_far_as_is_certain(date: str | None, drift: int) -> None:
    """The store tells a second, which is anywhere in it."""
    store = Database("http://127.0.0.1/", "x", key="", random=lambda: 0.0, clock=ManualClock(), telemetry=Telemetry())
    store.observe_clock({"Date": date} if date else {}, asked=ManualClock().now)

    assert drift == store.clock_skew


def test_a_slow_answer_tells_no_time() -> None:
    """What was known stays."""
    watch = ManualClock()
    store = Database("http://127.0.0.1/", "x", key="", random=lambda: 0.0, clock=watch, telemetry=Telemetry())
    store.observe_clock({"Date": "Tue, 14 Nov 2023 22:13:10 GMT"}, asked=watch.now)
    watch.now += 10_000_000
    store.observe_clock({"Date": "Tue, 14 Nov 2023 22:13:25 GMT"}, asked=watch.now - 10_000_000)

    assert 9_000_000 == store.clock_skew


WANTED = containers(keep_seconds=1_000)[0]
FOUND = {
    "partitionKey": {"paths": ["/segment"]},
    "defaultTtl": WANTED.ttl_seconds,
    "indexingPolicy": WANTED.indexing,
}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"defaultTtl": None}, []),
        ({"defaultTtl": -1}, []),
        ({"defaultTtl": 1_000_000}, []),
        ({"defaultTtl": 8_199}, ["container events deletes after 8199 s what must stay for 8200 s"]),
        ({"partitionKey": {"paths": ["/id"]}}, ["container events is partitioned by /id, not /segment"]),
    ],
)
def test_a_container_that_would_lose_events_is_told_of(changed: dict[str, object], told: list[str]) -> None:
    """One that deletes later than wanted is as good."""
    assert told == differences(WANTED, FOUND | changed, indexes=True)


def test_indexes_that_lack_are_named() -> None:
    """More than wanted is nobody's harm."""
    told = differences(WANTED, FOUND | {"indexingPolicy": {"includedPaths": [{"path": "/*"}]}}, indexes=True)

    assert 1 == len(told)
    assert "/org+/app+/sequence" in told[0]
    assert [] == differences(WANTED, FOUND | {"indexingPolicy": {}}, indexes=False)


async def test_in_azure_the_identity_that_the_environment_names_opens_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container app tells where identities are had; the one with this client id is asked for, and no other."""
    asked = list[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        told = b'{"access_token":"t","expires_on":"4102444800","resource":"x","token_type":"Bearer"}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(told) + told
        )
        await writer.drain()
        writer.close()

    monkeypatch.setattr(cosmos_client, "VERB_SECONDS_MAX", 0.5)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as identities:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{identities.sockets[0].getsockname()[1]}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "of-this-app")
        monkeypatch.setenv("AZURE_CLIENT_ID", "the-services-identity")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        store = Database(
            "https://127.0.0.1:9/", "events", key=None, random=lambda: 0.0, clock=ManualClock(), telemetry=Telemetry()
        )
        with pytest.raises(Unavailable):  # nobody listens there
            await store.open()
        await store.close()

    assert b"resource=https://127.0.0.1&client_id=the-services-identity " in asked[0]
    assert b"\r\nX-IDENTITY-HEADER: of-this-app\r\n" in asked[0]
