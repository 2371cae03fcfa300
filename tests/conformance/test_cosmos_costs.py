"""The cost of the verbs of the Cosmos DB engine, counted at the wire: the table in the docstring of the engine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos.database import Cost
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.fault_proxy import Network, network_to
from tests.emulator.running import open_log_through
from tests.support.conditions import conditions
from tests.support.events import TTD, entries, entry, event

SEGMENT_ENTRIES = 100
FEED = app_feed(TTD).where(*conditions(types={"instance.created"}))
FEED_OF_ID = app_feed(TTD).where(*conditions(id="one"))
FIRST_EVENT = event()


@asynccontextmanager
async def open_counted_log(url: str) -> AsyncIterator[tuple[CosmosLog, Network]]:
    """Open a log of 250 entries in three segments, through a network that counts. Its caches are filled."""
    network = network_to(url)
    async with open_log_through(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.append([entry(1, of=FIRST_EVENT), *entries(2, 100)], after=0)
        for start in (100, 200):
            await log.append(entries(start + 1, min(start + 100, 250)), after=start)
        await log.find([FIRST_EVENT])
        await log.seek(1)
        yield log, network


VERBS: dict[str, tuple[Callable[[CosmosLog], Awaitable[object]], int]] = {
    "head": (lambda log: log.head(), 1),
    "append of one entry": (lambda log: log.append(entries(251, 251), after=250), 1),
    "append of a batch": (lambda log: log.append(entries(251, 299), after=250), 1),
    "append into the next segment": (lambda log: log.append(entries(251, 340), after=250), 2),
    "follow in one segment": (lambda log: log.follow(after=210, limit=10), 1),
    "follow at the end": (lambda log: log.follow(after=250, limit=10), 1),
    "follow over three segments": (lambda log: log.follow(after=0, limit=250), 3),
    "scan in one segment": (lambda log: log.scan(FEED, after=200, through=250, limit=50), 1),
    "scan that fills a page": (lambda log: log.scan(FEED, after=0, through=250, limit=50), 1),
    "scan of nothing": (lambda log: log.scan(FEED, after=250, through=250, limit=50), 0),
    "scan over three segments": (lambda log: log.scan(FEED, after=0, through=250, limit=250), 3),
    "scan for an event's id": (lambda log: log.scan(FEED_OF_ID, after=0, through=250, limit=1), 1),
    "find of one event": (lambda log: log.find([event()]), 2),
    "find of a batch": (lambda log: log.find([event() for _ in range(100)]), 2),
    "find of one event of a cached instance": (lambda log: log.find([FIRST_EVENT]), 1),
    "open": (lambda log: log.open(), 1),
    "expire": (lambda log: log.expire(before=150_000_000), 3),
    "expire of nothing": (lambda log: log.expire(before=1), 2),
    "rename": (lambda log: log.rename(), 2),
}


@pytest.mark.parametrize("name", VERBS)
async def test_verb_costs_the_requests_of_the_table(emulator_url: str, name: str) -> None:
    """The engine counts the same requests as the network."""
    verb, cost = VERBS[name]
    async with open_counted_log(emulator_url) as (log, network):
        before, counted_before = network.requests.total(), total_requests(log)
        await verb(log)
        after, counted_after = network.requests.total(), total_requests(log)

    assert (cost, cost) == (after - before, counted_after - counted_before)


def total_requests(log: CosmosLog) -> int:
    """Return the number of requests that the engine has counted."""
    return sum(cost.requests for cost in log._database.costs.values())


async def test_repeated_seek_costs_two_requests(emulator_url: str) -> None:
    """The end of a full segment never changes and is cached. The other request is the head's."""
    async with open_counted_log(emulator_url) as (log, network):
        first = await log.seek(150_000_000)
        before = network.requests.total()
        second = await log.seek(150_000_000)
        after = network.requests.total()

    assert (149, 149) == (first, second)
    assert 2 == after - before


async def test_request_units_are_added_up_by_verb(emulator_url: str) -> None:
    """This emulator charges 1 for every request."""
    async with open_counted_log(emulator_url) as (log, _):
        cost = log._database.costs["append"]

    assert Cost(requests=5, units=5.0) == cost
