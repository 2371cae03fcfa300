"""What goes over the wire to Cosmos DB: how often the SDK sends a request, how much at once, and the store's time."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from eventfeed.app.application import now
from eventfeed.domain.approval import Approval, Audited
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.publishing import Submission
from eventfeed.log.cosmos import database as cosmos_client
from eventfeed.log.cosmos import log as cosmos
from eventfeed.log.cosmos.database import Database
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.records.cosmos import CosmosAccess
from tests.emulator.fault_proxy import Fault, Network, network_to
from tests.emulator.running import KEY, database, log_behind
from tests.support.engines import appending, new_name
from tests.support.events import entries, entry, event

SEGMENT_ENTRIES = 1_000
BATCH = entries(1, 100)


@asynccontextmanager
async def behind(url: str, network: Network) -> AsyncIterator[CosmosLog]:
    """An empty log that has been asked everything once."""
    if not url:
        pytest.skip("there is no emulator: `make test` installs it")
    async with log_behind(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.head()
        await log.find([event()])
        yield log


VERBS: dict[str, Callable[[CosmosLog], Awaitable[object]]] = {
    "append": lambda log: log.append(BATCH, after=0),
    "head": lambda log: log.head(),
    "follow": lambda log: log.follow(after=0, limit=10),
}


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.RETRY_WITH])
@pytest.mark.parametrize("name", VERBS)
async def test_a_request_that_was_not_done_is_sent_once_more(emulator_url: str, name: str, fault: Fault) -> None:
    """By us, and not by the SDK besides: it counts as two requests."""
    network = network_to(emulator_url)
    async with behind(emulator_url, network) as log:
        before, network.next = network.happened.total(), [fault]
        counted = sum(cost.requests for cost in log._database.costs.values())
        await VERBS[name](log)
        after = network.happened.total()
        spent = sum(cost.requests for cost in log._database.costs.values()) - counted

    assert (2, 2) == (after - before, spent)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.ANSWER_LOST, Fault.UNAVAILABLE, Fault.UNAVAILABLE_BUT_DONE])
async def test_a_write_in_doubt_is_sent_once(emulator_url: str, fault: Fault) -> None:
    """What became of it is for its writer to find out."""
    network = network_to(emulator_url)
    async with behind(emulator_url, network) as log:
        before, network.next = network.happened.total(), [fault]
        with pytest.raises(Unavailable):
            await log.append(BATCH, after=0)
        after = network.happened.total()

    assert 1 == after - before


class Watching(Network):
    """Notes how many batches are sent and how large requests are; tells an account's endpoint as `own`, if that is set.

    An account in Azure tells its endpoints. The emulator's are not there.
    """

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.own = ""
        self.batches = self.largest = 0
        self.segments = list[set[bytes]]()

    def asked(self, request: bytes) -> None:
        """See `Network.asked`."""
        head, _, body = request.partition(b"\r\n\r\n")
        if b"x-ms-cosmos-is-batch-request" in head.lower():
            self.batches += 1
            self.segments += [found] if (found := set(re.findall(rb'"segment": ?([0-9]+)', body))) else []
        self.largest = max(self.largest, len(body))

    def answered(self, request: bytes, answer: bytes) -> bytes:
        """See `Network.answered`."""
        head, _, body = answer.partition(b"\r\n\r\n")
        if not (self.own and request.startswith(b"GET / ")):
            return answer
        told = re.sub(rb'(?<="databaseAccountEndpoint":")[^"]*', self.own.encode(), body)
        return re.sub(rb"(?i)content-length: *[0-9]+", b"Content-Length: %d" % len(told), head) + b"\r\n\r\n" + told


@asynccontextmanager
async def discovering(url: str, network: Watching, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CosmosLog]:
    """A log whose account's endpoints are discovered, as in Azure."""
    if not url:
        pytest.skip("there is no emulator: `make test` installs it")
    client: Any = vars(cosmos_client)["CosmosClient"]

    def discovered(*arguments: str, **options: Any) -> object:
        return client(*arguments, **{**options, "enable_endpoint_discovery": True})

    server = await asyncio.start_server(network.serve, "127.0.0.1", 0, limit=2**26)
    async with database(url) as made, server:
        network.own = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        monkeypatch.setattr(cosmos_client, "CosmosClient", discovered)
        store = Database(network.own, made.name, key=KEY, random=random.random, clock=now)
        await store.open()
        log = CosmosLog(store, new_name=new_name, segment_entries=SEGMENT_ENTRIES)
        await log.open()
        await log.head()
        yield log
        await store.close()
        await asyncio.gather(*network.serving)


