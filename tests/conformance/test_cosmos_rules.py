"""The engine by Azure's rules: physical partitions, splits, small pages, session tokens and a replica that lags."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventfeed.domain.cursor import cursor_at
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import PageBounds, app_feed
from eventfeed.log.cosmos import database as database_module
from eventfeed.log.cosmos.containers import COMMITS
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.fault_proxy import network_to
from tests.emulator.rules.azure import Azure, Settings
from tests.emulator.rules.replicas import Lag
from tests.emulator.running import new_database, open_database, open_log, serve, skip_without_emulator
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import TTD, entries, event

SEGMENT_ENTRIES = 10
FEED = app_feed(TTD)
PARTY_FEED = FEED.where(*conditions(subject="/party/50000001"))
LOG = entries(1, 35)
RULES = Settings(partitions=3, lag=Lag(writes=3), page_bytes=6_000)


@asynccontextmanager
async def open_logs(
    url: str, azure: Azure, *, count: int = 1, discovery: pytest.MonkeyPatch | None = None
) -> AsyncIterator[Sequence[CosmosLog]]:
    """Open engines of some processes on a new log, by the rules, while the block lasts.

    With `discovery` the SDK discovers the endpoints of the account, as in Azure.
    """
    skip_without_emulator(url)
    network = network_to(url)
    network.rules = azure.rules
    async with new_database(url) as direct, serve(network) as network_url:
        if discovery is not None:
            _discover_endpoints(discovery)
        databases = [open_database(network_url, direct.name) for _ in range(count)]
        opened = [await each.__aenter__() for each in databases]
        yield [await open_log(each, segment_entries=SEGMENT_ENTRIES) for each in opened]
        for each in databases:
            await each.__aexit__(None, None, None)


def _discover_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = vars(database_module)["CosmosClient"]

    def discovering_client(*arguments: str, **options: Any) -> object:
        return client(*arguments, **{**options, "enable_endpoint_discovery": True})

    monkeypatch.setattr(database_module, "CosmosClient", discovering_client)


async def write(log: CosmosLog, batch: Sequence[Entry] = LOG) -> None:
    """Append each entry as a commit of its own."""
    for each in batch:
        await log.append([each], after=each.sequence - 1)


VERBS: dict[str, Callable[[CosmosLog], Awaitable[object]]] = {
    "end": lambda log: log._segments.read_end(least=35),
    "follow": lambda log: log.follow(after=3, limit=100),
    "dense scan": lambda log: log.scan(FEED, after=3, through=35, limit=30),
    "sparse scan": lambda log: log.scan(PARTY_FEED, after=3, through=35, limit=30),
    "sparse scan for one": lambda log: log.scan(
        FEED.where(*conditions(id=LOG[34].event.identity.id)), after=0, through=35, limit=9
    ),
    "find": lambda log: log.find([LOG[34].event, LOG[1].event, event()]),
    "seek": lambda log: log.seek(LOG[34].time),
    "expire": lambda log: log.expire(before=LOG[33].time),
}


@pytest.mark.parametrize("name", VERBS)
async def test_verb_by_the_rules_has_the_same_result(emulator_url: str, name: str) -> None:
    """Three physical partitions, pages of a few documents, and a replica that lags by three writes."""
    results = list[object]()
    for settings in (Settings(), RULES):
        async with open_logs(emulator_url, Azure(settings)) as (log,):
            await write(log)
            results.append(await VERBS[name](log))

    assert results[0] == results[1]


async def test_sparse_page_after_a_split_has_every_event_once(emulator_url: str) -> None:
    """After a split, the SDK returns results of the other partitions twice."""
    azure, limit = Azure(Settings(partitions=3)), 25
    async with open_logs(emulator_url, azure) as (log,):
        await write(log)
        # The first scan reads the physical partitions, which the second one still takes for the present ones.
        await log.scan(PARTY_FEED, after=0, through=35, limit=limit)
        azure.account.split(COMMITS)
        scan = await log.scan(PARTY_FEED, after=0, through=35, limit=limit)

    assert LOG[:limit] == scan.entries


async def test_process_with_a_stale_replica_finds_what_another_process_has_written(emulator_url: str) -> None:
    """It learns of the other's entries by the conflict of its own append, and with them the newest token."""
    azure = Azure(Settings(lag=Lag(writes=5)))
    async with open_logs(emulator_url, azure, count=2) as (one, other):
        await write(one, LOG[:20])
        await other.head()
        await write(one, LOG[20:30])
        lookups = list[object]()
        for _ in range(4):
            head = await other.head()
            lookup = await other.find([each.event for each in LOG[: head.end_offset]])
            lookups.append(len(lookup.identities) - head.end_offset)

    assert [0] * 4 == lookups


async def test_cursor_of_another_process_is_valid_on_a_stale_replica(emulator_url: str) -> None:
    """The cursor is ahead of what this process can read at first: the log was not restored from an older copy."""
    azure = Azure(Settings(lag=Lag(writes=5, seconds=0.3, turns=(True,))))
    async with open_logs(emulator_url, azure, count=2) as (one, other):
        await write(one, LOG[:20])
        reader = await _reader(other)
        await write(one, LOG[20:30])
        cursor = cursor_at(LOG[29], log=(await reader.head()).log)
        page = await reader.read(FEED, after=cursor, bounds=PageBounds(size=100))

    assert (cursor, []) == (page.cursor, list(page.entries))


async def _reader(log: CosmosLog) -> Reader:
    tail = Tail(log)
    await tail.start()
    retention = Retention(log, clock=ManualClock(), keep=10**17)
    return Reader(log, tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())


async def test_token_is_sent_again_after_two_refusals(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With endpoint discovery, as in Azure, the SDK deletes its tokens then: the engine has its own."""
    azure = Azure(Settings(lag=Lag(writes=5, turns=(True,), tries=4)))
    async with open_logs(emulator_url, azure, discovery=monkeypatch) as (log,):
        await write(log, LOG[:20])
        scan = await log.scan(PARTY_FEED, after=0, through=20, limit=100)
        await write(log, LOG[20:30])
        lookup = await log.find([each.event for each in LOG[:30]])

    assert (20, 30) == (len(scan.entries), len(lookup.identities))
    assert azure.replicas.refusals >= 4
    assert 0 == azure.replicas.stale_reads
