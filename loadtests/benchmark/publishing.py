"""The rate of durable publishes: 64 publishers over HTTP, compared with raw SQLite batches and with bare handlers."""

import functools
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import PUBLISH, event, log_end
from loadtests.benchmark.figures import Figure, comparison
from loadtests.benchmark.load_generator import Load, Script, response_rate, wrk_rate
from loadtests.benchmark.raw_log import RawLog
from loadtests.benchmark.servers import Server, bare_server

PUBLISHERS = 64
REQUEST_EVENTS = (1, 10)


def publish_figures(
    server: Server, headers: Mapping[str, str], *, folder: Path, telemetry: Mapping[str, str], effort: Effort
) -> Iterator[Figure]:
    """Compare publishers over HTTP with logs of the same length.

    First with bare handlers that write a row for each event, behind the same telemetry. Then with raw batches of the
    number of events that all publishers send at once, for several events a request.
    """
    receipt = server.client.post(PUBLISH, headers={**headers, "Content-Type": "application/json"}, content=event())
    bodies = {"receipt": receipt.raise_for_status().content}
    rate = functools.partial(publish_rate, seconds=effort.publish_seconds)
    _, rows = log_end(server, dict(headers))
    with bare_server(
        folder / "bare-writer", bodies=bodies, workers=server.workers, telemetry=telemetry, like=server, rows=rows
    ) as bare:
        yield comparison(
            f"durable publishes, {PUBLISHERS} publishers, 1 event a request / bare handler that writes it",
            functools.partial(rate, server.url + PUBLISH, headers, events=1),
            bare=functools.partial(rate, f"{bare.url}/receipt", headers, events=1),
            rounds=effort.rounds,
        )
    with closing(RawLog(folder / "raw.db", like=server.store)) as raw:
        _, rows = log_end(server, dict(headers))
        raw.fill(rows)
        for events in REQUEST_EVENTS:
            batch = [event() for _ in range(PUBLISHERS * events)]
            size = f"{events} event{'s' * (events > 1)} a request"
            yield comparison(
                f"durable publishes, {PUBLISHERS} publishers, {size} / raw batches of {len(batch)}",
                functools.partial(rate, server.url + PUBLISH, headers, events=events),
                bare=functools.partial(_row_rate, raw, batch, seconds=effort.raw_seconds),
                rounds=effort.rounds,
            )


def publish_rate(url: str, headers: Mapping[str, str], *, events: int, seconds: float) -> float:
    """Receipts a second, with a connection for each publisher. Raises `RuntimeError` at any status but 201."""
    fields = {**headers, "Content-Type": "application/json"}
    if shutil.which("wrk"):
        script = Script(Path(__file__).with_name("publish.lua"), (str(time.time_ns() // 10**8 % 2**31), str(events)))
        return events * wrk_rate(url, fields, connections=PUBLISHERS, seconds=seconds, script=script)
    fields["Host"] = urlsplit(url).netloc
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    start = f"POST {urlsplit(url).path} HTTP/1.1\r\n{head}".encode()

    def request() -> bytes:
        body = event() if events == 1 else b"[%b]" % b",".join(event() for _ in range(events))
        return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)

    load = Load(url, request, status=201, connections=PUBLISHERS, seconds=seconds)
    return events * uvloop.run(response_rate(load))


def _row_rate(raw: RawLog, batch: list[bytes], *, seconds: float) -> float:
    total_seconds, first = 0.0, raw.rows
    while total_seconds < seconds:
        total_seconds += raw.append(batch)
    return (raw.rows - first) / total_seconds
