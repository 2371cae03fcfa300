"""The rate of durable publishes over HTTP, compared with raw SQLite batches and bare handlers, and by workers."""

import functools
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import PUBLISH, authorization, event, log_end
from loadtests.benchmark.figures import Figure, best_of, comparison
from loadtests.benchmark.load_generator import Load, Responses, Script, responses, wrk_rate
from loadtests.benchmark.raw_log import RawLog
from loadtests.benchmark.servers import Server, bare_server, service

# The publishers, and the events of each request.
LOADS = ((64, 1), (64, 10), (8, 1), (8, 100))
FEW_PUBLISHERS = 8
CPU_EVENTS = 1_000


def publish_figures(
    server: Server, headers: Mapping[str, str], *, folder: Path, telemetry: Mapping[str, str], effort: Effort
) -> Iterator[Figure]:
    """Compare publishers over HTTP with logs of the same length.

    First with bare handlers that write a row for each event, behind the same telemetry. Then with raw batches of the
    number of events that all publishers send at once, for several events a request.
    """
    receipt = server.client.post(PUBLISH, headers={**headers, "Content-Type": "application/json"}, content=event())
    bodies = {"receipt": receipt.raise_for_status().content}
    _, rows = log_end(server, dict(headers))
    with bare_server(
        folder / "bare-writer", bodies=bodies, workers=server.workers, telemetry=telemetry, like=server, rows=rows
    ) as bare:
        for publishers in (each[0] for each in LOADS if each[1] == 1):
            rate = functools.partial(
                publish_rate, headers=headers, publishers=publishers, events=1, seconds=effort.publish_seconds
            )
            yield comparison(
                f"{_load_name(publishers, 1)} / bare handler that writes it",
                functools.partial(rate, server.url + PUBLISH),
                bare=functools.partial(rate, f"{bare.url}/receipt"),
                rounds=effort.rounds,
            )
    yield from _batch_figures(server, headers, folder=folder, effort=effort)


def worker_figures(folder: Path, effort: Effort) -> Iterator[Figure]:
    """Compare two workers with one, each with a log of its own, and measure the processor time of one."""
    folders = [folder / "one", folder / "two"]
    for each in folders:
        each.mkdir()
    with service(folders[0]) as one, service(folders[1], workers=2) as two:
        measure = functools.partial(_responses, seconds=effort.publish_seconds)
        before, pairs = one.cpu_seconds(), [(measure(one), measure(two)) for _ in range(effort.rounds)]
        _, events = log_end(one, authorization(one))
        cpu = (one.cpu_seconds() - before) * CPU_EVENTS / events
    name = _load_name(FEW_PUBLISHERS, 1)
    yield Figure(name=f"{name}: CPU time of {CPU_EVENTS:,}", ours=cpu, unit="s")
    ours, bare = ([pair[index].rate for pair in pairs] for index in (1, 0))
    yield best_of(f"{name}: two workers / one", ours, bare=bare, unit="1/s")
    ours, bare = ([1_000 * pair[index].p99 for pair in pairs] for index in (1, 0))
    yield best_of(f"{name}: the same, p99 / one", ours, bare=bare, unit="ms")


def publish_rate(url: str, *, headers: Mapping[str, str], publishers: int, events: int, seconds: float) -> float:
    """Durable events a second, with a connection for each publisher. Raises `RuntimeError` at any status but 201."""
    if not shutil.which("wrk"):
        load = _load(url, headers, publishers=publishers, events=events, seconds=seconds)
        return events * uvloop.run(responses(load)).rate
    fields = {**headers, "Content-Type": "application/json"}
    script = Script(Path(__file__).with_name("publish.lua"), (str(time.time_ns() // 10**8 % 2**31), str(events)))
    return events * wrk_rate(url, fields, connections=publishers, seconds=seconds, script=script)


def _batch_figures(server: Server, headers: Mapping[str, str], *, folder: Path, effort: Effort) -> Iterator[Figure]:
    """Compare publishers with raw batches of the number of events that all of them send at once."""
    with closing(RawLog(folder / "raw.db", like=server.store)) as raw:
        _, rows = log_end(server, dict(headers))
        raw.fill(rows)
        for publishers, events in LOADS:
            batch = [event() for _ in range(publishers * events)]
            rate = functools.partial(publish_rate, headers=headers, publishers=publishers, events=events)
            yield comparison(
                f"{_load_name(publishers, events)} / raw batches of {len(batch)}",
                functools.partial(rate, server.url + PUBLISH, seconds=effort.publish_seconds),
                bare=functools.partial(_row_rate, raw, batch, seconds=effort.raw_seconds),
                rounds=effort.rounds,
            )


def _load_name(publishers: int, events: int) -> str:
    return f"durable publishes, {publishers} publishers, {events} event{'s' * (events > 1)} a request"


def _responses(server: Server, *, seconds: float) -> Responses:
    """Publish one event a request with a few publishers."""
    url, headers = server.url + PUBLISH, authorization(server)
    return uvloop.run(responses(_load(url, headers, publishers=FEW_PUBLISHERS, events=1, seconds=seconds)))


def _load(url: str, headers: Mapping[str, str], *, publishers: int, events: int, seconds: float) -> Load:
    fields = {**headers, "Content-Type": "application/json", "Host": urlsplit(url).netloc}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    start = f"POST {urlsplit(url).path} HTTP/1.1\r\n{head}".encode()

    def request() -> bytes:
        body = event() if events == 1 else b"[%b]" % b",".join(event() for _ in range(events))
        return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)

    return Load(url, request, status=201, connections=publishers, seconds=seconds)


def _row_rate(raw: RawLog, batch: list[bytes], *, seconds: float) -> float:
    total_seconds, first = 0.0, raw.rows
    while total_seconds < seconds:
        total_seconds += raw.append(batch)
    return (raw.rows - first) / total_seconds
