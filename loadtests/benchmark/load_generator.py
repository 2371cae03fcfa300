"""Clients that cost little: `wrk`, or raw HTTP/1.1 on keep-alive connections."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtests.benchmark.figures import p99

# At the end, the client waits for the last responses, so that no connection breaks under the server.
LAST_RESPONSE_SECONDS_MAX = 10.0

_FAILURE = re.compile(r"Non-2xx|Socket errors")
_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class Load(NamedTuple):
    """The requests, the number of connections, the duration (s), and the only status that counts."""

    url: str
    request: Callable[[], bytes]
    status: int
    connections: int
    seconds: float


class Responses(NamedTuple):
    """The responses of a load: their rate (1/s), and the p99 of their times (s)."""

    rate: float
    p99: float


class Script(NamedTuple):
    """A script for `wrk` in Lua that varies the requests, and its arguments."""

    file: Path
    arguments: Sequence[str]


def wrk_rate(
    url: str, headers: Mapping[str, str], *, connections: int, seconds: float, script: Script | None = None
) -> float:
    """Responses a second, measured by `wrk`. Raises `RuntimeError` if a request failed."""
    fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    target = ["-s", str(script.file), url, "--", *script.arguments] if script else [url]
    options = ["--timeout", f"{LAST_RESPONSE_SECONDS_MAX:.0f}s", "-t1", f"-c{connections}", f"-d{seconds:.0f}s"]
    output = subprocess.run(["wrk", *options, *fields, *target], capture_output=True, check=True, text=True).stdout
    rate = _RATE.search(output)
    if rate is None or _FAILURE.search(output):
        raise RuntimeError(output)
    return float(rate[1])


async def responses(load: Load) -> Responses:
    """Apply a load. Raises `RuntimeError` at any other status, and at a connection that breaks."""
    loop, parts = asyncio.get_running_loop(), urlsplit(load.url)
    host, port = parts.hostname or "", parts.port or 80
    start = loop.time()
    deadline = start + load.seconds
    async with asyncio.timeout(load.seconds + LAST_RESPONSE_SECONDS_MAX):
        connections = [
            await loop.create_connection(lambda: _Connection(load, deadline=deadline), host, port)
            for _ in range(load.connections)
        ]
        try:
            times = await asyncio.gather(*(connection.times for _, connection in connections))
            end = loop.time()
        finally:
            for transport, _ in connections:
                transport.close()
    all_times = [each for some in times for each in some]
    return Responses(len(all_times) / (end - start), p99(all_times))


class _Connection(asyncio.Protocol):
    """One connection. Each response triggers the next request. `times` becomes the times of all responses (s)."""

    def __init__(self, load: Load, *, deadline: float) -> None:
        self._load, self._deadline = load, deadline
        self._loop = asyncio.get_running_loop()
        self._buffer, self._start, self._times = b"", 0.0, list[float]()
        self._status_line = b"HTTP/1.1 %d " % load.status
        self.times: asyncio.Future[list[float]] = self._loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP connection's
        """Send the first request."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Add a part of a response. After a whole response, send the next request while there is time."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or self.times.done():
            return
        if not head.startswith(self._status_line):
            self._fail(self._buffer.decode(errors="replace"))
            return
        length = _LENGTH.search(head + b"\r\n")
        if len(body) < (int(length[1]) if length else 0):
            return
        self._buffer = b""
        self._times.append(self._loop.time() - self._start)
        if self._loop.time() >= self._deadline:
            self.times.set_result(self._times)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail: the server closed the connection early."""
        self._fail(f"the connection broke: {exc}")

    def _send(self) -> None:
        request = self._load.request()
        self._start = self._loop.time()
        self._transport.write(request)

    def _fail(self, reason: str) -> None:
        if not self.times.done():
            self.times.set_exception(RuntimeError(reason))
