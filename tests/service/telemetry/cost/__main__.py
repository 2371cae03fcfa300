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

from tests.support.otlp_receiver import receiving, sending_to
from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import RunningService, bearer, free_port, running_service, stop

REQUESTS = 8_000
CONNECTIONS = 16
ROUNDS = 9
SCOPE = "altinn:events/ttd"
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def bare(folder: Path) -> Iterator[RunningService]:
    """The service without telemetry, on a store that is there."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("granian")), "--interface", "asgi", "--factory", "--loop", "uvloop"]
    command += ["--no-ws", "--port", str(port), "--log-level", "warning", "tests.service.telemetry.cost.bare:create"]
    environment = {**os.environ, "EVENTFEED_PORT": str(port), "PYTHONPATH": str(Path(__file__).parents[4])}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    service = RunningService(f"http://127.0.0.1:{port}", folder, process)
    while True:
        try:
            service.client.get("/health/ready").raise_for_status()
            break
        except httpx.HTTPError:
            time.sleep(0.05)
    try:
        yield service
    finally:
        stop(service)


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


def cost(service: RunningService, headers: Mapping[str, str], path: str) -> float:
    """CPU of the service for one request (µs)."""
    before = cpu_seconds(service.process.pid)
    asyncio.run(_ask(service, headers, path))
    return (cpu_seconds(service.process.pid) - before) / REQUESTS * 1e6


async def _ask(service: RunningService, headers: Mapping[str, str], path: str) -> None:
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{told}\r\n".encode()
    host, port = service.url.removeprefix("http://").split(":")

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
    """Measure all in turn, each in processes of its own, and print medians."""
    found: dict[tuple[str, str], list[float]] = {}
    with receiving() as receiver:
        # As often as the SDK does it by itself; measurements more often.
        often = {"OTEL_BSP_SCHEDULE_DELAY": "5000", "OTEL_METRIC_EXPORT_INTERVAL": "5000"}
        sending = {**sending_to(receiver, ratio=0.1), **often}
        ways = {
            "nothing sent": {},
            "metrics": {**sending, "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
            "metrics and 10 % traced": sending,
        }
        for _ in range(ROUNDS):
            for way in ("none", *ways):
                with tempfile.TemporaryDirectory() as folder, _started(Path(folder), ways.get(way)) as service:
                    post_events(service, APP_PATH, [app_event("cost") for _ in range(50)]).raise_for_status()
                    for what, after in (("page of 50", "0"), ("304", _end(service))):
                        found.setdefault((what, way), []).append(cost(service, *_request(service, after)))
    for (what, way), values in sorted(found.items(), key=lambda each: each[0][0], reverse=True):
        base = median(found[what, "none"])
        print(f"{what:<12} {way:<26} {median(values):7.1f} us a request, {median(values) - base:+6.1f}", flush=True)


@contextmanager
def _started(folder: Path, settings: Mapping[str, str] | None) -> Iterator[RunningService]:
    """The service with these settings, or without telemetry."""
    if settings is not None:
        with running_service(folder, **settings) as service:
            yield service
        return
    with running_service(folder):
        pass
    with bare(folder) as service:
        yield service


def _end(service: RunningService) -> str:
    """Where the feed ends."""
    return _page(service, "0").headers["feed-cursor"]


def _request(service: RunningService, after: str) -> tuple[Mapping[str, str], str]:
    """Headers and path of a request; at the end of the feed it is answered with 304."""
    page = _page(service, after)
    same = {} if page.content != b"[]" else {"If-None-Match": page.headers["etag"]}
    return {**bearer(service.token(SCOPE)), **same}, page.request.url.raw_path.decode()


def _page(service: RunningService, after: str) -> httpx.Response:
    return service.client.get(f"/events/api/v1/app/ttd/cost?after={after}", headers=bearer(service.token(SCOPE)))


if __name__ == "__main__":
    main()
