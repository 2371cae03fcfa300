"""A store that refuses requests, at the wire: what publishers get, and how many requests follow."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from eventfeed.domain.errors import NotDone, OutcomeUnknown, StoreAway, Unavailable
from eventfeed.log.appender import Appender
from eventfeed.log.cosmos.containers import COMMITS
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.log.memory.tail import Tail
from tests.emulator.fault_proxy import network_to
from tests.emulator.messages import Request, Response, Send, refuse
from tests.emulator.running import open_log_through, skip_without_emulator
from tests.support.engines import ManualClock, running_appender
from tests.support.events import all_entries, entries, event, submission

RETRY_SECONDS = 30
CLIENTS, REQUESTS = 8, 20


class Refusing:
    """A rule by which the store refuses documents and queries with `refusal`, if there is one. `requests` counts them.

    `passes` is the number of requests that succeed before. With `commits_only` all but new commits succeed.
    """

    def __init__(self) -> None:
        self.refusal: Response | None = None
        self.commits_only = False
        self.passes = self.requests = 0
        self.has_refused_three = asyncio.Event()

    async def __call__(self, request: Request, send: Send) -> Response:
        """Refuse a request, or send it on."""
        is_commit = request.is_write and request.container.endswith(f"/{COMMITS}")
        if self.refusal is None or not request.is_for_documents or (self.commits_only and not is_commit):
            return await send(request)
        if self.passes:
            self.passes -= 1
            return await send(request)
        self.requests += 1
        if self.requests == 3:
            self.has_refused_three.set()
        return self.refusal


class Service:
    """The parts of a process, and the store's rule. `time` is the process's monotonic clock (s)."""

    def __init__(self, log: CosmosLog, appender: Appender, *, tail: Tail, rule: Refusing) -> None:
        self.log, self.appender, self.tail, self.rule = log, appender, tail, rule
        self.time = 0.0
        log._database.availability._clock = lambda: self.time

    async def publish(self) -> None:
        """Publish one event."""
        await self.appender.publish(submission(event()))

    async def read(self) -> None:
        """Read the newest end, as a reader that has caught up."""
        await self.tail.refresh(past=self.tail.head.end_offset + 1)


@asynccontextmanager
async def running(url: str, *, segment_entries: int = 1_000) -> AsyncIterator[Service]:
    """Run the parts of a process on a new log behind a network."""
    skip_without_emulator(url)
    rule, network = Refusing(), network_to(url)
    network.rules = [rule]
    async with (
        open_log_through(network, url, segment_entries=segment_entries) as log,
        running_appender(log, clock=ManualClock()) as (appender, tail),
    ):
        service = Service(log, appender, tail=tail, rule=rule)
        await service.publish()
        yield service


async def failures_of(service: Service) -> Sequence[Unavailable]:
    """Let publishers and readers try again and again, and return their failures."""

    async def client(index: int) -> list[Unavailable]:
        failures = []
        for _ in range(REQUESTS):
            try:
                await (service.publish() if index % 2 else service.read())
            except Unavailable as failure:
                failures.append(failure)
        return failures

    return sum(await asyncio.gather(*map(client, range(2 * CLIENTS))), list[Unavailable]())


async def test_store_that_asks_for_half_a_minute_gets_two_requests_in_it(emulator_url: str) -> None:
    """One read and one write, from eight publishers and eight readers. All get the rest of the time immediately."""
    async with running(emulator_url) as service:
        rule = service.rule
        rule.refusal = refuse(429, "too many", x_ms_retry_after_ms=1_000 * RETRY_SECONDS)
        failures, seconds = list[Unavailable](), list[set[int]]()
        for service.time in (0.0, 12.25, 29.9):
            batch = await failures_of(service)
            failures += batch
            seconds.append({each.retry_seconds for each in batch})
        rule.refusal, service.time = None, float(RETRY_SECONDS)
        await service.publish()
        await service.read()

    assert rule.requests <= 2
    assert 3 * 2 * CLIENTS * REQUESTS == len(failures)
    assert all(isinstance(each, StoreAway) and "status 429" in str(each) for each in failures)
    assert [{30}, {math.ceil(30 - 12.25)}, {1}] == seconds


@pytest.mark.parametrize(
    ("status", "substatus", "seconds"),
    [(400, 0, 5), (401, 0, 5), (403, 0, 5), (403, 1014, 5), (404, 0, 5), (413, 0, 5), (429, 0, 30), (449, 0, 30)],
)
async def test_refused_append_is_sent_once_and_reported_with_its_status(
    emulator_url: str, status: int, substatus: int, seconds: int
) -> None:
    """Nothing was written, so nothing is looked up, and the appender is free for the next batch."""
    async with running(emulator_url) as service:
        rule, headers = service.rule, {"x_ms_retry_after_ms": 30_000} if status in (429, 449) else {}
        rule.commits_only = True
        rule.refusal = refuse(status, "no", substatus=substatus, **headers)
        with pytest.raises(NotDone, match=rf"status {status}.* Nothing was written\.$") as failure:
            await service.publish()
        rule.refusal, service.time = None, 31.0
        await service.publish()
        entries_after = await all_entries(service.log)

    assert (1, seconds, 2) == (rule.requests, failure.value.retry_seconds, len(entries_after))


@pytest.mark.parametrize("status", [408, 410, 500, 503])
async def test_append_without_a_clear_outcome_is_looked_up(emulator_url: str, status: int) -> None:
    """The store refused it each time, but only a look-up shows that."""
    async with running(emulator_url) as service:
        rule = service.rule
        rule.commits_only = True
        rule.refusal = refuse(status, "no")
        publish = asyncio.create_task(service.publish())
        await rule.has_refused_three.wait()
        rule.refusal = None
        await publish
        entries_after = await all_entries(service.log)

    assert 2 == len(entries_after)


async def test_refusal_after_the_first_commit_of_an_append_is_an_unknown_outcome(emulator_url: str) -> None:
    """A segment ends within the batch, so it is two commits, and one of them is stored."""
    async with running(emulator_url, segment_entries=3) as service:
        rule = service.rule
        rule.commits_only, rule.passes = True, 1
        rule.refusal = refuse(403, "no")
        with pytest.raises(OutcomeUnknown, match="status 403"):
            await service.log.append(entries(2, 4), after=1)
        entries_after = await all_entries(service.log)

    assert 2 == len(entries_after)
