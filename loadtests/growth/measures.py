"""The requests that a growth run measures, and the log that they go to."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from loadtests.benchmark.events import BATCH_EVENTS, PUBLISH, authorization, log_end
from loadtests.benchmark.servers import Server
from loadtests.growth.costs import Caller, Request
from loadtests.growth.series import FIRST_PARTY, NEIGHBOURS, ORG, PARTIES, RARE_PARTY, RARE_TYPE, Event, Series

PAGE_EVENTS = 50
# A page of 50 events of one app has events of that many positions for each app, nearly always.
POSITIONS = 75
# Newest events that a worker holds in memory.
MEMORY_EVENTS = 10_000

_READER = "310000022"
_SCOPES = "altinn:events.subscribe"


class ServedLog:
    """A log that a service serves, to request from."""

    def __init__(self, server: Server, series: Series) -> None:
        self.server, self.series = server, series
        self.caller = Caller(server)
        self.random = random.Random(series.events)  # noqa: S311  # load
        self.owner = {**authorization(server), "Content-Type": "application/json"}
        # Nobody else publishes, so that new events have the numbers of their positions.
        _, self.end = log_end(server, self.owner)
        self.reader = {**authorization(server, organisation=_READER, scopes=_SCOPES)}

    def position_in(self, start: float, end: float) -> int:
        """Return a random position between two shares of the log."""
        return round(self.series.events * self.random.uniform(start, end))

    def new_events(self, number: int) -> Sequence[Event]:
        """Return events that the log does not have yet."""
        events = [self.series.event(self.end + each) for each in range(1, number + 1)]
        self.end += number
        return events

    def page(self, query: str, *, app: str | None = None, events: int = PAGE_EVENTS) -> Request:
        """Return the request for a page of an app, by default of a random one."""
        name = app or f"app-{self.random.randrange(self.series.apps)}"
        return Request(f"/events/api/v1/app/{ORG}/{name}?{query}&size={events}", events, self.owner)

    def publish(self, events: Sequence[Event]) -> Request:
        """Return the request to publish events."""
        body = b",".join(each.published() for each in events)
        return Request(PUBLISH, len(events), self.owner, body if len(events) == 1 else b"[%b]" % body)


class Measure(NamedTuple):
    """A kind of request by its name. Those that write are measured after those that read."""

    name: str
    request: Callable[[ServedLog], Request]
    writes: bool = False


def write_register(file: Path) -> Mapping[str, str]:
    """Write a register in which one organisation may read for all parties, and return the settings for a service."""
    parties = [str(FIRST_PARTY + number) for number in range(PARTIES)]
    clients = [
        {"number": str(400_000_000 + number), "party": party, "name": party} for number, party in enumerate(parties)
    ]
    reader = {"number": _READER, "party": "51000022", "name": "reader", "acts_for": parties}
    owner = {"number": "991825827", "party": "50002001", "name": "owner", "org": ORG}
    file.write_text(json.dumps({"organisations": [owner, reader, *clients], "people": []}))
    return {
        "EVENTFEED_REGISTER": str(file),
        "EVENTFEED_ADDRESS_REQUESTS": "1000000",
        "EVENTFEED_INSTANCE_REQUESTS": "1000000",
    }


def _page_at_start(log: ServedLog) -> Request:
    return log.page(f"after={log.position_in(0, 0.05)}")


def _page_in_middle(log: ServedLog) -> Request:
    return log.page(f"after={log.position_in(0.35, 0.4)}")


def _page_at_end(log: ServedLog) -> Request:
    newest = log.series.events - MEMORY_EVENTS - POSITIONS * log.series.apps
    return log.page(f"after={max(0, newest - log.position_in(0, 0.05))}")


def _page_from_memory(log: ServedLog) -> Request:
    newest = log.end - POSITIONS * log.series.apps
    return log.page(f"after={newest - log.random.randrange(1_000)}")


def _party_page(log: ServedLog) -> Request:
    party = FIRST_PARTY + log.random.randrange(PARTIES)
    path = f"/events/api/v1/app/party?party={party}&after=0&size={PAGE_EVENTS}"
    return Request(path, PAGE_EVENTS, log.reader)


def _instance_page(log: ServedLog) -> Request:
    event = log.series.event(log.position_in(0.1, 0.8))
    return Request(f"/events/instanceeventsforinstance/{event.party}/{event.guid}", 1, {}, b"")


def _page_after_id(log: ServedLog) -> Request:
    event = log.series.event(log.position_in(0.1, 0.8))
    return log.page(f"after={event.id}", app=event.app, events=1)


def _page_from_time(log: ServedLog) -> Request:
    time = datetime.fromtimestamp(log.series.time(log.position_in(0.1, 0.8)) / 1e6, UTC).isoformat()
    return log.page(f"from={quote(time)}", events=1)


def _rare_page(log: ServedLog, filters: str) -> Request:
    first = log.series.rare_every * log.random.randrange(log.series.events // log.series.rare_every)
    return log.page(f"after={first}&{filters}", app="app-0", events=1)


def _page_of_rare_type(log: ServedLog) -> Request:
    return _rare_page(log, f"eventType={RARE_TYPE}")


def _page_of_rare_source(log: ServedLog) -> Request:
    return _rare_page(log, f"source=https://{ORG}.apps.example.no/{ORG}/app-0/instances/{RARE_PARTY}")


def _repeat(log: ServedLog) -> Request:
    position = log.position_in(0.1, 0.8)
    return log.publish([log.series.event(position - position % NEIGHBOURS + 1)])


def _publish_one(log: ServedLog) -> Request:
    return log.publish(log.new_events(1))


def _publish_batch(log: ServedLog) -> Request:
    return log.publish(log.new_events(BATCH_EVENTS))


PAGE_AT_START = Measure("page of 50 from the store, at the start", _page_at_start)
PARTY_PAGE = Measure("page of 50 of a party", _party_page)
PUBLISHES = (
    Measure("publish of one", _publish_one, writes=True),
    Measure(f"publish of a batch of {BATCH_EVENTS}", _publish_batch, writes=True),
)
LOG_MEASURES = (
    Measure("page of 50 from memory", _page_from_memory),
    PAGE_AT_START,
    Measure("page of 50 from the store, in the middle", _page_in_middle),
    Measure("page of 50 from the store, at the end", _page_at_end),
    PARTY_PAGE,
    Measure("page of an instance", _instance_page),
    Measure("page of 1 after an event id", _page_after_id),
    Measure("page of 1 from a time", _page_from_time),
    Measure("page of 1 of a rare type", _page_of_rare_type),
    Measure("page of 1 of a rare source", _page_of_rare_source),
    Measure("publish of a repeated event", _repeat),
    *PUBLISHES,
)
# An app of many has no 50 events in the middle of the log or in memory.
APP_MEASURES = (PAGE_AT_START, PARTY_PAGE, *PUBLISHES)
