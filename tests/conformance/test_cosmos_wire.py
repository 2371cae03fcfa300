"""Requests to Cosmos DB at the wire: how often and in what size they are sent, and the store's clock."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from eventfeed.domain.approval import Approval, AuditEntry
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.publishing import Submission
from eventfeed.log.clock import MachineClock
from eventfeed.log.cosmos import database as database_module
from eventfeed.log.cosmos import retry
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.records.cosmos import CosmosRecords
from tests.emulator.fault_proxy import Fault, Network, network_to
from tests.emulator.running import (
    new_database,
    open_database,
    open_log,
    open_log_through,
    serve,
    skip_without_emulator,
)
from tests.support.engines import ManualClock, new_name, running_appender
from tests.support.events import entry, event

SEGMENT_ENTRIES = 1_000
# All of one instance, whose owner the warm log knows.
INSTANCE = 1
BATCH = [entry(number, of=event(instance=INSTANCE)) for number in range(1, 101)]


@asynccontextmanager
async def open_warm_log(url: str, network: Network) -> AsyncIterator[CosmosLog]:
    """Open an empty log through a network. The client has already made its first requests to the account."""
    async with open_log_through(network, url, segment_entries=SEGMENT_ENTRIES) as log:
        await log.head()
        await log.find([event()])
        await log._owners.claim(BATCH)
        yield log


VERBS: dict[str, Callable[[CosmosLog], Awaitable[object]]] = {
    "append": lambda log: log.append(BATCH, after=0),
    "head": lambda log: log.head(),
    "follow": lambda log: log.follow(after=0, limit=10),
}


@pytest.mark.parametrize("fault", [Fault.TOO_MANY_REQUESTS, Fault.RETRY_WITH])
@pytest.mark.parametrize("name", VERBS)
async def test_request_without_effect_is_sent_twice(emulator_url: str, name: str, fault: Fault) -> None:
    """The engine repeats the request and the SDK does not, so two requests are counted."""
    network = network_to(emulator_url)
    async with open_warm_log(emulator_url, network) as log:
        before, network.next = network.requests.total(), [fault]
        counted_before = sum(cost.requests for cost in log._database.costs.values())
        await VERBS[name](log)
        after = network.requests.total()
        counted_after = sum(cost.requests for cost in log._database.costs.values())

    assert (2, 2) == (after - before, counted_after - counted_before)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESPONSE_LOST, Fault.UNAVAILABLE, Fault.UNAVAILABLE_BUT_DONE])
async def test_write_with_an_unknown_outcome_is_sent_once(emulator_url: str, fault: Fault) -> None:
    """The writer learns the outcome from the positions."""
    network = network_to(emulator_url)
    async with open_warm_log(emulator_url, network) as log:
        before, network.next = network.requests.total(), [fault]
        with pytest.raises(Unavailable):
            await log.append(BATCH, after=0)
        after = network.requests.total()

    assert 1 == after - before


class DocumentNetwork(Network):
    """A network that notes the number of creations of commits, and the largest one. `fault` is that of the first one.

    If `endpoint` is set, it is the account's endpoint in responses. An account in Azure has its own endpoints; the
    emulator reports some that do not exist.
    """

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.endpoint = ""
        self.fault: Fault | None = None
        self.creations = self.largest = 0

    def on_request(self, request: bytes) -> None:
        """See `Network.on_request`."""
        head, _, body = request.partition(b"\r\n\r\n")
        if b"/colls/commits/docs" in head.split(b"\r\n", 1)[0] and b'"events"' in body:
            if self.creations == 0 and self.fault is not None:
                self.next.append(self.fault)
            self.creations += 1
            self.largest = max(self.largest, len(body))

    def on_response(self, request: bytes, response: bytes) -> bytes:
        """See `Network.on_response`."""
        if not (self.endpoint and request.startswith(b"GET / ")):
            return response
        head, _, body = response.partition(b"\r\n\r\n")
        body = re.sub(rb'(?<="databaseAccountEndpoint":")[^"]*', self.endpoint.encode(), body)
        return re.sub(rb"(?i)content-length: *[0-9]+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body


@asynccontextmanager
async def open_log_with_discovery(
    url: str, network: DocumentNetwork, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CosmosLog]:
    """Open a log whose client discovers the endpoints of its account, as in Azure."""
    skip_without_emulator(url)
    client: Any = vars(database_module)["CosmosClient"]

    def discovering_client(*arguments: str, **options: Any) -> object:
        return client(*arguments, **{**options, "enable_endpoint_discovery": True})

    async with new_database(url) as direct, serve(network) as network.endpoint:
        monkeypatch.setattr(database_module, "CosmosClient", discovering_client)
        async with open_database(network.endpoint, direct.name) as database:
            log = await open_log(database, segment_entries=SEGMENT_ENTRIES)
            await log.head()
            yield log


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [(Fault.UNAVAILABLE, 2), (Fault.UNAVAILABLE_BUT_DONE, 2), (Fault.RESET, 2), (Fault.RESPONSE_LOST, 1)],
)
async def test_commit_repeated_by_the_sdk_is_written_once(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch, fault: Fault, attempts: int
) -> None:
    """With discovery the SDK tries another region, or the same again, and its own first attempt may be in conflict.

    The appender recognises its own entries.
    """
    network = DocumentNetwork(network_to(emulator_url))
    submission = Submission(events=[each.event for each in BATCH], pointers=["/0"] * len(BATCH), admin=True)
    async with (
        open_log_with_discovery(emulator_url, network, monkeypatch) as log,
        running_appender(log, clock=MachineClock(time.time_ns)) as (appender, _),
    ):
        network.fault = fault
        receipts = await appender.publish(submission)
        batch = await log.follow(after=0, limit=200)

    assert attempts <= network.creations
    assert [(sequence, False) for sequence in range(1, 101)] == [(each.sequence, each.duplicate) for each in receipts]
    assert [each.event.identity for each in BATCH] == [each.event.identity for each in batch]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_large_events_are_written_in_documents_below_the_limit(emulator_url: str) -> None:
    """A document has at most 1.5 MB, also of events that do not get smaller."""
    network = DocumentNetwork(network_to(emulator_url))
    numbers = random.Random(1)
    bodies = [b'{"data":"%b"}' % numbers.randbytes(30_000).hex().encode() for _ in BATCH]
    batch = [replace(each, event=replace(each.event, body=body)) for each, body in zip(BATCH, bodies, strict=True)]
    async with open_warm_log(emulator_url, network) as log:
        await log.append(batch, after=0)
        stored_batch = await log.follow(after=0, limit=100)

    assert batch == stored_batch
    assert 500_000 < network.largest <= 1_500_000


@pytest.mark.parametrize("offset", [-60, 60], ids=["behind", "ahead"])
async def test_clock_skew_follows_the_date_of_responses(emulator_url: str, offset: int) -> None:
    """The skew is known to the second, and it is 0 again after the clock is corrected."""
    clock, skews = ManualClock(), list[int]()
    async with open_warm_log(emulator_url, network_to(emulator_url)) as log:
        log._database.clock = clock
        for seconds in (0, offset, 0):
            clock.now = time.time_ns() // 1_000 + seconds * 1_000_000
            await log.head()
            clock.check()
            skews.append(clock.skew)

    assert (0, 0) == (skews[0], skews[2])
    assert 58_000_000_000 <= abs(skews[1]) <= 60_000_000_000


async def test_verb_on_a_slow_store_is_unavailable_after_its_deadline(
    emulator_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline covers all requests of the verb, also those to a replica that does not catch up."""
    network = network_to(emulator_url)
    async with open_warm_log(emulator_url, network) as log:
        await log.append(BATCH, after=0)
        monkeypatch.setattr(retry, "VERB_SECONDS_MAX", 0.2)
        network.next = [Fault.STALE_REPLICA] * 1_000
        with pytest.raises(Unavailable, match="in time"):
            await log.find([BATCH[-1].event])


