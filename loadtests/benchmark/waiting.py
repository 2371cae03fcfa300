"""Waiting polls: how soon they are woken, and what memory they take; and what slow readers cost a fast one."""

import asyncio
import random
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import FEED, PUBLISH, authorized, event, fill
from loadtests.benchmark.figures import Figure
from loadtests.benchmark.serving import Server, service, watched

# So many apps that an event wakes some of those who wait, and not all.
APPS = 200
EVERY_SECONDS = 0.05
# A slow reader takes so much a second, through a window that is hardly larger.
SLOW_BYTES = 8 * 1024
# Connections are opened so many at a time, that none is refused.
AT_ONCE = 50

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CURSOR = re.compile(rb"\r\nfeed-cursor: *([^\r]+)\r\n", re.IGNORECASE)
_ID = re.compile(rb'"id":"([^"]+)"')


class Wire(NamedTuple):
    """Where requests go, and the headers that all of them have."""

    url: str
    headers: str

    async def opened(self, *, window: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection; `window` bounds what may be under way to it unread (bytes)."""
        parts = urlsplit(self.url)
        taking = socket.socket()
        taking.setblocking(False)
        if window:
            taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await asyncio.get_running_loop().sock_connect(taking, (parts.hostname, parts.port))
        return await asyncio.open_connection(sock=taking, limit=window or 2**16)

    def get(self, path: str, *, more: str) -> bytes:
        """A GET with these headers more."""
        return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n{self.headers}{more}\r\n".encode()

    def post(self, path: str, body: bytes) -> bytes:
        """A POST of JSON."""
        sent = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return self.get(path, more=sent).replace(b"GET ", b"POST ", 1) + body


class Woken:
    """When each event was published, and how long after that each waiter had it (s)."""

    def __init__(self) -> None:
        self.published: dict[bytes, float] = {}
        self.after: list[float] = []
        self.ended = False

    async def wait(self, wire: Wire, app: str) -> None:
        """Wait for the events of an app, again and again."""
        reader, writer = await wire.opened()
        after = "0"
        while not self.ended:
            feed = f"/events/api/v1/app/ttd/{app}?after={after}"
            head, body = await _answer(reader, writer, wire.get(feed, more="Prefer: wait=60\r\n"))
            now = time.perf_counter()
            self.after += [now - self.published[each] for each in _ID.findall(body) if each in self.published]
            found = _CURSOR.search(head)
            after = found[1].decode() if found else after
        writer.close()

    async def publish(self, wire: Wire, apps: Sequence[str]) -> None:
        """Publish an event of each of these apps, one after another."""
        reader, writer = await wire.opened()
        for app in apps:
            body = event(app=app)
            self.published[_ID.search(body)[1]] = time.perf_counter()  # type: ignore[index]  # it has one
            await _answer(reader, writer, wire.post(PUBLISH, body))
            await asyncio.sleep(EVERY_SECONDS)
        writer.close()


def waiting_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """With one worker and with two."""
    for workers in effort.workers:
        place = folder / str(workers)
        place.mkdir()
        with service(place, workers=workers) as server, watched(server) as peak:
            rest = server.memory_mib()
            woken, all_at_once, held = asyncio.run(_woken(server, effort))
            each = f"{effort.waiters:,} waiting polls, {workers} worker{'s' * (workers > 1)}"
            cuts = quantiles(woken, n=100)
            yield Figure(name=f"{each}: published to answered, median", ours=1_000 * median(woken), unit="ms")
            yield Figure(name=f"{each}: the same, p99", ours=1_000 * cuts[98], unit="ms")
            yield Figure(name=f"{each}: the last of all woken by one", ours=1_000 * all_at_once, unit="ms")
            yield Figure(
                name=f"{each}: memory of one that idles", ours=1_024 * (held - rest) / effort.waiters, unit="KiB"
            )
        yield Figure(name=f"{each}: private memory, the most", ours=peak.mib, unit="MiB")


async def _woken(server: Server, effort: Effort) -> tuple[Sequence[float], float, float]:
    """How long those took who were woken some at a time, the last one when all waited for the same; memory (MiB)."""
    wire, spread, together = _wire(server), Woken(), Woken()
    apps = [f"bench-{number}" for number in range(APPS)]
    waiting = await _all(lambda number: spread.wait(wire, apps[number % APPS]), effort.waiters)
    held = server.memory_mib()
    await spread.publish(wire, _chosen(apps, effort))
    spread.ended = True
    await spread.publish(wire, apps)
    await asyncio.gather(*waiting)
    waiting = await _all(lambda _: together.wait(wire, "bench"), effort.waiters)
    together.ended = True
    await together.publish(wire, ["bench"])
    await asyncio.gather(*waiting)
    return spread.after, max(together.after), held


def _chosen(apps: Sequence[str], effort: Effort) -> Sequence[str]:
    """Whose turn it is, among those that somebody waits for."""
    waited_for = apps[: effort.waiters]
    return random.choices(waited_for, k=round(effort.waiting_seconds / EVERY_SECONDS))  # noqa: S311  # load


async def _all(work: Callable[[int], Awaitable[None]], count: int) -> list[asyncio.Future[None]]:
    """So many of the same, begun some at a time, and a while to settle."""
    begun = list[asyncio.Future[None]]()
    for number in range(count):
        begun.append(asyncio.ensure_future(work(number)))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    return begun


def slow_reader_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """How fast one stream catches up with a log, with and without slow readers of the same log beside it."""
    settings = {"EVENTFEED_CALLER_STREAMS": str(2 * effort.slow_readers)}
    with service(folder, settings) as server, watched(server) as peak:
        fill(server, authorized(server), events=effort.stream_events)
        alone, beside = _beside_slow_ones(_wire(server), effort)
    yield Figure(
        name=f"a stream that catches up, beside {effort.slow_readers:,} slow ones over alone",
        ours=max(beside),
        bare=max(alone),
        ratio=max(beside) / max(alone),
        unit="/s",
        ours_rounds=beside,
        bare_rounds=alone,
    )
    yield Figure(name=f"private memory with {effort.slow_readers:,} slow streams, the most", ours=peak.mib, unit="MiB")


def _beside_slow_ones(wire: Wire, effort: Effort) -> tuple[Sequence[float], Sequence[float]]:
    alone = [asyncio.run(_caught_up(wire, effort)) for _ in range(effort.rounds)]
    # In a process of their own: this one is measured.
    slow = get_context("spawn").Process(target=_slow_ones, args=(wire, effort.slow_readers))
    slow.start()
    time.sleep(effort.settle_seconds)
    beside = [asyncio.run(_caught_up(wire, effort)) for _ in range(effort.rounds)]
    if not slow.is_alive():
        raise RuntimeError("the slow readers have ended")
    slow.terminate()
    slow.join()
    return alone, beside


def _slow_ones(wire: Wire, count: int) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*await _all(lambda _: _slowly(wire), count))

    asyncio.run(all_of_them())


async def _caught_up(wire: Wire, effort: Effort) -> float:
    """Events a second of a stream that reads the log from its beginning."""
    reader, writer = await wire.opened()
    started, seen = time.perf_counter(), 0
    writer.write(wire.get(f"{FEED}?after=0", more="Accept: text/event-stream\r\n"))
    while seen < effort.stream_events:
        seen += (await reader.read(2**16)).count(b"\ndata: ")
    writer.close()
    return seen / (time.perf_counter() - started)


async def _slowly(wire: Wire) -> None:
    """Take a stream a little at a time."""
    reader, writer = await wire.opened(window=SLOW_BYTES)
    writer.write(wire.get(f"{FEED}?after=0", more="Accept: text/event-stream\r\n"))
    try:
        if not (await reader.readline()).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("a slow reader was refused")
        while await reader.read(SLOW_BYTES):  # noqa: ASYNC110  # it is slow
            await asyncio.sleep(1)
    finally:
        writer.close()


def _wire(server: Server) -> Wire:
    headers = authorized(server)
    return Wire(server.url, "".join(f"{name}: {value}\r\n" for name, value in headers.items()))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer. Raises `RuntimeError` at any that is no success."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if not head.startswith(b"HTTP/1.1 20"):
        raise RuntimeError((head + body).decode())
    return head, body
