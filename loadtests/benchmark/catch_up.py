"""The rate of catching up with a log that is not in memory: in large pages, and by a stream."""

import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import authorization
from loadtests.benchmark.figures import Figure, best_of
from loadtests.benchmark.long_log import log_folder
from loadtests.benchmark.servers import Server, bare_server, service

PAGE_EVENTS = 1_000
CPU_EVENTS = 100_000

_FEED = "/events/api/v1/app/ttd/bench-0"
_EVENT, _MESSAGE = b'"specversion"', b"\ndata: "
_READ_BYTES = 2**16


def catch_up_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Compare one consumer of the whole log with as many requests to a bare handler that sends the same bytes."""
    log, pages, bare, streams = log_folder(folder / "log", effort.short_log, apps=1), [], [], []
    cpu = list[float]()
    with service(log) as server:
        headers = authorization(server)
        with bare_server(folder / "bare", bodies={"page": _first_page(server, headers)}, workers=1) as other:
            for _ in range(effort.rounds):
                before = server.cpu_seconds()
                pages.append(_page_rate(server, headers, events=effort.short_log))
                cpu.append((server.cpu_seconds() - before) * CPU_EVENTS / effort.short_log)
                bare.append(_bare_rate(other, headers, events=effort.short_log))
                streams.append(_stream_rate(server, headers, events=effort.short_log))
    name = f"events from the store in pages of {PAGE_EVENTS:,}"
    yield best_of(f"{name} / bare handler that sends the same bytes", pages, bare=bare, unit="1/s")
    yield Figure(name=f"{name}: CPU time of {CPU_EVENTS:,}", ours=min(cpu), unit="s", ours_rounds=cpu)
    yield best_of("events from the store by a stream / in such pages", streams, bare=pages, unit="1/s")


def _first_page(server: Server, headers: Mapping[str, str]) -> bytes:
    url = f"{_FEED}?after=0&size={PAGE_EVENTS}"
    return server.client.get(url, headers=dict(headers)).raise_for_status().content


def _page_rate(server: Server, headers: Mapping[str, str], *, events: int) -> float:
    """Events a second, each page from the cursor of the one before. Raises `RuntimeError` if some are missing."""
    connection, cursor, count, more = _connection(server), "0", 0, True
    start = time.perf_counter()
    while more:
        response = _request(connection, f"{_FEED}?after={cursor}&size={PAGE_EVENTS}", headers)
        count += response.read().count(_EVENT)
        cursor, more = response.headers["feed-cursor"], response.headers["feed-more"] == "true"
    if count != events:
        raise RuntimeError(f"{count} events of {events}")
    return events / (time.perf_counter() - start)


def _bare_rate(server: Server, headers: Mapping[str, str], *, events: int) -> float:
    """Events a second in pages that are all the same."""
    connection, count = _connection(server), 0
    start = time.perf_counter()
    while count < events:
        count += _request(connection, f"/page?after=0&size={PAGE_EVENTS}", headers).read().count(_EVENT)
    return count / (time.perf_counter() - start)


def _stream_rate(server: Server, headers: Mapping[str, str], *, events: int) -> float:
    """Events a second of one stream without a size, from the start of the log to its end."""
    connection, count, rest = _connection(server), 0, b""
    start = time.perf_counter()
    response = _request(connection, f"{_FEED}?after=0", {**headers, "Accept": "text/event-stream"})
    while count < events:
        part = response.read1(_READ_BYTES)
        if not part:
            raise RuntimeError(f"the stream ended after {count} events")
        part = rest + part
        count += part.count(_MESSAGE)
        # The rest of a message's beginning may be in the next part.
        rest = part[1 - len(_MESSAGE) :]
    connection.close()
    return events / (time.perf_counter() - start)


def _connection(server: Server) -> HTTPConnection:
    parts = urlsplit(server.url)
    return HTTPConnection(parts.hostname or "", parts.port)


def _request(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> HTTPResponse:
    """Send a request. Raises `RuntimeError` if it fails."""
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(response.read().decode())
    return response
