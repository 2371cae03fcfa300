"""A client that costs little: raw HTTP/1.1 on keep-alive connections, each asking again as soon as it is answered."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

# What was asked when the time is up is still waited for, so that no connection breaks under the server.
LAST_ANSWER_SECONDS_MAX = 10.0

_FAILED = re.compile(r"Non-2xx|Socket errors")
_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class Calls(NamedTuple):
    """What is asked, how often at once, for how long (s), and the only status that counts."""

    url: str
    request: Callable[[], bytes]
    status: int
    connections: int
    seconds: float


class Script(NamedTuple):
    """What `wrk` asks when it is not the same all the time: a file in Lua, and what it is told."""

    file: Path
    arguments: Sequence[str]


def rate_of_wrk(
    url: str, headers: Mapping[str, str], *, connections: int, seconds: float, script: Script | None = None
) -> float:
    """Answers a second, asked for by `wrk`. Raises `RuntimeError` when something was refused."""
    fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    told = ["-s", str(script.file), url, "--", *script.arguments] if script else [url]
    command = [
        "wrk",
        "--timeout",
        f"{LAST_ANSWER_SECONDS_MAX:.0f}s",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:.0f}s",
        *fields,
        *told,
    ]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = _RATE.search(printed)
    if found is None or _FAILED.search(printed):
        raise RuntimeError(printed)
    return float(found[1])


async def answered_a_second(calls: Calls) -> float:
    """Answers a second. Raises `RuntimeError` at any other status, and at a connection that breaks."""
    loop, parts = asyncio.get_running_loop(), urlsplit(calls.url)
    host, port = parts.hostname or "", parts.port or 80
    deadline = loop.time() + calls.seconds
    async with asyncio.timeout(calls.seconds + LAST_ANSWER_SECONDS_MAX):
        opened = [
            await loop.create_connection(lambda: _Connection(calls, deadline=deadline), host, port)
            for _ in range(calls.connections)
        ]
        try:
            counts = await asyncio.gather(*(connection.count for _, connection in opened))
        finally:
            for transport, _ in opened:
                transport.close()
    return sum(counts) / calls.seconds


class _Connection(asyncio.Protocol):
    """One connection. `count` becomes the number of answers that came in time."""

    def __init__(self, calls: Calls, *, deadline: float) -> None:
        self._calls, self._deadline = calls, deadline
        self._loop = asyncio.get_running_loop()
        self._received, self._answered = b"", 0
        self._expected = b"HTTP/1.1 %d " % calls.status
        self.count: asyncio.Future[int] = self._loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP connection's
        """Ask for the first time."""
        self._transport = transport
        transport.write(self._calls.request())

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer; when it is whole, ask again while there is time."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self.count.done():
            return
        if not head.startswith(self._expected):
            self._fail(self._received.decode(errors="replace"))
            return
        length = _LENGTH.search(head + b"\r\n")
        if len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        if self._loop.time() >= self._deadline:
            self.count.set_result(self._answered)
            return
        self._answered += 1
        self._transport.write(self._calls.request())

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that closes early has refused."""
        self._fail(f"the connection broke: {exc}")

    def _fail(self, reason: str) -> None:
        if not self.count.done():
            self.count.set_exception(RuntimeError(reason))
