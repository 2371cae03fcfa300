"""The two servers that are compared: the service, and bare handlers that send the same bytes on the same server."""

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

READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0
# Often enough to find a maximum of some seconds' load, seldom enough not to be load itself.
WATCH_SECONDS = 0.25

_COMMANDS = Path(sys.executable).parent
_ROOT = Path(__file__).parents[2]


class Server(NamedTuple):
    """A running server: where, in which process, how long it took to be ready (s), a client of it, its workers."""

    url: str
    pid: int
    ready_seconds: float
    client: httpx.Client
    workers: int

    def memory_mib(self) -> float:
        """What its serving processes hold of their own, mapped pages that nobody else has mapped included."""
        return self._kilobytes("Private_") / 1_024

    def anonymous_mb(self) -> float:
        """What its serving processes hold that is no part of a file (MB)."""
        return self._kilobytes("Anonymous:") * 1_024 / 1_000_000

    def _kilobytes(self, kind: str) -> int:
        return sum(_kilobytes_of(pid, kind) for pid in _workers(self.pid))


def _kilobytes_of(pid: int, kind: str) -> int:
    """Nothing of a worker that has ended since it was listed."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(kind))


class Peak:
    """The most memory seen so far (MiB)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.mib = server.memory_mib()

    def look(self, _: float) -> None:
        """Take the memory of this moment into account."""
        self.mib = max(self.mib, self._server.memory_mib())


@contextmanager
def watched(server: Server) -> Iterator[Peak]:
    """The most memory a server holds while the block lasts."""
    peak = Peak(server)
    with repeated(peak.look, every=WATCH_SECONDS):
        yield peak


@contextmanager
def repeated(look: Callable[[float], None], *, every: float) -> Iterator[None]:
    """Look every so often while the block lasts, in a thread, and once at its end; told how long it has lasted (s)."""
    begun, ended = time.monotonic(), threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            look(time.monotonic() - begun)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            ended.set()
        watching.result()
    look(time.monotonic() - begun)


@contextmanager
def service(folder: Path, settings: Mapping[str, str] | None = None, *, workers: int = 1) -> Iterator[Server]:
    """`eventfeed serve` with its files in `folder`, these settings, and so many workers."""
    port = _free_port()
    command = [str(_COMMANDS / "eventfeed"), "serve", "--port", str(port)]
    settings = {**(settings or {}), "EVENTFEED_WORKERS": str(workers)}
    with _running(command, folder, settings, port=port, workers=workers) as server:
        yield server


@contextmanager
def bare(
    folder: Path,
    *,
    bodies: Mapping[str, bytes],
    workers: int,
    telemetry: Mapping[str, str] | None = None,
    rows: int = 0,
) -> Iterator[Server]:
    """Litestar handlers that send each body at `/` and its name, on the same server as the service.

    With settings of telemetry they are watched as the service is, and send it there. With `rows` they write what is
    posted to a log that begins with so many.
    """
    folder.mkdir(exist_ok=True)
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    port = _free_port()
    command = [str(_COMMANDS / "granian"), "--interface", "asgi", "--factory", "--loop", "uvloop", "--no-ws"]
    command += ["--workers", str(workers), "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    command += [
        "loadtests.benchmark.bare_handler:create"
        if telemetry is None
        else "tests.service.telemetry.cost.observed_service:create"
    ]
    settings = {"BARE_FOLDER": str(folder), "BARE_ROWS": str(rows), "PYTHONPATH": str(_ROOT), **(telemetry or {})}
    with _running(command, folder, settings, port=port, workers=workers) as server:
        yield server


@contextmanager
def _running(
    command: Sequence[str], folder: Path, settings: Mapping[str, str], *, port: int, workers: int
) -> Iterator[Server]:
    url = f"http://127.0.0.1:{port}"
    # A proxy of the environment is for the world outside.
    with httpx.Client(base_url=url, trust_env=False) as client:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=_environment(settings), stdout=subprocess.DEVNULL)
        try:
            while not _answers(client):
                if process.poll() is not None or time.monotonic() - started > READY_SECONDS_MAX:
                    raise RuntimeError(f"{command[0]} did not start")
                time.sleep(0.01)
            yield Server(url, process.pid, time.monotonic() - started, client, workers)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server as an operator would, and by force when it does not."""
    workers = _workers(process.pid)
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


def _answers(client: httpx.Client) -> bool:
    """Whether it is ready; the bare server knows no such path, and says so when it is."""
    try:
        return client.get("/health/ready").status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND)
    except httpx.TransportError:
        return False


def _environment(settings: Mapping[str, str]) -> Mapping[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("EVENTFEED_")}, **settings}


def _workers(pid: int) -> list[int]:
    """The serving processes below a server's first one."""
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)]
    # It finds none, and says so by its exit code, below a server that did not start.
    listed = subprocess.run(command, capture_output=True, check=False)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if b"resource_tracker" not in line]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
