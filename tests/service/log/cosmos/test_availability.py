"""The availability of a database: requests that are not sent, probes, and one log line for each change."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from eventfeed.domain.errors import NotDone, StoreAway
from eventfeed.log.cosmos import availability as module
from eventfeed.log.cosmos.availability import AWAY_SECONDS, Availability
from eventfeed.log.cosmos.outcomes import Kind
from eventfeed.log.cosmos.retry import with_retries
from tests.service.log.cosmos.errors import Request, http_error

LOST = OSError("lost")


class Probe:
    """A probe without a response until `response` is set; `sent` is set by each."""

    def __init__(self) -> None:
        self.sent, self.response = asyncio.Event(), asyncio.Event()
        self.count = 0

    async def __call__(self) -> None:
        """Wait for the response."""
        self.count += 1
        self.sent.set()
        await self.response.wait()


class Store:
    """A database whose time the test sets (s), and its availability."""

    def __init__(self) -> None:
        self.time, self.probe = 100.0, Probe()
        self.availability = Availability(self.probe, clock=lambda: self.time)

    async def send(self, request: Request, kind: Kind = Kind.READ) -> str:
        """Send a request."""
        return await with_retries(request, kind, availability=self.availability, random=lambda: 0.0)

    async def fail(self, *, seconds: float) -> None:
        """Send a request that has no response for so long."""

        async def lose() -> None:
            self.time += seconds
            raise LOST

        with pytest.raises(OSError, match="lost"):
            await self.availability.attempt(lose, seconds=60)

    async def end_of_probes(self) -> None:
        """Wait until no probe follows."""
        assert self.availability._prober is not None
        await asyncio.gather(self.availability._prober, return_exceptions=True)


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A database that has responded."""
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.001)
    store = Store()
    await store.send(Request())
    yield store
    await store.availability.close()


def changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines about the store."""
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("the store")]


async def test_database_is_away_after_a_second_of_silence(store: Store) -> None:
    """The time counts from the start of the first request that failed. Then nothing is sent."""
    await store.fail(seconds=AWAY_SECONDS * 0.6)
    assert "done" == await store.send(Request())
    await store.fail(seconds=AWAY_SECONDS * 0.6)
    store.availability.require(Kind.READ)
    await store.fail(seconds=AWAY_SECONDS * 0.6)
    request, seconds = Request(), list[int]()
    for kind in Kind:
        with pytest.raises(StoreAway, match="does not respond: OSError") as away:
            await store.send(request, kind)
        seconds.append(away.value.retry_seconds)

    assert (0, [1, 1, 1]) == (request.attempts, seconds)


async def test_any_status_is_a_response(store: Store) -> None:
    """A store that refuses everything is there."""
    await store.fail(seconds=AWAY_SECONDS * 0.9)
    with pytest.raises(NotDone):
        await store.send(Request(http_error(403)))
    await store.fail(seconds=AWAY_SECONDS * 0.9)

    store.availability.require(Kind.WRITE)


async def test_silence_begins_after_the_last_response(store: Store) -> None:
    """A request that began before another one's response does not count from its own start."""
    begun, lost = asyncio.Event(), asyncio.Event()

    async def lose() -> None:
        begun.set()
        await lost.wait()
        raise LOST

    slow = asyncio.create_task(store.availability.attempt(lose, seconds=60))
    await begun.wait()
    store.time += 10 * AWAY_SECONDS
    await store.send(Request())
    lost.set()
    with pytest.raises(OSError, match="lost"):
        await slow

    store.availability.require(Kind.READ)


async def test_requests_under_way_end_when_the_database_is_away(store: Store) -> None:
    """A caller does not wait for the end of its own request."""
    under_way = asyncio.create_task(store.availability.attempt(asyncio.Event().wait, seconds=3_600))
    await asyncio.sleep(0)
    await store.fail(seconds=AWAY_SECONDS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(under_way, timeout=60)


async def test_response_to_a_probe_ends_the_absence(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Probes follow one another, also while the first one has no response. Each change is one line."""
    with caplog.at_level(logging.INFO):
        await store.fail(seconds=AWAY_SECONDS)
        for _ in range(3):
            await store.probe.sent.wait()
            store.probe.sent.clear()
            with pytest.raises(StoreAway):
                await store.send(Request())
        while_away = changes(caplog)
        store.probe.response.set()
        await store.end_of_probes()
        result = await store.send(Request())

    assert "done" == result
    assert ["the store does not respond: OSError"] == while_away
    assert ["the store does not respond: OSError", "the store responds again"] == changes(caplog)


async def test_probes_end_with_the_absence(store: Store) -> None:
    """A second absence has probes of its own."""
    for _ in range(2):
        await store.fail(seconds=AWAY_SECONDS)
        await store.probe.sent.wait()
        store.availability.note_response()
        await store.end_of_probes()
        store.probe.sent.clear()
        count = store.probe.count
        await asyncio.sleep(0.01)

        assert count == store.probe.count


async def test_absence_from_the_start_is_not_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    """The start reports it."""
    store = Store()
    await store.fail(seconds=AWAY_SECONDS)
    await store.availability.close()

    assert [] == changes(caplog)


@pytest.mark.parametrize(("paused", "other"), [(Kind.READ, Kind.WRITE), (Kind.WRITE, Kind.READ)])
async def test_pause_that_the_store_asks_for_sends_nothing(store: Store, paused: Kind, other: Kind) -> None:
    """Callers get the rest of its time. Requests of the other kind are sent, and the paused ones after the time."""
    with pytest.raises(StoreAway):
        await store.send(Request(http_error(429, retry_after=30)), paused)
    request, seconds = Request(), list[int]()
    for store.time in (100.0, 110.5, 129.9):
        with pytest.raises(StoreAway, match="status 429") as away:
            await store.send(request, paused)
        seconds.append(away.value.retry_seconds)
    attempts = request.attempts
    await store.send(Request(), other)
    store.time = 130.0

    assert (0, [30, 20, 1]) == (attempts, seconds)
    assert "done" == await store.send(request, paused)


async def test_pause_covers_every_kind_of_write(store: Store) -> None:
    """An idempotent write is one as well."""
    with pytest.raises(StoreAway):
        await store.send(Request(http_error(449, retry_after=1)), Kind.IDEMPOTENT_WRITE)
    with pytest.raises(StoreAway):
        store.availability.require(Kind.WRITE)


async def test_pause_has_a_limit(store: Store) -> None:
    """A store cannot silence a process for a day."""
    with pytest.raises(StoreAway) as away:
        await store.send(Request(http_error(429, retry_after=86_400)))

    assert module.PAUSE_SECONDS_MAX == away.value.retry_seconds


async def test_each_change_of_refusals_is_logged_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Reads and writes change apart. A success ends the refusals of its kind."""
    with caplog.at_level(logging.INFO):
        for code in (403, 403, 401, 403):
            with pytest.raises(NotDone):
                await store.send(Request(http_error(code)), Kind.WRITE)
        await store.send(Request(), Kind.READ)
        for _ in range(2):
            await store.send(Request(), Kind.WRITE)

    assert [
        "the store refuses writes: status 403",
        "the store refuses writes: status 401",
        "the store refuses writes: status 403",
        "the store takes writes again",
    ] == changes(caplog)
