"""The cost of the verbs of the Cosmos DB engine, counted at the wire: requests, and bytes of responses."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from eventfeed.domain.event import Entry
from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos.database import Cost
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.fault_proxy import Network, network_to
from tests.emulator.running import open_log, open_log_through
from tests.support.conditions import conditions
from tests.support.events import TTD, entries, entry, event

SEGMENT_ENTRIES = 100
ALL = app_feed(TTD)
FEED = ALL.where(*conditions(types={"instance.created"}))
FEED_OF_ID = ALL.where(*conditions(id="one"))
FIRST_EVENT = event()
NEXT = [entry(number, of=event(instance=1)) for number in range(251, 341)]


class CountingNetwork(Network):
    """A network that adds up the bytes of responses to queries."""

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.bytes = 0

    def on_response(self, request: bytes, response: bytes) -> bytes:
        """See `Network.on_response`."""
        if b"isquery" in request.lower():
            self.bytes += len(response)
        return response


@asynccontextmanager
async def open_counted_log(url: str) -> AsyncIterator[tuple[CosmosLog, Network]]:
    """Open a log of 250 entries in three segments, through a network that counts. Its caches are filled."""
    network = network_to(url)
    async with open_log_through(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.append([entry(1, of=FIRST_EVENT), *entries(2, 99)], after=0)
        for start in (99, 199):
            await log.append(entries(start + 1, min(start + 100, 250)), after=start)
        await log.find([FIRST_EVENT])
        await log._owners.claim([entry(1, of=event(instance=1))])
        await log.seek(1)
        await log.expire(before=1)
        yield log, network


VERBS: dict[str, tuple[Callable[[CosmosLog], Awaitable[object]], int]] = {
    "head": (lambda log: log.head(), 1),
    "append of one entry": (lambda log: log.append(NEXT[:1], after=250), 1),
    "append of an instance without an owner": (lambda log: log.append(entries(251, 251), after=250), 2),
    "append of a batch": (lambda log: log.append(NEXT[:49], after=250), 1),
    "append into the next segment": (lambda log: log.append(NEXT, after=250), 2),
    "follow in one segment": (lambda log: log.follow(after=210, limit=10), 1),
    "follow at the end": (lambda log: log.follow(after=250, limit=10), 1),
    "follow over three segments": (lambda log: log.follow(after=0, limit=250), 3),
    "entry of a cursor": (lambda log: log.follow(after=41, limit=1), 1),
    "scan in one segment": (lambda log: log.scan(FEED, after=200, through=250, limit=50), 1),
    "scan that fills a page": (lambda log: log.scan(FEED, after=0, through=250, limit=50), 1),
    "scan of nothing": (lambda log: log.scan(FEED, after=250, through=250, limit=50), 0),
    "scan over three segments": (lambda log: log.scan(FEED, after=0, through=250, limit=250), 3),
    "scan for an event's id": (lambda log: log.scan(FEED_OF_ID, after=0, through=250, limit=1), 1),
    "find of one event": (lambda log: log.find([event()]), 2),
    "find of a batch": (lambda log: log.find([event() for _ in range(100)]), 2),
    "find of one event of a known instance": (lambda log: log.find([event(instance=1)]), 1),
    "find of a repeat": (lambda log: log.find([FIRST_EVENT]), 1),
    "open": (lambda log: log.open(), 2),
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


async def test_first_head_of_a_process_costs_one_request(emulator_url: str) -> None:
    """However many segments the log has, and although the manifest knows none of them: its start has not moved."""
    network = network_to(emulator_url)
    async with open_log_through(network, emulator_url, segment_entries=5) as writer:
        await writer.append(entries(1, 60), after=0)
        log = await open_log(writer._database, segment_entries=5)
        before = network.requests.total()
        head = await log.head()
        after = network.requests.total()

    assert (60, 1) == (head.end_offset, after - before)


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

    assert Cost(requests=3, units=3.0) == cost


def permit_cases(count: int, *, matches: int = 0) -> Sequence[Entry]:
    """Entries with bodies of some 1.2 KB, every `matches`th of one party, as far as that is not 0."""
    return [
        entry(
            number,
            of=event(
                instance=number % 40 + 1, party=50000009 if matches and number % matches == 0 else 50000001, size=900
            ),
        )
        for number in range(1, count + 1)
    ]


@asynccontextmanager
async def open_cold_log(
    url: str, batch: Sequence[Entry], *, commit_entries: int
) -> AsyncIterator[tuple[CosmosLog, CountingNetwork]]:
    """Open a log of a batch in commits of one size, with an engine that has only read the end."""
    network = CountingNetwork(network_to(url))
    async with open_log_through(network, url, segment_entries=10_000) as writer:
        for start in range(0, len(batch), commit_entries):
            await writer.append(batch[start : start + commit_entries], after=start)
        log = await open_log(writer._database, segment_entries=10_000)
        await log.head()
        network.bytes = 0
        network.requests.clear()
        yield log, network


@pytest.mark.parametrize("commit_entries", [1, 5, 20, 100])
async def test_dense_page_costs_hardly_more_bytes_than_it_serves(emulator_url: str, commit_entries: int) -> None:
    """A page of 1,000 events takes at most 3 requests, and 1.2 times the bytes of its events."""
    batch = permit_cases(1_300)
    async with open_cold_log(emulator_url, batch, commit_entries=commit_entries) as (log, network):
        scan = await log.scan(ALL, after=100, through=1_300, limit=1_000)
        requests, size = network.requests.total(), network.bytes

    assert batch[100:1_100] == scan.entries
    assert requests <= 3
    assert size <= 1.2 * sum(each.json_length for each in scan.entries)


async def test_pages_of_an_import_fetch_few_of_its_large_commits(emulator_url: str) -> None:
    """Commits at the end of the log are small, and those of an import large: each page fetches those it needs."""
    batch, network = permit_cases(1_200), CountingNetwork(network_to(emulator_url))
    async with open_log_through(network, emulator_url, segment_entries=10_000) as writer:
        for start in range(0, 1_000, 200):
            await writer.append(batch[start : start + 200], after=start)
        log = await open_log(writer._database, segment_entries=10_000)
        for number in range(1_000, 1_200):
            await writer.append(batch[number : number + 1], after=number)
            await log.follow(after=number, limit=1_000)
        await log.scan(ALL, after=0, through=1_200, limit=10)
        network.bytes, served = 0, 0
        for after in range(10, 1_000, 50):
            await log.head()
            scan = await log.scan(ALL, after=after, through=1_200, limit=50)
            served += sum(each.json_length for each in scan.entries)

    assert network.bytes <= 2 * served


async def test_feed_that_turned_out_to_be_dense_is_read_in_order_again(emulator_url: str) -> None:
    """Its first commits had no events of it: that does not make every later page a query over all partitions."""
    batch = [entry(number, of=event(type_="created" if number > 30 else "other")) for number in range(1, 201)]
    feed = ALL.where(*conditions(types={"created"}))
    async with open_cold_log(emulator_url, batch, commit_entries=5) as (log, network):
        scans, requests = [await log.scan(feed, after=0, through=200, limit=20)], [0]
        while scans[-1].examined < 200:
            scans.append(await log.scan(feed, after=scans[-1].examined, through=200, limit=20))
            requests.append(network.requests.total())

    assert batch[30:] == [each for scan in scans for each in scan.entries]
    assert 1 == requests[-1] - requests[-2]


async def test_sparse_page_reads_the_commits_with_its_events(
    emulator_url: str, record_property: Callable[[str, object], None]
) -> None:
    """A page of 50 events that are 1 of 20 takes at most 3 requests on one partition."""
    batch = permit_cases(1_200, matches=20)
    feed = ALL.where(*conditions(subject="/party/50000009"))
    async with open_cold_log(emulator_url, batch, commit_entries=5) as (log, network):
        scan = await log.scan(feed, after=0, through=1_200, limit=50)
        requests, size = network.requests.total(), network.bytes
    record_property("bytes fetched for each byte served", size / sum(each.json_length for each in scan.entries))

    assert [each for each in batch if each.sequence % 20 == 0][:50] == scan.entries
    assert requests <= 3


async def test_follow_of_a_thousand_commits_takes_few_requests(emulator_url: str) -> None:
    """Commits of one event: 1,000 of them fit into a few responses."""
    batch = permit_cases(1_000)
    async with open_cold_log(emulator_url, batch, commit_entries=1) as (log, network):
        entries_after = await log.follow(after=0, limit=1_000)
        requests = network.requests.total()

    assert batch == entries_after
    assert requests <= 10


async def test_repeats_are_read_with_their_commits(emulator_url: str) -> None:
    """A batch that was published before costs one more request for each segment of its commits."""
    batch = permit_cases(100)
    async with open_cold_log(emulator_url, batch, commit_entries=5) as (log, network):
        lookup = await log.find([each.event for each in batch])
        requests = network.requests.total()

    assert {each.event.identity: each.sequence for each in batch} == {
        identity: each.sequence for identity, each in lookup.identities.items()
    }
    assert 2 == requests
