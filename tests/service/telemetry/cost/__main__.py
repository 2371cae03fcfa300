"""`make cost`: CPU time of the service for a page of 50 and for a 304, with and without telemetry."""

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
def running_bare_service(folder: Path) -> Iterator[RunningService]:
    """Run the service without telemetry on an existing store while the block lasts."""
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
    """Return the CPU time of a process and its descendants."""
    total = 0.0
    for each in (pid, *_children(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def _children(pid: int) -> list[int]:
    output = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, check=False)
    return [int(each) for each in output.stdout.split()]


def cost(service: RunningService, headers: Mapping[str, str], path: str) -> float:
    """Return the CPU time of the service for one request (µs)."""
    before = cpu_seconds(service.process.pid)
    asyncio.run(_send_requests(service, headers, path))
    return (cpu_seconds(service.process.pid) - before) / REQUESTS * 1e6


async def _send_requests(service: RunningService, headers: Mapping[str, str], path: str) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()
    host, port = service.url.removeprefix("http://").split(":")

    async def use_connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
        for _ in range(REQUESTS // CONNECTIONS):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
        writer.close()

    await asyncio.gather(*(use_connection() for _ in range(CONNECTIONS)))


def main() -> None:
    """Measure every configuration in turn, each in its own processes, and print medians."""
    results: dict[tuple[str, str], list[float]] = {}
    with receiving() as receiver:
        # The SDK's own interval for spans, and a shorter one for measurements.
        intervals = {"OTEL_BSP_SCHEDULE_DELAY": "5000", "OTEL_METRIC_EXPORT_INTERVAL": "5000"}
        sending = {**sending_to(receiver, ratio=0.1), **intervals}
        configurations = {
            "nothing sent": {},
            "metrics": {**sending, "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
            "metrics and 10 % traced": sending,
        }
        for _ in range(ROUNDS):
            for name in ("none", *configurations):
                with (
                    tempfile.TemporaryDirectory() as folder,
                    _running(Path(folder), configurations.get(name)) as service,
                ):
                    post_events(service, APP_PATH, [app_event("cost") for _ in range(50)]).raise_for_status()
                    for response, after in (("page of 50", "0"), ("304", _end(service))):
                        results.setdefault((response, name), []).append(cost(service, *_request(service, after)))
    for (response, name), values in sorted(results.items(), key=lambda each: each[0][0], reverse=True):
        base = median(results[response, "none"])
        print(
            f"{response:<12} {name:<26} {median(values):7.1f} us a request, {median(values) - base:+6.1f}", flush=True
        )


@contextmanager
def _running(folder: Path, settings: Mapping[str, str] | None) -> Iterator[RunningService]:
    """Run the service with these settings, or without telemetry, while the block lasts."""
    if settings is not None:
        with running_service(folder, **settings) as service:
            yield service
        return
    with running_service(folder):
        pass
    with running_bare_service(folder) as service:
        yield service


def _end(service: RunningService) -> str:
    """Return the cursor of the end of the feed."""
    return _page(service, "0").headers["feed-cursor"]


def _request(service: RunningService, after: str) -> tuple[Mapping[str, str], str]:
    """Return headers and path of a request. At the end of the feed its response is 304."""
    page = _page(service, after)
    condition = {} if page.content != b"[]" else {"If-None-Match": page.headers["etag"]}
    return {**bearer(service.token(SCOPE)), **condition}, page.request.url.raw_path.decode()


def _page(service: RunningService, after: str) -> httpx.Response:
    return service.client.get(f"/events/api/v1/app/ttd/cost?after={after}", headers=bearer(service.token(SCOPE)))


if __name__ == "__main__":
    main()
