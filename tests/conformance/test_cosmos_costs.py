"""What the verbs of the Cosmos DB engine cost, counted at the wire: the table at the top of its file."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from eventfeed.domain.feed import AppFeed, Filter, Query
from eventfeed.log.cosmos.database import Cost
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.fault_proxy import Network, network_to
from tests.emulator.running import log_behind
from tests.support.events import TTD, entries, entry, event

SEGMENT_ENTRIES = 100
QUERY = Query(feed=AppFeed(app=TTD), filter=Filter(types=frozenset({"instance.created"})))
KNOWN = event()
OF_ID = Query(feed=AppFeed(app=TTD), filter=Filter(id="one"))


@asynccontextmanager
async def counted(url: str) -> AsyncIterator[tuple[CosmosLog, Network]]:
    """A log of 250 entries in three segments, behind a network that counts; everything has been asked once."""
    if not url:
        pytest.skip("there is no emulator: `make test` installs it")
    network = network_to(url)
    async with log_behind(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.append([entry(1, of=KNOWN), *entries(2, 100)], after=0)
        for start in (100, 200):
            await log.append(entries(start + 1, min(start + 100, 250)), after=start)
        await log.find([KNOWN])
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
    "scan in one segment": (lambda log: log.scan(QUERY, after=200, through=250, limit=50), 1),
    "scan that fills a page": (lambda log: log.scan(QUERY, after=0, through=250, limit=50), 1),
    "scan of nothing": (lambda log: log.scan(QUERY, after=250, through=250, limit=50), 0),
    "scan over three segments": (lambda log: log.scan(QUERY, after=0, through=250, limit=250), 3),
    "scan for an event's id": (lambda log: log.scan(OF_ID, after=0, through=250, limit=1), 1),
    "find of one event": (lambda log: log.find([event()]), 2),
    "find of a batch": (lambda log: log.find([event() for _ in range(100)]), 2),
    "find of one event of an instance asked for before": (lambda log: log.find([KNOWN]), 1),
    "open": (lambda log: log.open(), 1),
    "expire": (lambda log: log.expire(before=150_000_000), 3),
    "expire of nothing": (lambda log: log.expire(before=1), 2),
    "rename": (lambda log: log.rename(), 2),
}


@pytest.mark.parametrize("name", VERBS)
async def test_a_verb_costs_what_the_table_says(emulator_url: str, name: str) -> None:
    """Requests at the wire, and the engine counts the same."""
    verb, expected = VERBS[name]
    async with counted(emulator_url) as (log, network):
        before, told = network.happened.total(), sum(cost.requests for cost in log._database.costs.values())
        await verb(log)
        after, then = network.happened.total(), sum(cost.requests for cost in log._database.costs.values())

    assert (expected, expected) == (after - before, then - told)


async def test_a_time_is_found_in_one_request_once_segments_are_known(emulator_url: str) -> None:
    """Where a full segment ends does not change; the head is asked beside it."""
    async with counted(emulator_url) as (log, network):
        first = await log.seek(150_000_000)
        before = network.happened.total()
        again = await log.seek(150_000_000)
        after = network.happened.total()

    assert (149, 149) == (first, again)
    assert 2 == after - before


async def test_what_the_store_charges_is_kept(emulator_url: str) -> None:
    """Under the verb that asked; this emulator charges 1 for anything, so no more than the adding is shown."""
    async with counted(emulator_url) as (log, _):
        spent = log._database.costs["append"]

    assert Cost(requests=5, units=5.0) == spent
