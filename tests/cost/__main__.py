"""`make cost`: CPU of the serving process for each page of 50 and each 304, over the same without telemetry."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from tests.end_to_end.test_publishing import APP, app_event, post
from tests.receiver import receiving, sending_to
from tests.serving import Served, bearer, free_port, serving, stop

REQUESTS = 10_000
CONNECTIONS = 16
ROUNDS = 5
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def bare(folder: Path) -> Iterator[Served]:
    """The service without telemetry, on a store that is there."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("granian")), "--interface", "asgi", "--factory", "--loop", "uvloop"]
    command += ["--no-ws", "--port", str(port), "--log-level", "warning", "tests.cost.bare:create"]
    environment = {**os.environ, "EVENTFEED_PORT": str(port), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    served = Served(f"http://127.0.0.1:{port}", folder, process)
    while True:
        try:
            served.client.get("/health/ready").raise_for_status()
            break
        except httpx.HTTPError:
            time.sleep(0.05)
    try:
        yield served
    finally:
        stop(served)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and those below it."""
    total = 0.0
    for each in (pid, *_below(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def _below(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, check=False)
    return [int(each) for each in listed.stdout.split()]


def cost(served: Served, headers: Mapping[str, str], path: str) -> float:
    """CPU of the service for one request (µs)."""
    before = cpu_seconds(served.process.pid)
    asyncio.run(_ask(served, headers, path))
    return (cpu_seconds(served.process.pid) - before) / REQUESTS * 1e6


async def _ask(served: Served, headers: Mapping[str, str], path: str) -> None:
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{told}\r\n".encode()
    host, port = served.url.removeprefix("http://").split(":")

    async def work() -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
        for _ in range(REQUESTS // CONNECTIONS):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
        writer.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


def main() -> None:
    """Measure all in turn, some rounds, and print medians."""
    with tempfile.TemporaryDirectory() as name, receiving() as receiver:
        folder = Path(name)
        with serving(folder) as served:
            post(served, APP, [app_event("cost") for _ in range(50)]).raise_for_status()
        sending = {**sending_to(receiver, ratio=0.1), "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        metrics = {**sending, "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
        with (
            bare(folder) as none,
            serving(folder) as off,
            serving(folder, **metrics) as measured,
            serving(folder, **sending) as traced,
        ):
            ways = {"none": none, "nothing sent": off, "metrics": measured, "metrics and 10 % traced": traced}
            headers = {way: bearer(served.token("altinn:events/ttd")) for way, served in ways.items()}
            feed = "/events/api/v1/app/ttd/cost?after=0"
            for what in ("page of 50", "304"):
                found: dict[str, list[float]] = {way: [] for way in ways}
                for _ in range(ROUNDS):
                    for way, served in ways.items():
                        sent = dict(headers[way])
                        if what == "304":
                            sent["If-None-Match"] = served.client.get(feed, headers=sent).headers["etag"]
                        found[way].append(cost(served, sent, feed))
                base = median(found["none"])
                for way, values in found.items():
                    print(f"{what:<12} {way:<26} {median(values):7.1f} us a request, {median(values) - base:+6.1f}")


if __name__ == "__main__":
    main()
