"""The wait that a caller prefers, and the end of its connection."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from eventfeed.domain.feed import app_feed
from eventfeed.http.problems import Problems
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.feed_request import AnonymousReader, FeedRequest, ReadingServices
from eventfeed.http.reading.long_poll import WAIT_SECONDS_MAX, preferred_wait, wait_for_disconnect
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import parse_query
from eventfeed.http.response import BytesResponse
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log, running_appender
from tests.support.events import TTD
from tests.support.reading import keep_connection, reading_limits
from tests.support.requests import http_request


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        ((), 0),
        (("wait=10",), 10),
        (("Wait = 10",), 10),
        (('wait="10"',), 10),
        (("respond-async, wait=7",), 7),
        (("respond-async", "wait=7"), 7),
        (("wait=7;x=y",), 7),
        (("wait=7, wait=9",), 7),
        (("wait=56",), 55),
        (("wait=999999999",), 55),
        (("wait=99999999999999999999",), 0),
        (("wait=-1",), 0),
        (("wait=1.5",), 0),
        (("wait",), 0),
        (("wait=\xb2",), 0),
        (("waiting=5",), 0),
    ],
)
def test_preferred_wait_is_the_first_valid_one(preferences: tuple[str, ...], seconds: int) -> None:
    """It is at most 55 s: many proxies end a request after a minute. Other values are ignored (RFC 7240 §4.3)."""
    request = http_request(headers=[("prefer", each) for each in preferences])

    assert seconds == preferred_wait(request.fields.get("prefer", ""))


async def test_long_poll_ends_when_the_token_expires(tmp_path: Path) -> None:
    """Without that it would last 55 s, and could return an event to a caller without a valid token."""
    telemetry, clock = Telemetry(), ManualClock(1_900_000)
    async with (
        open_sqlite_log(tmp_path / "log.db") as log,
        running_appender(log, clock=clock) as (_, tail),
        asyncio.timeout(WAIT_SECONDS_MAX / 2),
    ):
        retention = Retention(log, clock=clock, keep=10**15)
        reader = Reader(log, tail, retention=retention, decisions=StubDecisionPoint(), telemetry=telemetry)
        public_url = PublicUrl(public_url="https://x.example.no", own_url="")
        limits = reading_limits(telemetry)
        services = ReadingServices(reader, clock, Problems(public_url, telemetry), limits, telemetry, keep_connection)
        request = http_request(headers=[("prefer", f"wait={WAIT_SECONDS_MAX}")], receive=asyncio.Queue[Any]().get)
        parameters = parse_query(b"after=0")
        feed_request = FeedRequest(request, app_feed(TTD), parameters, AnonymousReader("someone", expires=2))
        response = await Pages(services, public_url, secret=b"secret").respond(feed_request)

    assert isinstance(response, BytesResponse)
    assert (200, b"[]") == (response.status, response.body)


async def test_disconnect_is_reported_after_the_rest_of_the_body() -> None:
    """Other messages before the disconnect are skipped."""
    messages = [{"type": "http.request"}, {"type": "http.request"}, {"type": "http.disconnect"}, {"type": "other"}]

    async def receive() -> dict[str, str]:
        return messages.pop(0)

    await wait_for_disconnect(receive)

    assert [{"type": "other"}] == messages
