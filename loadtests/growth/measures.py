"""The requests that a growth run measures."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from loadtests.benchmark.events import BATCH_EVENTS
from loadtests.growth.costs import Request
from loadtests.growth.series import FIRST_PARTY, NEIGHBOURS, ORG, PARTIES, RARE_PARTY, RARE_TYPE
from loadtests.growth.served_log import PAGE_EVENTS, ServedLog

# A page of 50 events of one app has events of that many positions for each app, nearly always.
POSITIONS = 75
# Newest events that a worker holds in memory.
MEMORY_EVENTS = 10_000


class Measure(NamedTuple):
    """A kind of request by its name. `events` are those that each adds to the log."""

    name: str
    request: Callable[[ServedLog], Request]
    events: int = 0


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
    Measure("publish of one", _publish_one, events=1),
    Measure(f"publish of a batch of {BATCH_EVENTS}", _publish_batch, events=BATCH_EVENTS),
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
