"""Followers: many streams in a process of their own, which notes the delay of every event that arrives."""

import asyncio
import os
import re
import resource
import time
from array import array
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from urllib.parse import SplitResult, urlsplit

import uvloop

# So many connections come from one address: each address has 28,000 ports.
ADDRESS_CONNECTIONS = 5_000
# So many connections are opened at a time, so that none is refused.
CONNECTIONS_PER_STEP = 50
# Files that a process needs beside its connections.
SPARE_FILES = 300
# A busy machine needs many times longer than an idle one: this limit only ends what hangs.
ARRIVAL_SECONDS_MAX = 120.0
POLL_SECONDS = 0.001

# The id of an event begins with the time of its publish, which every process of the machine reads alike.
_PUBLISH_TIME = re.compile(rb'"id":"(\d{12,20})-')
# More than an incomplete id, and less than an event.
_REST_BYTES = 48
_OPEN, _DELIVERIES, _ERRORS = range(3)


def open_files_shortage(connections: int) -> str:
    """Raise the limit of open files as far as permitted. Return a message if it is too low, else ""."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    needed = connections + SPARE_FILES
    if most != resource.RLIM_INFINITY and most < needed:
        return f"{connections:,} followers need {needed:,} open files, the limit is {most:,}: see `ulimit -Hn`"
    return ""


class Followers:
    """The streams of another process, and what they received."""

    def __init__(self, pipe: "Connection[bytes, bytes]", counts: MutableSequence[int], *, number: int) -> None:
        self._pipe, self._counts, self.number = pipe, counts, number

    @property
    def deliveries(self) -> int:
        """The events that arrived, at all streams together."""
        return self._counts[_DELIVERIES]

    def wait_for(self, deliveries: int) -> None:
        """Wait until so many events have arrived. Raises `RuntimeError` if a stream ended, or after a long time."""
        self._wait(_DELIVERIES, deliveries)

    def wait_until_open(self) -> None:
        """Wait until every stream is open. Raises `RuntimeError` if one was refused."""
        self._wait(_OPEN, self.number)

    def take_delays(self) -> "array[int]":
        """Return the delays from publish to receipt since the last call (ns)."""
        self._pipe.send(b"take")
        delays = array("q")
        delays.frombytes(self._pipe.recv())
        return delays

    def _wait(self, which: int, count: int) -> None:
        deadline = time.monotonic() + ARRIVAL_SECONDS_MAX
        while self._counts[which] < count:
            if self._counts[_ERRORS] or time.monotonic() > deadline:
                open_streams, deliveries, errors = self._counts
                raise RuntimeError(f"{open_streams} streams opened, {deliveries} events arrived, {errors} errors")
            time.sleep(POLL_SECONDS)


@contextmanager
def followers(url: str, request: bytes, *, number: int) -> Iterator[Followers]:
    """Open so many streams, each with this request of HTTP/1.0: then the body has no frames."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    counts = context.RawArray("Q", 3)
    process = context.Process(target=_run, args=(url, request, number, theirs, counts))
    process.start()
    try:
        streams = Followers(ours, counts, number=number)
        streams.wait_until_open()
        yield streams
    finally:
        process.terminate()
        process.join()


class _Receipts:
    """The receipts of all streams: their delays since the parent last took them (ns), and counts that it reads."""

    def __init__(self, counts: MutableSequence[int]) -> None:
        self._counts, self._delays = counts, array("q")

    def count_open(self) -> None:
        """Count a stream whose response has begun."""
        self._counts[_OPEN] += 1

    def count_failure(self) -> None:
        """Count a stream that was refused, or that ended."""
        self._counts[_ERRORS] += 1

    def add(self, publish_times: list[bytes]) -> None:
        """Count events by the time of their publish."""
        now = time.monotonic_ns()
        self._delays.extend(now - int(each) for each in publish_times)
        self._counts[_DELIVERIES] += len(publish_times)

    def send(self, pipe: "Connection[bytes, bytes]") -> None:
        """Respond to a request of the parent with all delays, and forget them."""
        pipe.recv()
        pipe.send(self._delays.tobytes())
        del self._delays[:]


class _Stream(asyncio.Protocol):
    """One stream. It keeps no more than the end of the last part."""

    def __init__(self, request: bytes, receipts: _Receipts) -> None:
        self._request, self._receipts = request, receipts
        self._rest, self._is_open = b"", False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP connection's
        """Send the request."""
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Find the events of a part, and keep its end: the rest of an id may be in the next part."""
        data = self._rest + data
        if not self._is_open:
            self._begin(data)
        end, publish_times = 0, list[bytes]()
        for match in _PUBLISH_TIME.finditer(data):
            publish_times.append(match[1])
            end = match.end()
        if publish_times:
            self._receipts.add(publish_times)
        self._rest = data[max(end, len(data) - _REST_BYTES) :]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's parameter
        """Count a failure: a stream has no end."""
        self._receipts.count_failure()

    def _begin(self, data: bytes) -> None:
        self._is_open = True
        if data.startswith((b"HTTP/1.0 200 ", b"HTTP/1.1 200 ")):
            self._receipts.count_open()
        else:
            self._receipts.count_failure()


def _run(url: str, request: bytes, number: int, pipe: "Connection[bytes, bytes]", counts: MutableSequence[int]) -> None:
    uvloop.run(_follow(urlsplit(url), request, number=number, receipts=_Receipts(counts), pipe=pipe))


async def _follow(
    url: SplitResult, request: bytes, *, number: int, receipts: _Receipts, pipe: "Connection[bytes, bytes]"
) -> None:
    loop = asyncio.get_running_loop()
    for start in range(0, number, CONNECTIONS_PER_STEP):
        await asyncio.gather(
            *(
                loop.create_connection(
                    lambda: _Stream(request, receipts),
                    url.hostname or "",
                    url.port or 80,
                    local_addr=(f"127.0.0.{2 + each // ADDRESS_CONNECTIONS}", 0),
                )
                for each in range(start, min(start + CONNECTIONS_PER_STEP, number))
            )
        )
    loop.add_reader(pipe.fileno(), lambda: receipts.send(pipe))
    # `add_reader` changes this, and a long answer does not fit into the pipe at once.
    os.set_blocking(pipe.fileno(), True)
    await asyncio.Event().wait()
