"""`make bench STORE=cosmos`: the time of appends and pages by component, and the store requests of idle consumers.

The emulator's part is measured at the wire, the engine's with a store that responds at once; the rest is the SDK's.
"""

import asyncio
import contextlib
import random
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

from eventfeed.domain.feed import app_feed
from eventfeed.log.cosmos.database import Document, QueryPage
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.fault_proxy import Network, network_to
from tests.emulator.running import emulator, new_database, open_database, serve
from tests.support.engines import new_name
from tests.support.events import TTD, entry, event
from tests.support.service import RunningService, bearer, running_service

EVENT_BYTES = 900
PAGE = 1_000
# Events of the commits that pages are made of.
COMMIT = 20
ROUNDS = 10
CONSUMERS = 1_000
POLLS = 10
FEED = app_feed(TTD)


class TimedNetwork(Network):
    """A network that measures the time (s) until the emulator's responses."""

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.emulator_seconds = 0.0
        self._request_time = 0.0

    def on_request(self, request: bytes) -> None:  # noqa: ARG002  # for networks that observe it
        """See `Network.on_request`."""
        self._request_time = time.perf_counter()

    def on_response(self, request: bytes, response: bytes) -> bytes:  # noqa: ARG002  # for networks that change it
        """See `Network.on_response`."""
        self.emulator_seconds += time.perf_counter() - self._request_time
        return response


class InstantLog(CosmosLog):
    """A log whose store responds at once."""

    def respond_with(self, documents: Sequence[Document]) -> None:
        """Respond to every query with these documents, and accept every commit."""

        async def query(*_: object, **__: object) -> Sequence[Document]:
            return documents

        async def page(*_: object, **__: object) -> QueryPage:
            return QueryPage(documents, has_more=False)

        async def create(*_: object, **__: object) -> str:
            return ""

        commits = self._commits
        commits.query, commits.page, commits.create = query, page, create  # type: ignore[method-assign]  # no delay


class Measurement(NamedTuple):
    """A verb to measure, its name, and the number of its entries."""

    name: str
    verb: Callable[[CosmosLog, int], Awaitable[float]]
    entries: int


async def measure_latencies(url: str) -> None:
    """Print the time of appends and pages (median of some rounds), and the part of each component."""
    network = TimedNetwork(network_to(url))
    async with (
        new_database(url) as direct,
        serve(network) as network_url,
        open_database(network_url, direct.name) as database,
    ):
        log, instant_log = (
            each(database, new_name=new_name, keep=10**17, identity_keep=10**17, segment_entries=200_000)
            for each in (CosmosLog, InstantLog)
        )
        assert isinstance(instant_log, InstantLog)
        await log.open()
        await log.head()
        for _ in range(PAGE // COMMIT):
            await _append(log, COMMIT)
        await instant_log.head()
        documents = await log._commits.query(
            "scan", "SELECT * FROM c WHERE c.segment = 0 ORDER BY c.last", partition=0, values={}
        )
        print(f"{'':<14}{'total':>10}{'emulator':>10}{'SDK':>10}{'service':>10}  ms; service by SDK")
        for measurement in (
            Measurement("append", _append, 1),
            Measurement("append", _append, 100),
            Measurement("page", _page, 50),
            Measurement("page", _page, PAGE),
        ):
            instant_log.respond_with(documents[: -(-measurement.entries // COMMIT)])
            await _measure(measurement, network, log=log, instant_log=instant_log)
        print("requests and units:", {verb: tuple(cost) for verb, cost in sorted(database.costs.items())})


async def _measure(measurement: Measurement, network: TimedNetwork, *, log: CosmosLog, instant_log: CosmosLog) -> None:
    name, verb, count = measurement
    totals, emulator_times, service_times = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        before = network.emulator_seconds
        totals.append(await verb(log, count))
        emulator_times.append(network.emulator_seconds - before)
        service_times.append(await verb(instant_log, count))
    total, emulator_time, service_time = median(totals), median(emulator_times), median(service_times)
    sdk_time = total - emulator_time - service_time
    columns = "".join(f"{1_000 * each:>10.2f}" for each in (total, emulator_time, sdk_time, service_time))
    print(f"{name} of {count:<{13 - len(name) - 4}}{columns}  {service_time / sdk_time:.0%}")


async def _append(log: CosmosLog, count: int) -> float:
    end = log._segments.newest.position
    batch = [entry(end + number, of=event(instance=1, size=EVENT_BYTES)) for number in range(1, count + 1)]
    start = time.perf_counter()
    await log.append(batch, after=end)
    return time.perf_counter() - start


async def _page(log: CosmosLog, count: int) -> float:
    start = time.perf_counter()
    scan = await log.scan(FEED, after=0, through=PAGE, limit=count)
    seconds = time.perf_counter() - start
    assert len(scan.entries) == count
    return seconds


async def measure_consumers(url: str) -> None:
    """Print the store requests of one process while 1,000 consumers without new events poll once a second."""
    network = network_to(url)
    async with new_database(url) as database, serve(network) as network_url:
        account = network_url.removeprefix("http://").rstrip("/")
        with tempfile.TemporaryDirectory() as folder:
            store = f"cosmos://{account}/{database.name}"
            stack = contextlib.ExitStack()
            service = await asyncio.to_thread(
                stack.enter_context, running_service(Path(folder), "--sample", EVENTFEED_STORE=store)
            )
            token = await asyncio.to_thread(service.token, "altinn:events/ttd")
            head = await asyncio.to_thread(service.client.get, "/events/api/v1/head", headers=bearer(token))
            request = _request(service, token, after=head.json()["cursor"])
            before, start = network.requests.total(), time.perf_counter()
            polls = sum(await asyncio.gather(*(_consumer(service, request) for _ in range(CONSUMERS))))
            seconds, requests = time.perf_counter() - start, network.requests.total() - before
            await asyncio.to_thread(stack.close)
    rate = f"{requests / seconds:.1f} store requests a second"
    print(f"{polls:,} polls of {CONSUMERS:,} consumers in {seconds:.1f} s: {rate}")


def _request(service: RunningService, token: str, *, after: str) -> bytes:
    return (
        f"GET /events/api/v1/app/ttd/bolig?after={after} HTTP/1.1\r\nHost: {urlsplit(service.url).netloc}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


async def _consumer(service: RunningService, request: bytes) -> int:
    """Poll once a second, from a random start. Return the number of polls; each response must be empty."""
    await asyncio.sleep(random.random())
    reader, writer = await asyncio.open_connection(urlsplit(service.url).hostname, urlsplit(service.url).port)
    for _ in range(POLLS):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *([0-9]+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        assert (b" 200 ", b"[]") == (head[8:13], body), head
        await asyncio.sleep(1)
    writer.close()
    return POLLS


if __name__ == "__main__":
    for measure in (measure_latencies, measure_consumers):
        with emulator() as emulator_url:
            asyncio.run(measure(emulator_url))
