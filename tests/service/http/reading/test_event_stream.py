"""A live stream: heartbeats, rights that go, readers that stop reading, and an end that says why."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import RequestFactory

from eventfeed.client.stream import Message, StreamParser
from eventfeed.domain.cursor import Bare
from eventfeed.domain.errors import NotApproved
from eventfeed.domain.feed import AppFeed, Page, PageRequest, Query
from eventfeed.http.problems import Problems
from eventfeed.http.reading import event_stream as module
from eventfeed.http.reading.event_stream import Live, Source, Stream
from eventfeed.http.reading.long_poll import ConcurrencyLimits
from eventfeed.http.reading.representation import View
from eventfeed.http.request import PublicUrl
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.metrics import CAUGHT_UP
from tests.support.engines import Allowing, Watch, appending, opened
from tests.support.events import TTD, event, submission

QUERY = Query(feed=AppFeed(app=TTD))
NOW = 1_700_000_000


class Connection:
    """The other end: takes what is sent, unless it has stopped, and may hang up."""

    def __init__(self) -> None:
        self.parser = StreamParser()
        self.messages = list[Message]()
        self.status = 0
        self.ended, self.left, self.taking = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.most, self.stops_after = 0, 10**9
        self.taking.set()

    async def receive(self) -> dict[str, Any]:
        """The request, then nothing until it hangs up."""
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a part of the answer."""
        await self.taking.wait()
        self.status = message.get("status", self.status)
        body = message.get("body", b"")
        self.most = max(self.most, len(body))
        self.messages += self.parser.feed(body)
        if len(self.messages) >= self.stops_after:
            self.taking.clear()
        if message["type"] == "http.response.body" and not message["more_body"]:
            self.ended.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that nobody tells."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


class Streaming:
    """A log of one app, and streams of it."""

    def __init__(self, appender: Appender, reader: Reader) -> None:
        self.appender, self.reader, self.watch = appender, reader, Watch(NOW * 1_000_000)
        self.places = ConcurrencyLimits(waits=9, streams=9, caller_streams=1)

    async def publish(self, count: int = 1, *, size: int = 0) -> None:
        """Events of the app."""
        await self.appender.publish(submission(*(event(size=size) for _ in range(count))))

    @asynccontextmanager
    async def stream(
        self, *, size: int = 50, until: int | None = None, stops_after: int = 10**9, **view: Any
    ) -> AsyncIterator[Connection]:
        """A stream from the beginning, by someone."""
        addresses = PublicUrl(public_url="", own_url="http://x", client_header="")
        source = Source(self.reader, self.watch, Problems(addresses), self.places)
        ask = PageRequest(query=QUERY, size=size, after=Bare(position=0), until=until)
        seen = View(QUERY, rights="", caller="someone", **view)
        live = Live(RequestFactory().get("/"), seen, ask, await self.reader.read(ask))
        connection = Connection()
        connection.stops_after = stops_after
        task = asyncio.create_task(Stream(source, live)._answer({}, connection.receive, connection.send))
        try:
            yield connection
        finally:
            connection.left.set()
            connection.taking.set()
            await asyncio.wait_for(task, 5)


@pytest.fixture
async def streaming(tmp_path: Path) -> AsyncIterator[Streaming]:
    """An empty log, with heartbeats in a hurry."""
    async with opened(tmp_path / "log.db") as log, appending(log, clock=Watch(NOW * 1_000_000)) as (appender, tail):
        retention = Retention(log, clock=Watch(NOW * 1_000_000), keep=10**15)
        yield Streaming(appender, Reader(log, tail, retention=retention, decisions=Allowing()))
        await tail.stop()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats, and questions for rights, each 50 ms."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)


def positions(connection: Connection) -> list[int]:
    """Where the events are that came."""
    return [int(each.id.partition(".")[2]) for each in connection.messages if each.type == "message"]


def said(connection: Connection) -> tuple[str, str]:
    """Why it ended: a code, and the cursor that came with it."""
    last = connection.messages[-1]
    assert "end" == last.type
    return json.loads(last.data)["code"], last.id.partition(".")[2]


async def test_events_come_as_they_are_published(streaming: Streaming) -> None:
    """In pages of any size, each with the cursor after it."""
    await streaming.publish(5)
    async with streaming.stream(size=2) as connection:
        await connection.until(lambda: len(connection.messages) == 5)
        await streaming.publish(2)
        await connection.until(lambda: len(connection.messages) == 7)

    assert [1, 2, 3, 4, 5, 6, 7] == positions(connection)
    assert 200 == connection.status