async def test_concurrent_changes_of_the_manifest_all_succeed(emulator_url: str) -> None:
    """Each process tries again, and the log start is the highest of theirs."""
    network = network_to(emulator_url)
    async with open_warm_log(emulator_url, network) as log:
        await log.append(BATCH, after=0)
        engines = [await open_log(log._database, segment_entries=SEGMENT_ENTRIES) for _ in range(5)]
        await asyncio.gather(
            *(each.expire(before=(number + 1) * 1_000_000) for number, each in enumerate(engines, start=1))
        )
        await log.open()
        head = await log.head()

    assert 5 == head.log_start


async def test_verbs_of_records_cost_the_requests_of_the_table(emulator_url: str) -> None:
    """The table is in the docstring of the engine."""
    network, costs = network_to(emulator_url), list[int]()
    bank = Approval(organisation="310000033", types=["x"], valid_to=1, reason="r")
    audit_entry = AuditEntry(time=1, organisation="310000033", action="read")
    async with open_log_through(network, emulator_url, segment_entries=SEGMENT_ENTRIES) as log:
        records = CosmosRecords(log._database, new_id=new_name)
        await records.record(audit_entry)
        for verb in (
            records.approve(bank),
            records.approval(bank.organisation),
            records.withdraw(bank.organisation),
            records.record(audit_entry),
        ):
            before = network.requests.total()
            await verb
            costs.append(network.requests.total() - before)

    assert [1, 1, 2, 1] == costs
