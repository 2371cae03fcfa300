"""Event streams: heartbeats, rights that end, clients that stop reading, and messages at the end."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventfeed.client.stream import Message, StreamParser
from eventfeed.domain.cursor import BareSequence
from eventfeed.domain.errors import NotApproved
from eventfeed.domain.feed import app_feed
from eventfeed.domain.page_entries import PageEntries
from eventfeed.http import sending
from eventfeed.http.problems import Problems
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading import event_stream as module
from eventfeed.http.reading import stream_pages
from eventfeed.http.reading.event_stream import EventStreamResponse
from eventfeed.http.reading.feed_request import AnonymousReader, FeedRequest, ReadingServices
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.reading.representation import SerialiseEach, whole_events
from eventfeed.http.reading.stream_pages import FIRST_PAGE_EVENTS, PAGE_BYTES_MAX, StreamPages, stream_bounds
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log, running_appender
from tests.support.events import TTD, event, submission
from tests.support.reading import ManualGuard, reading_limits
from tests.support.requests import http_request

NOW = 1_700_000_000


class Connection:
    """The client's end: it parses chunks until it stops reading, and may disconnect.

    `longest` is the length of the longest chunk. The client stops reading after `messages_max` messages.
    """

    def __init__(self, messages_max: int) -> None:
        self.parser = StreamParser()
        self.messages = list[Message]()
        self.status = 0
        self.complete, self.disconnect, self.reading = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.longest, self._messages_max, self.is_lost = 0, messages_max, False
        self.reading.set()

    async def receive(self) -> dict[str, Any]:
        """Return the disconnect, once it happens."""
        await self.disconnect.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Read a part of the response, once the client reads."""
        await self.reading.wait()
        if self.is_lost:
            return
        self.status = message.get("status", self.status)
        body = message.get("body", b"")
        self.longest = max(self.longest, len(body))
        self.messages += self.parser.feed(body)
        if len(self.messages) >= self._messages_max:
            self.reading.clear()
        if message["type"] == "http.response.body" and not message["more_body"]:
            self.complete.set()

    def lose(self) -> None:
        """Lose the connection: what is sent from now on arrives nowhere, and the service learns of it."""
        self.is_lost = True
        self.disconnect.set()
        self.reading.set()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true."""
        async with asyncio.timeout(120):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def wait_for_messages(self, count: int) -> None:
        """Wait until this many messages have arrived."""
        await self.wait_for(lambda: len(self.messages) == count)

    async def wait_for_end(self) -> None:
        """Wait for the end of the response."""
        await asyncio.wait_for(self.complete.wait(), 120)

    def positions(self) -> list[int]:
        """The positions of the events so far."""
        return [int(each.id.split(".")[1]) for each in self.messages if each.type == "message"]

    def end(self) -> tuple[str, str]:
        """The code and the position of the last message, which ends the stream."""
        last = self.messages[-1]
        assert "end" == last.type
        return json.loads(last.data)["code"], last.id.split(".")[1]


class StubGuard(ManualGuard):
    """A right of a caller whose token may expire (s since 1970)."""

    def __init__(self, *, expires: int | None = None, audit_failure: Exception | None = None) -> None:
        super().__init__(valid_to=(NOW + 10**6) * 1_000_000)
        self.expires, self.audit_failure = expires, audit_failure


class Streams:
    """A log of one app, and streams of its feed."""

    def __init__(self, appender: Appender, reader: Reader, tail: Tail) -> None:
        self.appender, self.tail, self.clock = appender, tail, ManualClock(NOW * 1_000_000)
        self.telemetry = Telemetry()
        self.limits = reading_limits(self.telemetry, caller_streams=1)
        problems = Problems(PublicUrl(public_url="", own_url="http://x"), self.telemetry)
        self.serialise: SerialiseEach = whole_events
        self.services = ReadingServices(reader, self.clock, problems, self.limits, self.telemetry, self._reset)
        self.pages = StreamPages(self.services)

    async def _reset(self, scope: Any) -> None:
        scope["connection"].lose()

    async def publish(self, count: int = 1, *, size: int = 0) -> None:
        """Publish events of the app."""
        await self.appender.publish(submission(*(event(size=size) for _ in range(count))))

    @property
    def count(self) -> int:
        """The number of open streams."""
        return self.limits._streams.used

    @asynccontextmanager
    async def stream(
        self,
        guard: StubGuard | None = None,
        *,
        size: int = 50,
        until: int | None = None,
        messages_max: int = 10**9,
        caller: str = "someone",
    ) -> AsyncIterator[Connection]:
        """Open a stream from the beginning while the block lasts."""
        parameters = parameters_with(size=size, until=until)
        guard = guard or StubGuard()
        reader = AnonymousReader(caller, expires=guard.expires)
        feed_request = FeedRequest(http_request(), app_feed(TTD), parameters, reader, guard, self.serialise)
        page = await self.services.page_reader.read(
            app_feed(TTD), after=BareSequence(position=0), bounds=stream_bounds(parameters)
        )
        application: Any = EventStreamResponse(self.pages, feed_request, page=page).to_asgi_response()
        connection = Connection(messages_max)
        task = asyncio.create_task(application({"connection": connection}, connection.receive, connection.send))
        try:
            yield connection
        finally:
            connection.lose()
            await asyncio.wait_for(task, 120)


def parameters_with(*, size: int, until: int | None) -> Parameters:
    """The parameters of a request from the beginning of a feed."""
    return Parameters(
        rest="",
        after=BareSequence(position=0),
        types=frozenset(),
        sources=frozenset(),
        party=None,
        unit=None,
        person=None,
        subject=None,
        alternative_subject=None,
        resource=None,
        size=size,
        until=until,
    )


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[Streams]:
    """An empty log."""
    clock = ManualClock(NOW * 1_000_000)
    async with open_sqlite_log(tmp_path / "log.db") as log, running_appender(log, clock=clock) as (appender, tail):
        retention = Retention(log, clock=clock, keep=10**15)
        decisions, telemetry = StubDecisionPoint(), Telemetry()
        reader = Reader(log, tail, retention=retention, decisions=decisions, telemetry=telemetry)
        yield Streams(appender, reader, tail)
        await tail.stop()


@pytest.fixture
def fast_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats, and checks of rights, every 50 ms."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)


async def test_events_arrive_on_a_stream_as_they_are_published(streams: Streams) -> None:
    """The request may have any size. Each event has the cursor after it."""
    await streams.publish(5)
    async with streams.stream(size=2) as connection:
        await connection.wait_for_messages(5)
        await streams.publish(2)
        await connection.wait_for_messages(7)

    assert [1, 2, 3, 4, 5, 6, 7] == connection.positions()
    assert 200 == connection.status


@pytest.mark.usefixtures("fast_heartbeats")
async def test_heartbeat_moves_the_cursor_past_events_of_other_feeds(streams: Streams) -> None:
    """A reconnect need not examine these events again."""
    async with streams.stream() as connection:
        await streams.appender.publish(submission(event(app=None, resource="urn:x")))
        await connection.wait_for(lambda: ".1." in connection.parser.last_id)

    assert [] == connection.messages
    assert streams.telemetry.counters["eventfeed.polls.caught_up"].series["app", "stream"] > 0


@pytest.mark.usefixtures("fast_heartbeats")
async def test_right_that_ends_also_ends_the_stream(streams: Streams) -> None:
    """The right is checked with each heartbeat."""
    guard = StubGuard()
    await streams.publish()
    async with streams.stream(guard) as connection:
        await connection.wait_for_messages(1)
        guard.refusal = NotApproved("The approval was withdrawn.")
        await connection.wait_for_end()

    assert ("not-approved", "1") == connection.end()


async def test_token_that_expires_ends_the_stream(streams: Streams) -> None:
    """The stream ends within that second, even if there is no event."""
    await streams.publish()
    async with streams.stream(StubGuard(expires=NOW + 1)) as connection:
        await connection.wait_for_messages(1)
        streams.clock.now += 1_000_000
        await connection.wait_for_end()

    assert ("unauthenticated", "1") == connection.end()


async def test_shutdown_ends_every_stream_with_its_cursor(streams: Streams) -> None:
    """The last message has the cursor to resume from."""
    await streams.publish(3)
    async with streams.stream() as connection:
        await connection.wait_for_messages(3)
        streams.tail.waiters.close()
        await connection.wait_for_end()

    assert ("unavailable", "3") == connection.end()


async def test_stream_ends_once_the_log_has_passed_its_bound(streams: Streams) -> None:
    """No later event can be before that time."""
    await streams.publish(2)
    async with streams.stream(until=NOW * 1_000_000 + 1) as with_bound:
        await with_bound.wait_for_messages(2)
        is_open = not with_bound.complete.is_set()
    async with streams.stream(until=NOW * 1_000_000) as past:
        await past.wait_for_end()

    assert (True, []) == (is_open, past.messages)


async def test_client_that_stops_reading_is_disconnected(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service reads no more pages than the client does, and resets its connection."""
    monkeypatch.setattr(sending, "SEND_SECONDS_MAX", 0.1)
    await streams.publish(20, size=20_000)
    guard = StubGuard()
    async with streams.stream(guard, size=5, messages_max=3) as connection:
        await connection.wait_for(lambda: len(connection.messages) >= 3)
        await connection.wait_for(lambda: streams.count == 0)
        count = len(connection.messages)

    assert (True, True) == (3 <= count < 10, connection.is_lost)
    assert len(guard.pages) < 4
    assert connection.longest <= sending.PART_BYTES


