"""The servers of a comparison: the service, and bare handlers that send the same bytes on the same HTTP server."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

# A busy machine needs many times longer than an idle one: these limits only end what hangs.
READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 120.0
REQUEST_SECONDS_MAX = 120.0
# Often enough for the maximum of some seconds of load, and no load itself.
SAMPLE_SECONDS = 0.25

_COMMANDS = Path(sys.executable).parent
_ROOT = Path(__file__).parents[2]


class Server(NamedTuple):
    """A running server: its URL, folder and first process, the seconds of its start, a client, and its workers."""

    url: str
    folder: Path
    pid: int
    ready_seconds: float
    client: httpx.Client
    workers: int

    @property
    def store(self) -> Path:
        """The file of the service's log."""
        return self.folder / ".eventfeed" / "log.db"

    def memory_mib(self) -> float:
        """The private memory of its workers, including pages of files that no other process maps (MiB)."""
        return self._kilobytes("Private_") / 1_024

    def anonymous_mb(self) -> float:
        """The memory of its workers that is no part of a file (MB)."""
        return self._kilobytes("Anonymous:") * 1_024 / 1_000_000

    def cpu_seconds(self) -> float:
        """The processor time of its first process and its workers so far (s)."""
        return sum(cpu_seconds_of(pid) for pid in self.pids())

    def pids(self) -> Sequence[int]:
        """Its first process and its workers."""
        return [self.pid, *_worker_pids(self.pid)]

    def _kilobytes(self, kind: str) -> int:
        return sum(_kilobytes_of(pid, kind) for pid in _worker_pids(self.pid))


def _kilobytes_of(pid: int, kind: str) -> int:
    """The memory of a process, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(kind))


def cpu_seconds_of(pid: int) -> float:
    """The processor time of all threads of a process so far (s), 0 if it has ended."""
    try:
        # Linux derives the clock of a process from its number. /proc counts in steps of 10 ms.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


class Peak:
    """The maximum memory so far (MiB)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.mib = server.memory_mib()

    def sample(self, _: float) -> None:
        """Include the present memory."""
        self.mib = max(self.mib, self._server.memory_mib())


@contextmanager
def peak_memory(server: Server) -> Iterator[Peak]:
    """Measure the maximum memory of a server while the block lasts."""
    peak = Peak(server)
    with periodic_calls(peak.sample, every=SAMPLE_SECONDS):
        yield peak


@contextmanager
def periodic_calls(call: Callable[[float], None], *, every: float) -> Iterator[None]:
    """Call in a thread every so often while the block lasts, and once at its end, with the seconds since its start."""
    start, end = time.monotonic(), threading.Event()

    def repeat() -> None:
        while not end.wait(every):
            call(time.monotonic() - start)

    with ThreadPoolExecutor(1) as pool:
        calls = pool.submit(repeat)
        try:
            yield
        finally:
            end.set()
        calls.result()
    call(time.monotonic() - start)


@contextmanager
def service(folder: Path, settings: Mapping[str, str] | None = None, *, workers: int = 1) -> Iterator[Server]:
    """Run `eventfeed serve` with its files in `folder` while the block lasts."""
    port = free_port()
    command = [str(_COMMANDS / "eventfeed"), "serve", "--port", str(port)]
    settings = {**(settings or {}), "EVENTFEED_WORKERS": str(workers)}
    with _running(command, folder, settings, port=port, workers=workers) as server:
        yield server


@contextmanager
def bare_server(
    folder: Path,
    *,
    bodies: Mapping[str, bytes],
    workers: int,
    telemetry: Mapping[str, str] | None = None,
    like: Server | None = None,
    rows: int = 0,
) -> Iterator[Server]:
    """Run Litestar handlers that send each body at `/` and its name, on the HTTP server of the service.

    `telemetry` has the settings to observe them as the service is observed. With `like`, a handler writes each request
    to a log with the tables of that service, which begins with `rows` rows.
    """
    folder.mkdir(exist_ok=True)
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    port = free_port()
    application = (
        "loadtests.benchmark.bare_handler:create"
        if telemetry is None
        else "tests.service.telemetry.cost.observed_service:create"
    )
    command = _granian(application, port=port, workers=workers)
    store = {"BARE_STORE": str(like.store), "BARE_ROWS": str(rows)} if like else {}
    settings = {"BARE_FOLDER": str(folder), "PYTHONPATH": str(_ROOT), **store, **(telemetry or {})}
    with _running(command, folder, settings, port=port, workers=workers) as server:
        yield server


@contextmanager
def bare_streams(folder: Path) -> Iterator[Server]:
    """Run one worker of an application that sends each message to all open streams, on the service's HTTP server."""
    port = free_port()
    command = _granian("loadtests.benchmark.bare_streams:create", port=port, workers=1)
    # By default it accepts 1,024 connections at a time.
    command = [*command, "--backpressure", "20000"]
    with _running(command, folder, {"PYTHONPATH": str(_ROOT)}, port=port, workers=1) as server:
        yield server


def _granian(application: str, *, port: int, workers: int) -> Sequence[str]:
    command = [str(_COMMANDS / "granian"), "--interface", "asgi", "--factory", "--loop", "uvloop", "--no-ws"]
    command += ["--workers", str(workers), "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return [*command, application]


@contextmanager
def _running(
    command: Sequence[str], folder: Path, settings: Mapping[str, str], *, port: int, workers: int
) -> Iterator[Server]:
    url = f"http://127.0.0.1:{port}"
    # A proxy of the environment is for other machines.
    with httpx.Client(base_url=url, trust_env=False, timeout=REQUEST_SECONDS_MAX) as client:
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=_environment(settings), stdout=subprocess.DEVNULL)
        try:
            while not _is_ready(client):
                if process.poll() is not None or time.monotonic() - start > READY_SECONDS_MAX:
                    raise RuntimeError(f"{command[0]} did not start")
                time.sleep(0.01)
            yield Server(url, folder, process.pid, time.monotonic() - start, client, workers)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server with SIGTERM, and with SIGKILL if it does not end."""
    workers = _worker_pids(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        raise


def _is_ready(client: httpx.Client) -> bool:
    """True if the server is ready. The bare server has no such path, and responds with 404 when it is ready."""
    try:
        return client.get("/health/ready").status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND)
    except httpx.TransportError:
        return False


def _environment(settings: Mapping[str, str]) -> Mapping[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("EVENTFEED_")}, **settings}


def _worker_pids(pid: int) -> list[int]:
    """The workers of a server, by the process id of its first process."""
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)]
    # The exit code is 1 below a server without workers.
    output = subprocess.run(command, capture_output=True, check=False).stdout
    return [int(line.split()[0]) for line in output.splitlines() if b"resource_tracker" not in line]


def free_port() -> int:
    """A port of this machine that no program listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