@pytest.mark.usefixtures("hurried")
async def test_a_heartbeat_carries_the_cursor(streaming: Streaming) -> None:
    """Past what is not of this feed: who comes back need not have it examined again."""
    counted = CAUGHT_UP.points.get(("app", "stream"), 0)
    async with streaming.stream() as connection:
        await streaming.appender.publish(submission(event(app=None, resource="urn:x")))
        await connection.until(lambda: connection.parser.last_id.endswith(".1"))

    assert [] == connection.messages
    assert CAUGHT_UP.points["app", "stream"] > counted


@pytest.mark.usefixtures("hurried")
async def test_a_right_that_is_gone_ends_a_stream(streaming: Streaming) -> None:
    """Asked again with each heartbeat."""
    approved = [True]

    async def allowed() -> None:
        if not approved[0]:
            raise NotApproved("no longer")

    await streaming.publish()
    async with streaming.stream(allowed=allowed) as connection:
        await connection.until(lambda: len(connection.messages) == 1)
        approved[0] = False
        await asyncio.wait_for(connection.ended.wait(), 5)

    assert ("not-approved", "1") == said(connection)


async def test_a_token_that_expires_ends_a_stream(streaming: Streaming) -> None:
    """On the second, also while nothing comes."""
    await streaming.publish()
    async with streaming.stream(expires=NOW + 1) as connection:
        await connection.until(lambda: len(connection.messages) == 1)
        streaming.watch.now += 1_000_000
        await asyncio.wait_for(connection.ended.wait(), 5)

    assert ("unauthenticated", "1") == said(connection)


async def test_a_stop_tells_every_stream_where_it_was(streaming: Streaming) -> None:
    """And lets nobody wait any more."""
    await streaming.publish(3)
    async with streaming.stream() as connection:
        await connection.until(lambda: len(connection.messages) == 3)
        streaming.reader._tail.waiters.end()
        await asyncio.wait_for(connection.ended.wait(), 5)

    assert ("unavailable", "3") == said(connection)


async def test_a_bound_that_is_passed_ends_a_stream(streaming: Streaming) -> None:
    """Nothing before it can come any more."""
    await streaming.publish(2)
    async with streaming.stream(until=NOW * 1_000_000 + 1) as bounded:
        await bounded.until(lambda: len(bounded.messages) == 2)
        open_still = not bounded.ended.is_set()
    async with streaming.stream(until=NOW * 1_000_000) as passed:
        await asyncio.wait_for(passed.ended.wait(), 5)

    assert (True, []) == (open_still, passed.messages)


async def test_a_reader_that_stops_reading_is_cut_off(streaming: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is read for it than it takes: its cursor is the last id it took."""
    monkeypatch.setattr(module, "TAKE_SECONDS_MAX", 0.1)
    monkeypatch.setattr(module, "GOODBYE_SECONDS_MAX", 0.05)
    await streaming.publish(20, size=20_000)
    recorded = list[Page]()

    async def record(page: Page) -> None:
        recorded.append(page)

    async with streaming.stream(size=5, stops_after=3, recorded=record) as connection:
        await connection.until(lambda: len(connection.messages) >= 3)
        await connection.until(lambda: streaming.places._streaming.total() == 0)
        seen = len(connection.messages)

    assert 3 <= seen < 10
    assert len(recorded) < 4
    assert connection.most < module.CHUNK_BYTES + 20_500


async def test_who_hangs_up_gives_its_place_back(streaming: Streaming) -> None:
    """At once; meanwhile one caller has no more streams than it may."""
    async with streaming.stream() as first:
        await first.until(lambda: first.status == 200)
        async with streaming.stream() as second:
            await second.until(lambda: second.status != 0)
        first.left.set()
        await first.until(lambda: streaming.places._streaming.total() == 0)
    async with streaming.stream() as third:
        await third.until(lambda: third.status == 200)

    assert 429 == second.status


async def test_each_page_is_recorded_before_it_is_sent(streaming: Streaming) -> None:
    """A page that cannot be recorded is not sent."""
    await streaming.publish(3)

    async def refuse(_: Page) -> None:
        raise NotApproved("no record")

    async with streaming.stream(recorded=refuse) as connection:
        await asyncio.wait_for(connection.ended.wait(), 5)

    assert ("not-approved", []) == (said(connection)[0], positions(connection))
