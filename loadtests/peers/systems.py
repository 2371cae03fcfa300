"""The systems of the comparison, each with durable publishes: their processes and addresses."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from loadtests.benchmark.events import authorization
from loadtests.benchmark.following import SETTINGS
from loadtests.benchmark.servers import READY_SECONDS_MAX, STOP_SECONDS_MAX, cpu_seconds_of, free_port, service
from loadtests.peers.toolchain import program, redis

# NATS and Redis write each commit to the disk before they respond.
_NATS = """
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{folder}", sync_interval: always }}
"""
_REDIS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
_LOOPBACK = "127.0.0.1"


class System(NamedTuple):
    """A running system: the arguments of the load generator, and the ids of its processes."""

    target: Sequence[str]
    pids: Sequence[int]

    def cpu_seconds(self) -> float:
        """The processor time of all its processes so far (s)."""
        return sum(cpu_seconds_of(pid) for pid in self.pids)

    def resident_kib(self) -> float:
        """The resident memory of all its processes (KiB)."""
        return sum(_resident_kib(pid) for pid in self.pids)


# Starts a system with the files in a folder, which it makes or finds.
Start = Callable[[Path], AbstractContextManager[System]]


@contextmanager
def eventfeed(folder: Path, *, workers: int = 1) -> Iterator[System]:
    """Run the service with its ordinary settings, and streams for all followers."""
    folder.mkdir(exist_ok=True)
    with service(folder, SETTINGS, workers=workers) as server:
        token = authorization(server)["Authorization"].removeprefix("Bearer ")
        yield System(("-system", "eventfeed", "-url", server.url, "-token", token), server.pids())


@contextmanager
def nats(folder: Path) -> Iterator[System]:
    """Run NATS with JetStream."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    configuration = folder / "nats.conf"
    configuration.write_text(_NATS.format(port=port, folder=folder))
    with _process([str(program("nats-server")), "-c", str(configuration)], folder, port=port) as pid:
        yield System(("-system", "nats", "-url", f"nats://{_LOOPBACK}:{port}"), [pid])


@contextmanager
def centrifugo(folder: Path) -> Iterator[System]:
    """Run Centrifugo, and Redis for its history."""
    folder.mkdir(exist_ok=True)
    redis_port, port = free_port(), free_port()
    configuration = folder / "centrifugo.json"
    configuration.write_text(json.dumps(_centrifugo_settings(port, redis_port=redis_port)))
    redis_command = [str(redis()), "--bind", _LOOPBACK, "--port", str(redis_port), "--dir", str(folder), *_REDIS]
    with (
        _process(redis_command, folder, port=redis_port, is_ready=_responds) as redis_pid,
        _process([str(program("centrifugo")), "-c", str(configuration)], folder, port=port) as pid,
    ):
        yield System(("-system", "centrifugo", "-url", f"http://{_LOOPBACK}:{port}"), [pid, redis_pid])


def _centrifugo_settings(port: int, *, redis_port: int) -> dict[str, object]:
    """Settings without tokens and limits. Nothing is sent to other machines."""
    return {
        "http_server": {"address": _LOOPBACK, "port": str(port)},
        "client": {"insecure": True},
        "http_api": {"insecure": True},
        "uni_sse": {"enabled": True},
        "usage_stats": {"disabled": True},
        "log": {"level": "error"},
        "broker": {"enabled": True, "type": "redis", "redis": {"address": f"redis://{_LOOPBACK}:{redis_port}"}},
        "channel": {"without_namespace": {"history_size": 10_000_000, "history_ttl": "24h"}},
    }


@contextmanager
def _process(
    command: Sequence[str], folder: Path, *, port: int, is_ready: Callable[[int], bool] | None = None
) -> Iterator[int]:
    """Run a program while the block lasts, from when it listens or is ready. Yields its process id."""
    is_ready = is_ready or _listens
    with (folder / f"{Path(command[0]).name}.log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {Path(log.name).read_text()[-500:]}")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((_LOOPBACK, port), timeout=1):
        return True
    return False


def _responds(port: int) -> bool:
    """True if Redis has read its file: before, it listens and refuses every command."""
    with suppress(OSError), socket.create_connection((_LOOPBACK, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def _resident_kib(pid: int) -> float:
    """The resident memory of a process, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
