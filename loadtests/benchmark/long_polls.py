"""Long polls: their delay after a publish, and their memory; and the effect of slow streams on a fast one."""

import asyncio
import random
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import FEED, PUBLISH, authorization, event, fill
from loadtests.benchmark.figures import Figure, best_of, p99, with_workers
from loadtests.benchmark.servers import Server, peak_memory, service

# So many apps that one event ends some of the polls, and not all.
APPS = 200
PUBLISH_INTERVAL_SECONDS = 0.05
# A slow reader takes this much a second, through a window that is hardly larger.
SLOW_BYTES = 8 * 1024
# This many connections are opened at a time, so that none is refused.
CONNECTIONS_PER_STEP = 50

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CURSOR = re.compile(rb"\r\nfeed-cursor: *([^\r]+)\r\n", re.IGNORECASE)
_ID = re.compile(rb'"id":"([^"]+)"')


class Target(NamedTuple):
    """The URL of a server, and the headers of all requests to it."""

    url: str
    headers: str

    async def connect(self, *, window: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. `window` limits the bytes on their way that are not read yet."""
        parts = urlsplit(self.url)
        connection = socket.socket()
        connection.setblocking(False)
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
        return await asyncio.open_connection(sock=connection, limit=window or 2**16)

    def get(self, path: str, *, more: str) -> bytes:
        """A GET request with more headers."""
        return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n{self.headers}{more}\r\n".encode()

    def post(self, path: str, body: bytes) -> bytes:
        """A POST request with a JSON body."""
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return self.get(path, more=more).replace(b"GET ", b"POST ", 1) + body


class Delays:
    """The publish time of each event, and the delay until each waiter received it (s)."""

    def __init__(self) -> None:
        self.publish_times: dict[bytes, float] = {}
        self.values: list[float] = []
        self.is_over = False

    async def wait(self, target: Target, app: str) -> None:
        """Wait for the events of an app, again and again."""
        reader, writer = await target.connect()
        after = "0"
        while not self.is_over:
            feed = f"/events/api/v1/app/ttd/{app}?after={after}"
            head, body = await _send(reader, writer, target.get(feed, more="Prefer: wait=55\r\n"))
            now, times = time.perf_counter(), self.publish_times
            self.values += [now - times[each] for each in _ID.findall(body) if each in times]
            cursor = _CURSOR.search(head)
            after = cursor[1].decode() if cursor else after
        writer.close()

    async def publish(self, target: Target, apps: Sequence[str]) -> None:
        """Publish one event of each of these apps, one after another."""
        reader, writer = await target.connect()
        for app in apps:
            body = event(app=app)
            self.publish_times[_ID.search(body)[1]] = time.perf_counter()  # type: ignore[index]  # it has one
            await _send(reader, writer, target.post(PUBLISH, body))
            await asyncio.sleep(PUBLISH_INTERVAL_SECONDS)
        writer.close()


def long_poll_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """The delays and the memory of many long polls, for each number of workers."""
    for workers in effort.workers:
        subfolder = folder / str(workers)
        subfolder.mkdir()
        with service(subfolder, workers=workers) as server, peak_memory(server) as peak:
            idle_mib = server.memory_mib()
            delays, last_delay, waiting_mib = asyncio.run(_delays(server, effort))
            each, suffix = f"{effort.waiters:,} waiting polls", with_workers(workers)
            memory = 1_024 * (waiting_mib - idle_mib) / effort.waiters
            yield Figure(name=f"{each}: publish to response, median{suffix}", ours=1_000 * median(delays), unit="ms")
            yield Figure(name=f"{each}: the same, p99{suffix}", ours=1_000 * p99(delays), unit="ms")
            yield Figure(name=f"{each}: one event wakes all{suffix}", ours=1_000 * last_delay, unit="ms")
            yield Figure(name=f"{each}: memory of one that idles{suffix}", ours=memory, unit="KiB")
        yield Figure(name=f"{each}: private memory, the most{suffix}", ours=peak.mib, unit="MiB")


async def _delays(server: Server, effort: Effort) -> tuple[Sequence[float], float, float]:
    """The delays of polls in small groups, the longest delay of polls that wait for one event, and the memory (MiB)."""
    target, groups, all_polls = _target(server), Delays(), Delays()
    apps = [f"bench-{number}" for number in range(min(APPS, effort.waiters))]
    waiters = await _start(lambda number: groups.wait(target, apps[number % len(apps)]), effort.waiters)
    waiting_mib = server.memory_mib()
    await groups.publish(target, _random_apps(apps, effort))
    groups.is_over = True
    await groups.publish(target, apps)
    await asyncio.gather(*waiters)
    waiters = await _start(lambda _: all_polls.wait(target, "bench"), effort.waiters)
    all_polls.is_over = True
    await all_polls.publish(target, ["bench"])
    await asyncio.gather(*waiters)
    return groups.values, max(all_polls.values), waiting_mib


def _random_apps(apps: Sequence[str], effort: Effort) -> Sequence[str]:
    """The apps to publish for."""
    return random.choices(apps, k=round(effort.waiting_seconds / PUBLISH_INTERVAL_SECONDS))  # noqa: S311  # load


async def _start(work: Callable[[int], Awaitable[None]], count: int) -> list[asyncio.Future[None]]:
    """Start this many tasks in steps, and give them time to settle."""
    tasks = list[asyncio.Future[None]]()
    for number in range(count):
        tasks.append(asyncio.ensure_future(work(number)))
        if number % CONNECTIONS_PER_STEP == 0:
            await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    return tasks


def slow_stream_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """The rate of one stream that reads a log, with and without slow streams of the same log."""
    settings = {"EVENTFEED_CALLER_STREAMS": str(2 * effort.slow_readers)}
    with service(folder, settings) as server, peak_memory(server) as peak:
        fill(server, authorization(server), events=effort.stream_events)
        alone, beside = _stream_rates(_target(server), effort)
    name = f"a stream that catches up, beside {effort.slow_readers:,} slow ones / without them"
    yield best_of(name, beside, bare=alone, unit="1/s")
    yield Figure(name=f"private memory with {effort.slow_readers:,} slow streams, the most", ours=peak.mib, unit="MiB")


def _stream_rates(target: Target, effort: Effort) -> tuple[Sequence[float], Sequence[float]]:
    """The rates of a stream alone, and beside slow streams."""
    alone = [asyncio.run(_stream_rate(target, effort)) for _ in range(effort.rounds)]
    # In a process of their own: this process is measured.
    slow = get_context("spawn").Process(target=_read_slowly, args=(target, effort.slow_readers))
    slow.start()
    time.sleep(effort.settle_seconds)
    beside = [asyncio.run(_stream_rate(target, effort)) for _ in range(effort.rounds)]
    if not slow.is_alive():
        raise RuntimeError("the slow readers have ended")
    slow.terminate()
    slow.join()
    return alone, beside


def _read_slowly(target: Target, count: int) -> None:
    async def read_all() -> None:
        await asyncio.gather(*await _start(lambda _: _slow_stream(target), count))

    asyncio.run(read_all())


async def _stream_rate(target: Target, effort: Effort) -> float:
    """Events a second of a stream that reads the log from its start."""
    reader, writer = await target.connect()
    start, events = time.perf_counter(), 0
    writer.write(target.get(f"{FEED}?after=0", more="Accept: text/event-stream\r\n"))
    while events < effort.stream_events:
        events += (await reader.read(2**16)).count(b"\ndata: ")
    writer.close()
    return events / (time.perf_counter() - start)


async def _slow_stream(target: Target) -> None:
    """Read a stream a little at a time."""
    reader, writer = await target.connect(window=SLOW_BYTES)
    writer.write(target.get(f"{FEED}?after=0", more="Accept: text/event-stream\r\n"))
    try:
        if not (await reader.readline()).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("the service refused a slow reader")
        while await reader.read(SLOW_BYTES):  # noqa: ASYNC110  # it is slow
            await asyncio.sleep(1)
    finally:
        writer.close()


def _target(server: Server) -> Target:
    headers = authorization(server)
    return Target(server.url, "".join(f"{name}: {value}\r\n" for name, value in headers.items()))


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[bytes, bytes]:
    """Send a request, and return head and body of the response. Raises `RuntimeError` if it is no success."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if not head.startswith(b"HTTP/1.1 20"):
        raise RuntimeError((head + body).decode())
    return head, body
