"""The cost of a page by the number of readers that request pages from one worker at the same time."""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from urllib.parse import urlsplit

import uvloop

from loadtests.benchmark.figures import p99
from loadtests.growth.costs import Request
from loadtests.growth.figures import Figure, figure
from loadtests.growth.long_logs import MICROSECONDS, rotate
from loadtests.growth.measures import PAGE_AT_START
from loadtests.growth.served_log import ServedLog

# So many connections are opened at a time, so that none is refused.
CONNECTIONS_PER_STEP = 50
# A busy machine needs many times longer than an idle one: this limit only ends what hangs.
PAGES_SECONDS_MAX = 300.0

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


def reader_figures(log: ServedLog, *, readers: Sequence[int], pages: int, rounds: int) -> Iterator[Figure]:
    """Measure pages of 50 from the store: as many for few readers as for many."""
    costs = {number: list[float]() for number in readers}
    medians, slowest = ({number: list[float]() for number in readers} for _ in range(2))
    for round_number in range(rounds):
        for number in rotate(costs, round_number):
            requests = [PAGE_AT_START.request(log) for _ in range(max(pages, number))]
            before = log.server.cpu_seconds()
            times = uvloop.run(_read(log.server.url, [encode(log.server.url, each) for each in requests], number))
            costs[number].append((log.server.cpu_seconds() - before) / len(times))
            medians[number].append(median(times))
            slowest[number].append(p99(times))
    yield figure("page of 50 from the store, at the start: processor time", costs, unit="µs", factor=MICROSECONDS)
    yield figure("page of 50 from the store, at the start: median", medians, unit="ms", factor=1_000, is_bounded=False)
    yield figure("page of 50 from the store, at the start: p99", slowest, unit="ms", factor=1_000, is_bounded=False)


def encode(url: str, request: Request) -> bytes:
    """Return a GET request as bytes."""
    headers: Mapping[str, str] = {"Host": urlsplit(url).netloc, **request.headers}
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {request.path} HTTP/1.1\r\n{fields}\r\n".encode()


async def _read(url: str, requests: list[bytes], number: int) -> Sequence[float]:
    """Open so many connections, send all requests over them, and return the times until the responses (s)."""
    readers = list[_Reader]()
    try:
        while len(readers) < number:
            count = min(CONNECTIONS_PER_STEP, number - len(readers))
            readers += await asyncio.gather(*(_connect(url, requests) for _ in range(count)))
        for reader in readers:
            reader.send()
        async with asyncio.timeout(PAGES_SECONDS_MAX):
            await asyncio.gather(*(reader.end for reader in readers))
    finally:
        for reader in readers:
            reader.close()
    return [each for reader in readers for each in reader.times]


async def _connect(url: str, requests: list[bytes]) -> "_Reader":
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    _, reader = await loop.create_connection(lambda: _Reader(requests), parts.hostname or "", parts.port or 80)
    return reader


class _Reader(asyncio.Protocol):
    """A connection that takes the next of the requests after each response, until none is left."""

    def __init__(self, requests: list[bytes]) -> None:
        self._requests, self._buffer = requests, bytearray()
        self.times = list[float]()
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP connection's
        """Keep the connection."""
        self._transport = transport

    def send(self) -> None:
        """Send the next request."""
        self._start = time.perf_counter()
        self._transport.write(self._requests.pop())

    def data_received(self, data: bytes) -> None:
        """Add a part of a response. After a whole one, send the next request."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        length = _LENGTH.search(self._buffer, 0, end + 2) if end >= 0 else None
        if length is None or len(self._buffer) < end + 4 + int(length[1]):
            return
        self.times.append(time.perf_counter() - self._start)
        if not self._buffer.startswith(b"HTTP/1.1 200 "):
            self._fail(self._buffer[:500].decode(errors="replace"))
        elif self._requests:
            self._buffer.clear()
            self.send()
        elif not self.end.done():
            self.end.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail: the server closed the connection early."""
        self._fail(f"the connection broke: {exc}")

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _fail(self, reason: str) -> None:
        if not self.end.done():
            self.end.set_exception(RuntimeError(reason))
