"""`make bench STORE=cosmos`: where the time of an append and a page goes, and what caught-up consumers cost the store.

What is ours is measured with a store that answers at once; what is the emulator's, at the wire; the rest is the SDK's.
"""

import asyncio
import contextlib
import random
import re
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from eventfeed.app.application import now
from eventfeed.domain.feed import AppFeed, Query
from eventfeed.log.cosmos.database import Database, Document
from eventfeed.log.cosmos.log import CosmosLog
from tests.emulator.fault_proxy import Network, network_to
from tests.emulator.running import KEY, database, emulator
from tests.support.engines import new_name
from tests.support.events import TTD, entry, event
from tests.support.service import Served, bearer, serving

EVENT_BYTES = 900
PAGE = 1_000
ROUNDS = 10
CONSUMERS = 1_000
POLLS = 10
FEED = Query(feed=AppFeed(app=TTD))


class Timing(Network):
    """Notes how long each request was away behind this network."""

    def __init__(self, base: Network) -> None:
        super().__init__(base.host, base.port, base.rate, base.rng)
        self.away = 0.0
        self._asked = 0.0

    def asked(self, request: bytes) -> None:  # noqa: ARG002  # of those that look at it
        """See `Network.asked`."""
        self._asked = time.perf_counter()

    def answered(self, request: bytes, answer: bytes) -> bytes:  # noqa: ARG002  # of those that look at it
        """See `Network.answered`."""
        self.away += time.perf_counter() - self._asked
        return answer


class Instant(CosmosLog):
    """A log whose store answers at once with the documents it is given."""

    def answer(self, documents: Sequence[Document]) -> None:
        """Answer every query with these, and every batch with yes."""

        async def query(*_: object, **__: object) -> Sequence[Document]:
            return documents

        async def create(*_: object, **__: object) -> None:
            return None

        self._events.query, self._events.create = query, create  # type: ignore[method-assign]  # that is the point


@contextlib.asynccontextmanager
async def through(network: Network) -> AsyncIterator[str]:
    """The network while the block lasts; its address."""
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0, limit=2**26)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def latencies(url: str) -> None:
    """Appends of 1 and 100, pages of 50 and 1000: whole (median of some rounds), and by whose part it is."""
    network = Timing(network_to(url))
    async with database(url) as made, through(network) as address:
        store = Database(address, made.name, key=KEY, random=random.random, clock=now)
        await store.open()
        log, instant = CosmosLog(store, new_name=new_name), Instant(store, new_name=new_name)
        await log.open()
        await log.head()
        for _ in range(PAGE // 100):
            await _append(log, 100)
        await instant.head()
        kept = await log._events.query(
            "scan", "SELECT * FROM c WHERE c.segment = 0 ORDER BY c.sequence", partition=0, values={}
        )
        print(f"{'':<14}{'in all':>10}{'emulator':>10}{'SDK':>10}{'ours':>10}  ms; ours of the SDK's")
        for name, verb, count in (
            ("append", _append, 1),
            ("append", _append, 100),
            ("page", _page, 50),
            ("page", _page, PAGE),
        ):
            instant.answer(kept[: count + 1])
            wholes, aways = list[float](), list[float]()
            for _ in range(ROUNDS):
                before = network.away
                wholes.append(await verb(log, count))
                aways.append(network.away - before)
            whole, away = median(wholes), median(aways)
            ours = median([await verb(instant, count) for _ in range(ROUNDS)])
            sdk = whole - away - ours
            told = "".join(f"{1_000 * each:>10.2f}" for each in (whole, away, sdk, ours))
            print(f"{name} of {count:<{13 - len(name) - 4}}{told}  {ours / sdk:.0%}")
        print("requests and units:", {verb: tuple(cost) for verb, cost in sorted(store.costs.items())})
        await store.close()


async def _append(log: CosmosLog, count: int) -> float:
    end = log._segments.seen.position
    batch = [entry(end + place, of=event(size=EVENT_BYTES)) for place in range(1, count + 1)]
    started = time.perf_counter()
    await log.append(batch, after=end)
    return time.perf_counter() - started


async def _page(log: CosmosLog, count: int) -> float:
    started = time.perf_counter()
    found = await log.scan(FEED, after=0, through=PAGE, limit=count)
    fit = time.perf_counter() - started
    assert len(found.entries) == count
    return fit


async def consumers(url: str) -> None:
    """1,000 consumers, caught up, each polling once a second: what one service process asks of the store meanwhile."""
    network = network_to(url)
    async with database(url) as made, through(network) as address:
        account = address.removeprefix("http://").rstrip("/")
        with tempfile.TemporaryDirectory() as folder:
            store = f"cosmos://{account}/{made.name}"
            start = contextlib.ExitStack()
            served = await asyncio.to_thread(
                start.enter_context, serving(Path(folder), "--sample", EVENTFEED_STORE=store)
            )
            token = await asyncio.to_thread(served.token, "altinn:events/ttd")
            head = await asyncio.to_thread(served.client.get, "/events/api/v1/head", headers=bearer(token))
            request = _request(served, token, after=head.json()["cursor"])
            before, started = network.happened.total(), time.perf_counter()
            answered = await asyncio.gather(*(_consumer(served, request) for _ in range(CONSUMERS)))
            seconds, asked = time.perf_counter() - started, network.happened.total() - before
            await asyncio.to_thread(start.close)
    polls = f"{sum(answered):,} polls of {CONSUMERS:,} consumers in {seconds:.1f} s"
    print(f"{polls}: {asked / seconds:.1f} store requests a second")


def _request(served: Served, token: str, *, after: str) -> bytes:
    return (
        f"GET /events/api/v1/app/ttd/bolig?after={after} HTTP/1.1\r\nHost: {urlsplit(served.url).netloc}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


async def _consumer(served: Served, request: bytes) -> int:
    """Poll once a second, each consumer at another moment of it; how many polls were answered with nothing new."""
    await asyncio.sleep(random.random())
    reader, writer = await asyncio.open_connection(urlsplit(served.url).hostname, urlsplit(served.url).port)
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
    for measure in (latencies, consumers):
        with emulator() as found:
            asyncio.run(measure(found))
