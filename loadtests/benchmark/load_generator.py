"""Clients that cost little: `wrk`, or raw HTTP/1.1 on keep-alive connections."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

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


async def response_rate(load: Load) -> float:
    """Responses a second. Raises `RuntimeError` at any other status, and at a connection that breaks."""
    loop, parts = asyncio.get_running_loop(), urlsplit(load.url)
    host, port = parts.hostname or "", parts.port or 80
    deadline = loop.time() + load.seconds
    async with asyncio.timeout(load.seconds + LAST_RESPONSE_SECONDS_MAX):
        connections = [
            await loop.create_connection(lambda: _Connection(load, deadline=deadline), host, port)
            for _ in range(load.connections)
        ]
        try:
            counts = await asyncio.gather(*(connection.count for _, connection in connections))
        finally:
            for transport, _ in connections:
                transport.close()
    return sum(counts) / load.seconds


class _Connection(asyncio.Protocol):
    """One connection. Each response triggers the next request. `count` becomes the number of responses in time."""

    def __init__(self, load: Load, *, deadline: float) -> None:
        self._load, self._deadline = load, deadline
        self._loop = asyncio.get_running_loop()
        self._buffer, self._responses = b"", 0
        self._status_line = b"HTTP/1.1 %d " % load.status
        self.count: asyncio.Future[int] = self._loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP connection's
        """Send the first request."""
        self._transport = transport
        transport.write(self._load.request())

    def data_received(self, data: bytes) -> None:
        """Add a part of a response. After a whole response, send the next request while there is time."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or self.count.done():
            return
        if not head.startswith(self._status_line):
            self._fail(self._buffer.decode(errors="replace"))
            return
        length = _LENGTH.search(head + b"\r\n")
        if len(body) < (int(length[1]) if length else 0):
            return
        self._buffer = b""
        if self._loop.time() >= self._deadline:
            self.count.set_result(self._responses)
            return
        self._responses += 1
        self._transport.write(self._load.request())

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail: the server closed the connection early."""
        self._fail(f"the connection broke: {exc}")

    def _fail(self, reason: str) -> None:
        if not self.count.done():
            self.count.set_exception(RuntimeError(reason))
