"""Many followers of one feed: the delay of each event, the deliveries a second, and the memory of idle ones."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import PUBLISH, authorization, path_from_end, timed_event
from loadtests.benchmark.figures import Figure, best_of, p99
from loadtests.benchmark.followers import Followers, followers, open_files_shortage
from loadtests.benchmark.servers import Server, bare_streams, service

PUBLISH_RATE = 50
# To find the most deliveries, so many events are published at once, and so many may be on their way to some follower.
BATCH_EVENTS = 10
WINDOW_EVENTS = 100

SETTINGS = {"EVENTFEED_STREAMS": "19500", "EVENTFEED_CALLER_STREAMS": "19500", "EVENTFEED_WAITS": "0"}


T = TypeVar("T")
# The rounds of the service, and those of what it is compared with.
Pair = tuple[list[T], list[T]]


class Side(NamedTuple):
    """One side of a comparison: a server, the path and headers of a publish, and those of a stream.

    `stream_path` returns the path of a stream from the present end.
    """

    server: Server
    publish_path: str
    stream_path: Callable[[], str]
    headers: dict[str, str]

    def followers(self, number: int) -> AbstractContextManager[Followers]:
        """Open so many streams."""
        fields = {"Host": urlsplit(self.server.url).netloc, "Accept": "text/event-stream", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        request = f"GET {self.stream_path()} HTTP/1.0\r\n{head}\r\n".encode()
        return followers(self.server.url, request, number=number)

    def publisher(self) -> "Publisher":
        """Open a connection to publish with."""
        return Publisher(self)


class Publisher:
    """Publishes on one connection of its own."""

    def __init__(self, side: Side) -> None:
        parts = urlsplit(side.server.url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port)
        self._path, self._headers = side.publish_path, {**side.headers, "Content-Type": "application/json"}

    def publish(self, events: int) -> float:
        """Publish so many events in one request, and return its time (s)."""
        texts = [timed_event() for _ in range(events)]
        body = texts[0] if events == 1 else b"[%b]" % b",".join(texts)
        start = time.monotonic()
        self._connection.request("POST", self._path, body, self._headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status != 201:
            raise RuntimeError(text.decode())
        return time.monotonic() - start


class LiveFeed(NamedTuple):
    """The delays of a feed with a steady rate: median and p99 of receipts, median of publishes (ms), and the rate."""

    receipt: float
    receipt_p99: float
    publish: float
    rate: float


_LIVE_FIGURES: Mapping[str, Callable[[LiveFeed], float]] = {
    "publish to receipt, median": lambda feed: feed.receipt,
    "the same, p99": lambda feed: feed.receipt_p99,
    "publish, median": lambda feed: feed.publish,
}


def follower_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Compare the streams of one worker with those of a bare application, which keeps nothing and checks nothing."""
    with service(folder, SETTINGS) as server, bare_streams(folder) as bare:
        headers = authorization(server)
        ours = Side(server, PUBLISH, lambda: path_from_end(server, headers), headers)
        sides = (ours, Side(bare, "/", lambda: "/", {}))
        yield from _live_figures(sides, effort)
        for number in effort.idle_followers:
            if message := open_files_shortage(number):
                print(f"left out: {message}", file=sys.stderr)
                continue
            yield from _idle_figures(sides, number, wakes=effort.wakes)


def _live_figures(sides: Sequence[Side], effort: Effort) -> Iterator[Figure]:
    """Measure a steady rate and the most deliveries, both sides in turn."""
    live: Pair[LiveFeed] = ([], [])
    most: Pair[float] = ([], [])
    for _ in range(effort.rounds):
        for number, side in enumerate(sides):
            with side.followers(effort.followers) as streams:
                live[number].append(_live_feed(side, streams, seconds=effort.follow_seconds))
                most[number].append(_most_deliveries(side, streams, seconds=effort.follow_seconds))
    each = f"{effort.followers:,} followers, {PUBLISH_RATE} events a second"
    for name, value in _LIVE_FIGURES.items():
        ours, bare = ([value(feed) for feed in feeds] for feeds in live)
        yield best_of(f"{each}: {name} / bare stream", ours, bare=bare, unit="ms")
    yield Figure(name=f"{each}: events a second", ours=min(feed.rate for feed in live[0]), unit="1/s")
    name = f"{effort.followers:,} followers: deliveries a second at most / bare stream"
    yield best_of(name, most[0], bare=most[1], unit="1/s")


def _live_feed(side: Side, streams: Followers, *, seconds: float) -> LiveFeed:
    """Publish one event after another at a steady rate, as long as the server holds it."""
    publisher, times = side.publisher(), list[float]()
    expected = streams.deliveries
    start = time.monotonic()
    for number in range(round(seconds * PUBLISH_RATE)):
        time.sleep(max(0.0, start + number / PUBLISH_RATE - time.monotonic()))
        times.append(publisher.publish(1))
    rate = len(times) / max(len(times) / PUBLISH_RATE, time.monotonic() - start)
    streams.wait_for(expected + len(times) * streams.number)
    delays = streams.take_delays()
    return LiveFeed(median(delays) / 1e6, p99(delays) / 1e6, 1_000 * median(times), rate)


def _most_deliveries(side: Side, streams: Followers, *, seconds: float) -> float:
    """Publish as fast as every follower receives, and return the deliveries a second."""
    publisher, first, events = side.publisher(), streams.deliveries, 0
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        publisher.publish(BATCH_EVENTS)
        events += BATCH_EVENTS
        streams.wait_for(first + (events - WINDOW_EVENTS) * streams.number)
    streams.wait_for(first + events * streams.number)
    rate = events * streams.number / (time.monotonic() - start)
    streams.take_delays()
    return rate


def _idle_figures(sides: Sequence[Side], number: int, *, wakes: int) -> Iterator[Figure]:
    """Measure followers that wait: their memory, and the time until one event has reached nearly all."""
    (our_memory, our_delays), (bare_memory, bare_delays) = (_idle(side, number, wakes=wakes) for side in sides)
    each = f"{number:,} idle followers"
    yield best_of(f"{each}: memory of one / bare stream", [our_memory], bare=[bare_memory], unit="KiB")
    yield best_of(f"{each}: one event wakes all, p99 / bare stream", our_delays, bare=bare_delays, unit="ms")


def _idle(side: Side, number: int, *, wakes: int) -> tuple[float, Sequence[float]]:
    """The memory of one (KiB), and the p99 of the delays of each event (ms)."""
    before, publisher, delays = side.server.memory_mib(), side.publisher(), list[float]()
    with side.followers(number) as streams:
        memory = 1_024 * (side.server.memory_mib() - before) / number
        for wake in range(1, wakes + 1):
            publisher.publish(1)
            streams.wait_for(wake * number)
            delays.append(p99(streams.take_delays()) / 1e6)
    return memory, delays