async def test_page_of_a_stream_is_bounded_in_bytes(streams: Streams) -> None:
    """A large size does not matter: a slow reader holds one page and its parts, and gets every event."""
    await streams.publish(30, size=20_000)
    guard = StubGuard()
    async with streams.stream(guard, size=1_000) as connection:
        await connection.wait_for_messages(30)
    sizes = [sum(entry.json_length for entry in page.entries) for page in guard.pages]

    assert list(range(1, 31)) == connection.positions()
    assert max(sizes) <= PAGE_BYTES_MAX


async def test_stream_reads_no_more_small_events_at_once_than_fit(streams: Streams) -> None:
    """After the first page, the length of events decides how many the next one reads."""
    await streams.publish(60)
    guard = StubGuard()
    async with streams.stream(guard, size=1_000) as connection:
        await connection.wait_for_messages(60)

    assert [FIRST_PAGE_EVENTS, 60 - FIRST_PAGE_EVENTS] == [len(page.entries) for page in guard.pages]


async def test_stream_that_is_behind_fills_its_pages_with_bytes(streams: Streams) -> None:
    """The size of the request does not limit it."""
    for _ in range(5):
        await streams.publish(100)
    guard = StubGuard()
    async with streams.stream(guard, size=50) as connection:
        await connection.wait_for_messages(500)
    first, second, *_ = guard.pages
    length = sum(entry.json_length for entry in second.entries) / len(second.entries)

    assert FIRST_PAGE_EVENTS == len(first.entries)
    assert 100 < len(second.entries) < PAGE_BYTES_MAX / length < 1.5 * len(second.entries)