@pytest.mark.parametrize(
    ("fault", "sent"),
    [(Fault.UNAVAILABLE, 3), (Fault.UNAVAILABLE_BUT_DONE, 3), (Fault.RESET, 2), (Fault.ANSWER_LOST, 2)],
)
async def test_what_the_sdk_sends_again_with_discovery_is_in_once(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch, fault: Fault, sent: int
) -> None:
    """It asks another region, or the same again, and may be refused for its own first try. Its writer knows its own."""
    network = Watching(network_to(emulator_url))
    submission = Submission(events=[each.event for each in BATCH], pointers=["/0"] * len(BATCH), admin=True)
    async with discovering(emulator_url, network, monkeypatch) as log, appending(log, clock=now) as (appender, _):
        network.next = [None, None, fault]
        receipts = await appender.publish(submission)
        there = await log.follow(after=0, limit=200)

    assert sent <= network.batches
    assert [(place, False) for place in range(1, 101)] == [(each.sequence, each.duplicate) for each in receipts]
    assert [each.event.identity for each in BATCH] == [each.event.identity for each in there]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("text", ["x", "ø", '\\"', "\\u0001"], ids=["plain", "not ascii", "quotes", "controls"])
async def test_no_batch_is_larger_than_the_store_takes(emulator_url: str, text: str) -> None:
    """However long an event grows inside another text: 2 MB at most, and everything is in."""
    network = Watching(network_to(emulator_url))
    body = ('{"data":"' + text * (60_000 // len(text.encode())) + '"}').encode()
    batch = [entry(place, of=replace(event(), body=body)) for place in range(1, 101)]
    async with behind(emulator_url, network) as log:
        await log.append(batch, after=0)
        head = await log.head()

    assert 100 == head.end_offset
    assert 1_000_000 < network.largest <= 2_000_000


async def test_a_batch_is_of_one_partition(emulator_url: str) -> None:
    """The service refuses another; this emulator takes it."""
    network = Watching(network_to(emulator_url))
    async with behind(emulator_url, network) as log:
        for start in range(0, 1_050, 70):
            await log.append(entries(start + 1, start + 70), after=start)

    assert {1} == {len(each) for each in network.segments}
    assert {b"0", b"1"} == set.union(*network.segments)


@pytest.mark.parametrize("astray", [-60, 60], ids=["behind", "ahead"])
async def test_a_clock_that_goes_wrong_is_noticed(emulator_url: str, astray: int) -> None:
    """By the time that each answer tells, to the second; and so is that it goes right again."""
    network, off = network_to(emulator_url), [0]
    async with behind(emulator_url, network) as log:
        log._database.clock = lambda: now() + off[0]
        drifts = list[int]()
        for wrong in (0, astray, 0):
            off[0] = wrong * 1_000_000
            await log.head()
            drifts.append(log.clock_skew)

    assert (0, 0) == (drifts[0], drifts[2])
    assert 58_000_000 <= drifts[1] <= 60_000_000


async def test_a_slow_store_makes_a_verb_unavailable_in_its_time(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all its requests, and however often it asks a replica that does not catch up."""
    network = network_to(emulator_url)
    async with behind(emulator_url, network) as log:
        await log.append(BATCH, after=0)
        monkeypatch.setattr(cosmos_client, "VERB_SECONDS_MAX", 0.2)
        monkeypatch.setattr(cosmos_client, "BEHIND_SECONDS", 30.0)
        network.next = [Fault.BEHIND] * 4
        with pytest.raises(Unavailable, match="in time"):
            await log.find([BATCH[-1].event])


async def test_several_processes_may_change_the_record_at_once(emulator_url: str) -> None:
    """Each tries again, and the floor is the highest of theirs."""
    network = network_to(emulator_url)
    async with behind(emulator_url, network) as log:
        await log.append(BATCH, after=0)
        engines = [CosmosLog(log._database, new_name=new_name, segment_entries=SEGMENT_ENTRIES) for _ in range(5)]
        for each in engines:
            await each.open()
        await asyncio.gather(
            *(each.expire(before=(place + 1) * 1_000_000) for place, each in enumerate(engines, start=1))
        )
        await log.open()
        head = await log.head()

    assert 5 == head.log_start


async def test_the_first_event_of_an_instance_is_found_among_many(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of looking is bounded, and an instance with many events hides no other."""
    monkeypatch.setattr(cosmos, "FIRSTS_MAX", 3)
    busy, quiet = [event(instance=900_001) for _ in range(10)], event(instance=900_002)
    network = network_to(emulator_url)
    async with behind(emulator_url, network) as log:
        await log.append([entry(place, of=each) for place, each in enumerate([*busy, quiet], start=1)], after=0)
        found = await log.find([event(instance=900_001), event(instance=900_002), event(instance=900_003)])

    assert {busy[0].instance, quiet.instance} == set(found.owners)


async def test_what_access_costs(emulator_url: str) -> None:
    """The table of the engine, at the wire."""
    if not emulator_url:
        pytest.skip("there is no emulator: `make test` installs it")
    network, spent = network_to(emulator_url), list[int]()
    bank = Approval(organisation="310000033", types=["x"], valid_to=1, reason="r")
    audited = Audited(time=1, organisation="310000033", action="read")
    async with log_behind(network, emulator_url, segment_entries=SEGMENT_ENTRIES) as log:
        access = CosmosAccess(log._database, new_write_id=new_name)
        await access.record(audited)
        for ask in (
            access.approve(bank),
            access.approval(bank.organisation),
            access.withdraw(bank.organisation),
            access.record(audited),
        ):
            before = network.happened.total()
            await ask
            spent.append(network.happened.total() - before)

    assert [1, 1, 2, 1] == spent
