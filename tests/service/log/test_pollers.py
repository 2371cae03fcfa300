"""Pollers that store only a time: they read every event, whatever the clocks of its publishers show."""

import asyncio
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from eventfeed.domain.feed import Page, app_feed
from eventfeed.domain.moment import format_moment, parse_moment
from eventfeed.domain.page_entries import PageEntry
from eventfeed.http.publishing.cloudevents import EventDefaults, json_events, parse_events
from eventfeed.http.reading.parameters import parse_query
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log, running_appender
from tests.support.events import TTD, guid, submission

FEED = app_feed(TTD)
DAY = 86_400_000_000
BEGINNING = "1970-01-01T00:00:00Z"
TYPES = ["app.instance.process.completed", "instance.process.completed", "app.instance.created"]


class Batch(NamedTuple):
    """Events that arrive together, `pause` (µs) after the ones before.

    Each has a type, and the error of its publisher's clock less its way to the service (µs); None: no time of its own.
    """

    pause: int
    events: Sequence[tuple[str, int | None]]
    polls: bool


OFFSETS = st.none() | st.integers(-DAY, DAY) | st.integers(-3, 3)
BATCHES = st.builds(
    Batch,
    pause=st.integers(0, 5) | st.integers(0, DAY),
    events=st.lists(st.tuples(st.sampled_from(TYPES), OFFSETS), min_size=1, max_size=6),
    polls=st.booleans(),
)


class Poller:
    """A poller of S1 that stores nothing but the time it sends as `from`."""

    def __init__(self, reader: Reader, *, size: int) -> None:
        self._reader, self._size = reader, size
        self.last_changed = BEGINNING
        self.ids = set[str]()

    async def poll(self) -> None:
        """Read from the stored time to the end of the feed, by the next links."""
        query = f"from={quote(self.last_changed)}&eventType=instance.process.completed&size={self._size}"
        more = True
        while more:
            parameters = parse_query(query.encode())
            start = parse_query(b"after=0").after if parameters.after is None else parameters.after
            assert start is not None
            feed = FEED.where(*parameters.app_conditions)
            page = await self._reader.read(feed, after=start, bounds=parameters)
            self.ids |= {msgspec.json.decode(entry.json)["id"] for entry in page.entries}
            self.last_changed = self.newest_time(page)
            query, more = parameters.query_after(str(page.cursor)), page.more

    def newest_time(self, page: Page) -> str:
        """The time to store after a page: the newest `time` of all events so far."""
        return max((self.last_changed, *map(event_time, page.entries)), key=lambda text: parse_moment(text) or 0)


class FeedTimePoller(Poller):
    """A poller that stores the header `Feed-Time`."""

    def newest_time(self, page: Page) -> str:
        """The registration time of the last position examined."""
        return format_moment(page.cursor.time)


class _Time(msgspec.Struct):
    time: str


def event_time(entry: PageEntry) -> str:
    """The `time` of an event as a reader gets it."""
    return msgspec.json.decode(entry.json, type=_Time).time


def app_event(type_: str, offset: int | None, *, now: int) -> dict[str, str]:
    """An event as an app sends it, with the time of the publisher's clock."""
    source = f"https://ttd.apps.example.no/{TTD.org}/{TTD.name}/instances/50000001/{guid(1)}"
    event = {"source": source, "type": type_, "subject": "/party/50000001", "specversion": "1.0"}
    return event if offset is None else {**event, "time": format_moment(now + offset)}


async def run(batches: Sequence[Batch], *, size: int) -> tuple[set[str], Sequence[Poller]]:
    """Publish batches; both pollers poll after some of them, and at the end. Return the ids that they must have."""
    clock, ids = ManualClock(), set[str]()
    with tempfile.TemporaryDirectory() as folder:
        async with open_sqlite_log(Path(folder) / "log.db") as log, running_appender(log, clock=clock) as running:
            appender, tail = running
            retention = Retention(log, clock=clock, keep=10**15)
            reader = Reader(log, tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())
            pollers = [Poller(reader, size=size), FeedTimePoller(reader, size=size)]
            for batch in batches:
                clock.advance(batch.pause)
                body = msgspec.json.encode([app_event(*each, now=clock.now) for each in batch.events])
                defaults = EventDefaults(new_id=uuid.uuid4, now=clock.now, time=format_moment(clock.now))
                events = parse_events(json_events(body, batch=True), defaults, from_app=True)
                await appender.publish(submission(*events))
                ids |= {event.identity.id for event in events if event.type.endswith("instance.process.completed")}
                for poller in pollers if batch.polls else ():
                    await poller.poll()
            for poller in pollers:
                await poller.poll()
    return ids, pollers


@given(batches=st.lists(BATCHES, max_size=8), size=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_poller_that_stores_only_a_time_reads_every_event(batches: Sequence[Batch], size: int) -> None:
    """Clocks are wrong by up to a day, and events are late by as much; `app.` in the filter is optional."""
    ids, pollers = asyncio.run(run(batches, size=size))

    assert [ids, ids] == [poller.ids for poller in pollers]


@pytest.mark.parametrize("ahead", [1, 300_000_000, DAY])
def test_event_with_a_time_in_the_future_hides_no_later_event(ahead: int) -> None:
    """The stored time of the first event is that of its registration, so the second one is at or after it."""
    batches = [Batch(0, [(TYPES[0], ahead)], polls=True), Batch(0, [(TYPES[1], None)], polls=True)]
    ids, pollers = asyncio.run(run(batches, size=1))

    assert [ids, ids] == [poller.ids for poller in pollers]
