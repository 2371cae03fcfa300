"""The two servers that are compared: the service, and a bare handler that sends the same bytes on the same server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

READY_SECONDS_MAX = 30.0
COMMANDS = Path(sys.executable).parent


class Server(NamedTuple):
    """A running server: where, in which process, and how long it took to be ready (s)."""

    url: str
    pid: int
    ready_seconds: float

    def memory(self) -> float:
        """What its serving processes hold of their own (MiB)."""
        kilobytes = 0
        for pid in _children(self.pid):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kilobytes += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
        return kilobytes / 1024


@contextmanager
def service(folder: Path) -> Iterator[Server]:
    """`eventfeed serve` with its files in `folder`."""
    port = _free_port()
    with _running([str(COMMANDS / "eventfeed"), "serve", "--port", str(port)], folder, port=port) as server:
        yield server


@contextmanager
def bare(folder: Path, *, body: bytes, media_type: str) -> Iterator[Server]:
    """A Litestar handler that sends `body` at `/`, and nothing at `/empty`, on the same server as the service."""
    (folder / "body").write_bytes(body)
    port = _free_port()
    command = [str(COMMANDS / "granian"), "--interface", "asgi", "--factory", "--loop", "uvloop", "--no-ws"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    command += ["loadtests.benchmark.bare_handler:create"]
    settings = {"BARE_BODY": str(folder / "body"), "BARE_TYPE": media_type, "PYTHONPATH": str(Path.cwd())}
    with _running(command, folder, port=port, **settings) as server:
        yield server


@contextmanager
def _running(command: list[str], folder: Path, *, port: int, **settings: str) -> Iterator[Server]:
    process = subprocess.Popen(command, cwd=folder, env=_environment(settings), stdout=subprocess.DEVNULL)
    started, url = time.monotonic(), f"http://127.0.0.1:{port}"
    try:
        while not _answers(f"{url}/health/ready"):
            if process.poll() is not None or time.monotonic() - started > READY_SECONDS_MAX:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.01)
        yield Server(url, process.pid, time.monotonic() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.TransportError:
        return False


def _environment(settings: Mapping[str, str]) -> Mapping[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("EVENTFEED_")}, **settings}


def _children(pid: int) -> list[int]:
    """The serving processes below a server's first one."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)],
        capture_output=True,
        check=True,
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if b"resource_tracker" not in line]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