@pytest.mark.parametrize(("seconds", "times"), [(3_600.0, 1), (0.0, 2)])
async def test_page_is_kept_for_a_moment(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, seconds: float, times: int
) -> None:
    """In a quiet log too: its entries expire, and it may get another name."""
    monkeypatch.setattr(stream_pages, "KEEP_SECONDS", seconds)
    serialised = list[int]()

    def serialise(entries: PageEntries) -> Iterable[bytes]:
        serialised.extend(entry.sequence for entry in entries)
        return entries.json_events()

    await streams.publish()
    parameters = parameters_with(size=50, until=None)
    request = FeedRequest(http_request(), app_feed(TTD), parameters, AnonymousReader("someone"), None, serialise)
    cursor = await streams.services.page_reader.cursor_at(0, log=streams.tail.head.log)
    pages = [await streams.pages.read(request, cursor, bounds=stream_bounds(parameters)) for _ in range(2)]

    assert [1] * times == serialised
    assert [1, 1] == [each.messages.count(b"data: ") for each in pages]


async def test_streams_at_one_place_share_their_messages(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is made into a message once. Each reader has its own right, audit entry and measurement."""
    monkeypatch.setattr(stream_pages, "KEEP_SECONDS", 3_600.0)
    serialised = list[int]()

    def serialise(entries: PageEntries) -> Iterable[bytes]:
        serialised.extend(entry.sequence for entry in entries)
        return entries.json_events()

    streams.serialise, guards = serialise, [StubGuard() for _ in range(3)]
    guards[2].refusal = NotApproved("The approval was withdrawn.")
    async with AsyncExitStack() as stack:
        opened = [streams.stream(each, caller=str(number)) for number, each in enumerate(guards)]
        connections = [await stack.enter_async_context(each) for each in opened]
        await connections[0].wait_for(lambda: streams.tail.waiters.count == len(guards))
        await streams.publish()
        for each in connections[:2]:
            await each.wait_for_messages(1)
        await connections[2].wait_for_end()
        shared = sum(streams.telemetry.histograms["eventfeed.age_at_read"].distribution("app").counts)
        least_seconds = streams.telemetry.histograms["eventfeed.page.duration"].distribution("app").least

    assert ([1], 2, True) == (serialised, shared, least_seconds > 0)
    assert [1, 1, 0] == [len(each.pages) for each in guards]
    assert ("not-approved", []) == (connections[2].end()[0], connections[2].positions())


async def test_stream_that_finds_no_memory_ends(streams: Streams) -> None:
    """The client connects again later, with its last id."""
    await streams.publish(size=2 * sending.PART_BYTES)
    with streams.limits.memory(AnonymousReader("other"), 1 << 30):
        async with streams.stream() as connection:
            await connection.wait_for_end()

    assert ("unavailable", []) == (connection.end()[0], connection.positions())


async def test_disconnect_of_a_client_frees_its_slot_at_once(streams: Streams) -> None:
    """Until then, another stream of the same caller is refused."""
    async with streams.stream() as first:
        await first.wait_for(lambda: first.status == 200)
        async with streams.stream() as second:
            await second.wait_for(lambda: second.status != 0)
        first.disconnect.set()
        await first.wait_for(lambda: streams.count == 0)
    async with streams.stream() as third:
        await third.wait_for(lambda: third.status == 200)

    assert 429 == second.status


async def test_page_for_a_client_that_is_gone_is_not_recorded(streams: Streams) -> None:
    """The client disconnects when an event has woken its stream."""
    guard = StubGuard()
    async with streams.stream(guard) as connection:
        await connection.wait_for(lambda: streams.tail.waiters.count == 1)
        await streams.publish()
        connection.disconnect.set()
        await connection.wait_for(lambda: streams.count == 0)

    assert ([], []) == (guard.pages, connection.messages)


async def test_page_that_cannot_be_recorded_is_not_sent(streams: Streams) -> None:
    """Each page is recorded before it is sent."""
    await streams.publish(3)
    async with streams.stream(StubGuard(audit_failure=NotApproved("no record"))) as connection:
        await connection.wait_for_end()

    assert ("not-approved", []) == (connection.end()[0], connection.positions())
