"""The end of a right: pages, waits and streams check the same things at the same places."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventfeed.domain.cursor import After
from eventfeed.domain.errors import Failure, NotApproved, Unavailable
from eventfeed.domain.feed import Feed, Page, PageBounds, app_feed
from eventfeed.http.problems import Problems
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.feed_request import AnonymousReader, FeedRequest, ReadingServices
from eventfeed.http.reading.long_poll import WAIT_SECONDS_MAX
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import parse_query
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log, running_appender
from tests.support.events import TTD, event, submission
from tests.support.reading import ManualGuard, keep_connection, reading_limits
from tests.support.requests import http_request

Headers = Mapping[str, str]
Outcome = tuple[str, int]
RequestFeed = Callable[..., Coroutine[None, None, tuple[str, int]]]

NOW = 1_700_000_000
SECOND = 1_000_000
PUBLIC_URL = PublicUrl(public_url="https://x.example.no", own_url="")


class CountingReader(Reader):
    """A reader that counts the pages that were read."""

    count = 0

    async def read(self, feed: Feed, *, after: After, bounds: PageBounds) -> Page:
        """See `Reader.read`."""
        self.count += 1
        return await super().read(feed, after=after, bounds=bounds)


class Feeds:
    """A log of one app, and requests of a caller whose token expires in a second."""

    def __init__(self, appender: Appender, reader: CountingReader, tail: Tail) -> None:
        self._tail, self.reader = tail, reader
        self.guard = ManualGuard(valid_to=(NOW + 10**6) * SECOND)
        self.clock, telemetry = ManualClock(NOW * SECOND), Telemetry()
        self._appender, self._problems = appender, Problems(PUBLIC_URL, telemetry)
        services = ReadingServices(
            reader, self.clock, self._problems, reading_limits(telemetry), telemetry, keep_connection
        )
        self._pages = Pages(services, PUBLIC_URL, secret=b"secret")
        self._messages = asyncio.Queue[Any]()

    async def publish(self) -> None:
        """Publish an event of the app."""
        await self._appender.publish(submission(event()))

    def disconnect(self) -> None:
        """Close the connection of the client."""
        self._messages.put_nowait({"type": "http.disconnect"})

    async def wait_until_waiting(self) -> None:
        """Wait until a request waits for an event."""
        async with asyncio.timeout(120):
            while not self._tail.waiters.count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def request(self, headers: Headers, *, expires: int = NOW + 1) -> Outcome:
        """Request the feed from its beginning; return the code of the problem at its end, and the number of events."""
        fields = list(headers.items())
        request = http_request(headers=fields, receive=self._messages.get)
        reader, parameters = AnonymousReader("someone", expires=expires), parse_query(b"after=0")
        try:
            response = await self._pages.respond(FeedRequest(request, app_feed(TTD), parameters, reader, self.guard))
        except Failure as failure:
            return failure.code, 0
        sent = list[dict[str, Any]]()

        async def send(message: Any) -> None:
            sent.append(message)

        if hasattr(response, "to_asgi_response"):
            await response.to_asgi_response(app=None, request=request)({}, request.receive, send)  # type: ignore[arg-type]
            text = b"".join(message.get("body", b"") for message in sent).decode()
            end = text.partition("event: end\ndata: ")[2]
            return json.loads(end)["code"] if end else "", text.count("data: {") - bool(end)
        return "", len(msgspec.json.decode(response.body, type=list[object]))


@pytest.fixture
async def feeds(tmp_path: Path) -> AsyncIterator[Feeds]:
    """An empty log."""
    clock = ManualClock(NOW * SECOND)
    async with open_sqlite_log(tmp_path / "log.db") as log, running_appender(log, clock=clock) as (appender, tail):
        retention = Retention(log, clock=clock, keep=10**15)
        reader = CountingReader(log, tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())
        yield Feeds(appender, reader, tail)
        await tail.stop()


def withdraw(feeds: Feeds) -> None:
    """End the right of the guard."""
    feeds.guard.refusal = NotApproved("The approval was withdrawn.")


def expire(feeds: Feeds) -> None:
    """Let the token expire."""
    feeds.clock.now += SECOND


def fail_audit(feeds: Feeds) -> None:
    """Let the audit log fail."""
    feeds.guard.audit_failure = Unavailable("The audit log does not respond.")


ENDS = {"not-approved": withdraw, "unauthenticated": expire, "unavailable": fail_audit}


@pytest.mark.parametrize("code", ENDS)
@pytest.mark.parametrize("headers", [{}, {"prefer": "wait=55"}, {"accept": "text/event-stream"}], ids=str)
async def test_event_after_the_end_of_a_right_is_not_sent(feeds: Feeds, headers: dict[str, str], code: str) -> None:
    """A page, a wait and a stream end with the same problem, and record nothing."""
    if not headers:
        await feeds.publish()
    response = asyncio.create_task(feeds.request(headers))
    if headers:
        await feeds.wait_until_waiting()
    ENDS[code](feeds)
    if headers:
        await feeds.publish()

    assert (code, 0) == await asyncio.wait_for(response, 120)
    assert [] == feeds.guard.pages


@pytest.mark.parametrize("headers", [{}, {"prefer": "wait=55"}, {"accept": "text/event-stream"}], ids=str)
async def test_page_with_events_is_recorded_before_it_is_sent(feeds: Feeds, headers: dict[str, str]) -> None:
    """Each page once."""
    response = asyncio.create_task(feeds.request(headers))
    if headers:
        await feeds.wait_until_waiting()
    await feeds.publish()
    if "accept" in headers:
        await asyncio.wait_for(feeds.guard.recorded.wait(), 120)
        expire(feeds)
    code, count = await asyncio.wait_for(response, 120)

    assert ("unauthenticated" if "accept" in headers else "") == code
    assert count == len(feeds.guard.pages)


@pytest.mark.parametrize("headers", [{"prefer": "wait=55"}, {"accept": "text/event-stream"}], ids=str)
async def test_page_for_a_client_that_is_gone_is_not_recorded(feeds: Feeds, headers: dict[str, str]) -> None:
    """The client disconnects when an event has woken its request."""
    response = asyncio.create_task(feeds.request(headers))
    await feeds.wait_until_waiting()
    await feeds.publish()
    feeds.disconnect()

    assert ("", 0) == await asyncio.wait_for(response, 120)
    assert [] == feeds.guard.pages


@pytest.mark.parametrize("headers", [{"prefer": "wait=55"}, {"accept": "text/event-stream"}], ids=str)
async def test_no_page_is_read_for_a_client_that_is_gone(feeds: Feeds, headers: dict[str, str]) -> None:
    """The client disconnects, and an event comes before its request ends: only the first page is read."""
    response = asyncio.create_task(feeds.request(headers))
    await feeds.wait_until_waiting()
    feeds.disconnect()
    await feeds.publish()

    assert ("", 0) == await asyncio.wait_for(response, 120)
    assert 1 == feeds.reader.count


async def end_of_token(feeds: Feeds, headers: Headers) -> Outcome:
    """Request the feed with a token that expires in a moment."""
    feeds.clock.now = (NOW + 1) * SECOND - 100_000
    return await feeds.request(headers)


async def end_of_approval(feeds: Feeds, headers: Headers) -> Outcome:
    """Request the feed with an approval that ends in a moment."""
    feeds.clock.now = (NOW + 1) * SECOND - 100_000
    feeds.guard.valid_to = (NOW + 1) * SECOND
    return await feeds.request(headers, expires=NOW + 1_000)


@pytest.mark.parametrize("request_feed", [end_of_token, end_of_approval])
async def test_wait_lasts_no_longer_than_the_right(feeds: Feeds, request_feed: RequestFeed) -> None:
    """The page is empty, and the next request is refused."""
    async with asyncio.timeout(WAIT_SECONDS_MAX / 2):
        outcome = await request_feed(feeds, {"prefer": f"wait={WAIT_SECONDS_MAX}"})

    assert ("", 0) == outcome


@pytest.mark.parametrize(
    ("request_feed", "code"), [(end_of_token, "unauthenticated"), (end_of_approval, "not-approved")]
)
async def test_stream_lasts_no_longer_than_the_right(feeds: Feeds, request_feed: RequestFeed, code: str) -> None:
    """It ends before its next heartbeat, without an event."""
    response = asyncio.create_task(request_feed(feeds, {"accept": "text/event-stream"}))
    await feeds.wait_until_waiting()
    feeds.clock.now += SECOND
    feeds.guard.refusal = NotApproved("The approval has expired.")
    async with asyncio.timeout(WAIT_SECONDS_MAX / 4):
        outcome = await response

    assert (code, 0) == outcome
