"""How fast events become durable: 64 publishers over HTTP, over raw SQLite batches and over handlers that write."""

import functools
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from loadtests.benchmark.calling import Calls, Script, answered_a_second, rate_of_wrk
from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import PUBLISH, event
from loadtests.benchmark.figures import Figure, compared
from loadtests.benchmark.raw_log import RawLog
from loadtests.benchmark.serving import Server, bare

PUBLISHERS = 64
REQUEST_EVENTS = (1, 10)


def publish_figures(
    server: Server, authorized: Mapping[str, str], *, folder: Path, sent: Mapping[str, str], effort: Effort
) -> Iterator[Figure]:
    """Publishers over HTTP over logs that begin as long as the service's is now.

    First over bare handlers that take an event and write its row, behind the same telemetry: their log and the
    service's grow alike. Then, with some events a request, over raw batches of as many as are sent at once.
    """
    receipt = server.client.post(PUBLISH, headers={**authorized, "Content-Type": "application/json"}, content=event())
    bodies = {"receipt": receipt.raise_for_status().content}
    publishing = functools.partial(published_a_second, seconds=effort.publish_seconds)
    with bare(
        folder / "writing", bodies=bodies, workers=server.workers, telemetry=sent, rows=_rows(server, authorized)
    ) as writing:
        yield compared(
            f"durable publishes, {PUBLISHERS} publishers, 1 event a request / bare handler that writes it",
            functools.partial(publishing, server.url + PUBLISH, authorized, events=1),
            bare=functools.partial(publishing, f"{writing.url}/receipt", authorized, events=1),
            rounds=effort.rounds,
        )
    with closing(RawLog(folder / "raw.db")) as raw:
        raw.fill(_rows(server, authorized))
        for events in REQUEST_EVENTS:
            batch = [event() for _ in range(PUBLISHERS * events)]
            each = f"{events} event{'s' * (events > 1)} a request"
            yield compared(
                f"durable publishes, {PUBLISHERS} publishers, {each} / raw batches of {len(batch)}",
                functools.partial(publishing, server.url + PUBLISH, authorized, events=events),
                bare=functools.partial(_rows_a_second, raw, batch, seconds=effort.raw_seconds),
                rounds=effort.rounds,
            )


def _rows(server: Server, authorized: Mapping[str, str]) -> int:
    """How long its log is."""
    told = server.client.get("/events/api/v1/head", headers=authorized).raise_for_status().json()
    return int(told["cursor"].partition(".")[2])


def published_a_second(url: str, authorized: Mapping[str, str], *, events: int, seconds: float) -> float:
    """Receipts a second, each publisher on a connection of its own. Raises `RuntimeError` at anything but 201."""
    fields = {**authorized, "Content-Type": "application/json"}
    if shutil.which("wrk"):
        script = Script(Path(__file__).with_name("publish.lua"), (str(time.time_ns() // 10**8 % 2**31), str(events)))
        return events * rate_of_wrk(url, fields, connections=PUBLISHERS, seconds=seconds, script=script)
    fields["Host"] = urlsplit(url).netloc
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    start = f"POST {urlsplit(url).path} HTTP/1.1\r\n{head}".encode()

    def request() -> bytes:
        body = event() if events == 1 else b"[%b]" % b",".join(event() for _ in range(events))
        return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body)

    calls = Calls(url, request, status=201, connections=PUBLISHERS, seconds=seconds)
    return events * uvloop.run(answered_a_second(calls))


def _rows_a_second(raw: RawLog, batch: list[bytes], *, seconds: float) -> float:
    spent, before = 0.0, raw.rows
    while spent < seconds:
        spent += raw.append(batch)
    return (raw.rows - before) / spent
