"""Limits of a connection: silent clients, clients that read nothing, and a process with few file descriptors."""

import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from eventfeed.cli import server as module
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, cloud_event
from tests.support.service import COMMAND, RunningService, bearer, clean_environment, free_port, running_service
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

# The command line with shorter limits of time.
QUICK_COMMAND = (
    sys.executable,
    "-c",
    "from eventfeed.cli import main, server; server.HEAD_SECONDS_MAX = server.TAKE_SECONDS_MAX = 1; main()",
)

# A worker with a shorter limit for each part of a response. The system's own limit, which the command sets, is longer.
IMPATIENT_WORKER = "from eventfeed.http import sending; sending.SEND_SECONDS_MAX = 1"
IMPATIENT_COMMAND = (
    sys.executable,
    "-c",
    "from eventfeed.cli import main, server; server.TAKE_SECONDS_MAX = 3_600; main()",
)
STREAMS_MAX = 5


@pytest.fixture(scope="module")
def impatient_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with 4 MB of events that cuts off a client which takes nothing for one second."""
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "sitecustomize.py").write_text(IMPATIENT_WORKER)
    settings = {"PYTHONPATH": str(folder), "EVENTFEED_CALLER_STREAMS": str(STREAMS_MAX)}
    with running_service(folder / "service", command=IMPATIENT_COMMAND, **settings) as service:
        publish_large_events(service)
        yield service


@pytest.fixture(scope="module")
def quick_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that closes a connection after one second."""
    with running_service(tmp_path_factory.mktemp("quick"), command=QUICK_COMMAND) as service:
        yield service


@contextmanager
def connection(service: RunningService, *parts: bytes) -> Iterator[socket.socket]:
    """A connection on which the client has sent these bytes."""
    address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
    with closing(socket.create_connection(address, timeout=WAIT_SECONDS_MAX)) as client:
        for part in parts:
            client.sendall(part)
        yield client


def read_to_end(client: socket.socket) -> bytes:
    """Everything that the service sends until it closes the connection."""
    received = b""
    while part := client.recv(65_536):
        received += part
    return received


@pytest.mark.parametrize(
    ("sent", "start_of_response"),
    [
        (b"", b""),
        (b"GET /health/live HTTP/1.1\r\nHost: x", b""),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200"),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health", b"HTTP/1.1 200"),
    ],
    ids=["silent", "half a head", "idle after a response", "half a second head"],
)
def test_connection_without_a_complete_request_is_closed(
    quick_service: RunningService, sent: bytes, start_of_response: bytes
) -> None:
    """The time limit starts with the connection, and again after each response."""
    with connection(quick_service, sent) as client:
        received = read_to_end(client)

    assert received.startswith(start_of_response)
    assert len(received) < 1_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the socket option")
def test_client_that_reads_nothing_is_cut(quick_service: RunningService) -> None:
    """The connection is reset in the middle of the page, although the client acknowledges probes."""
    publish_large_events(quick_service)
    with connection(quick_service, large_request(quick_service)) as client:
        wait_until(lambda: connections_of(quick_service, client) == 0)
        with pytest.raises(ConnectionResetError):
            read_to_end(client)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists its connections in a file")
def test_stream_whose_client_reads_nothing_holds_its_slot_until_its_connection_is_gone(
    impatient_service: RunningService,
) -> None:
    """The service resets the connection itself, and has no more connections with streams than slots."""
    request = large_request(impatient_service, b"Accept: text/event-stream\r\n")
    with ExitStack() as stack:
        clients = [stack.enter_context(connection(impatient_service, request)) for _ in range(STREAMS_MAX)]
        statuses = [status_of(client) for client in clients]
        refusal = status_of(stack.enter_context(connection(impatient_service, request)))
        wait_until(lambda: status_of(stack.enter_context(connection(impatient_service, request))) == 200)
        open_when_accepted = sum(connections_of(impatient_service, client) for client in clients)
        wait_until(lambda: sum(connections_of(impatient_service, client) for client in clients) == 0)
        with pytest.raises(ConnectionResetError):
            read_to_end(clients[0])

    assert ([200] * STREAMS_MAX, 429) == (statuses, refusal)
    assert open_when_accepted < STREAMS_MAX


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists its connections in a file")
def test_connection_of_a_large_page_that_its_client_does_not_read_is_reset(impatient_service: RunningService) -> None:
    """The service does not leave it to the operating system: a client that takes a little would keep it open."""
    with connection(impatient_service, large_request(impatient_service)) as client:
        wait_until(lambda: connections_of(impatient_service, client) == 0)
        with pytest.raises(ConnectionResetError):
            read_to_end(client)


def publish_large_events(service: RunningService) -> None:
    """Publish more bytes than the buffers of a connection hold."""
    publish = bearer(service.token(PUBLISH_SCOPE))
    for _ in range(2):
        events = [cloud_event("big", data="x" * 20_000) for _ in range(100)]
        service.client.post(APP_PATH, json=events, headers=publish).raise_for_status()


def large_request(service: RunningService, headers: bytes = b"") -> bytes:
    """A request for these events."""
    target = b"/events/api/v1/app/ttd/big?after=0&size=1000"
    head = b"GET %b HTTP/1.1\r\nHost: x\r\n%bAuthorization: Bearer %b\r\n\r\n"
    return head % (target, headers, service.token("altinn:events/ttd").encode())


def status_of(client: socket.socket) -> int:
    """The status of a response, of which nothing more is read."""
    return int(client.recv(len("HTTP/1.1 200")).split()[1])


def connections_of(service: RunningService, client: socket.socket) -> int:
    """The number of established connections that the service has with this client (`/proc/net/tcp`)."""
    ends = f"{int(service.url.rpartition(':')[2]):04X}", f"{client.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum((row[1][-4:], row[2][-4:], row[3]) == (*ends, "01") for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is a command of Linux")
def test_service_with_few_file_descriptors_recovers_from_silent_connections(tmp_path: Path) -> None:
    """It accepts no more connections than it has descriptors for, and reads its store meanwhile."""
    with running_service(tmp_path, command=QUICK_COMMAND, file_limit="400") as service, ExitStack() as stack:
        publish = bearer(service.token(PUBLISH_SCOPE))
        for _ in range(450):
            stack.enter_context(connection(service))
        began = time.monotonic()
        response = service.client.post(APP_PATH, json=cloud_event("a"), headers=publish)
        output = (tmp_path / "output").read_text()

    assert 201 == response.status_code
    assert time.monotonic() - began < WAIT_SECONDS_MAX
    assert "The limit of open files is 400: each process accepts 200 connections" in output
    assert "Too many open files" not in output


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is a command of Linux")
def test_service_raises_its_limit_of_open_files(tmp_path: Path) -> None:
    """Workers have the hard limit."""
    with running_service(tmp_path, file_limit="500:2000") as service:
        limits = Path(f"/proc/{service.worker_pids()[0]}/limits").read_text()

    assert ["2000", "2000"] == next(line for line in limits.splitlines() if "open files" in line).split()[3:5]


def test_one_of_two_services_that_start_at_the_same_moment_is_refused(tmp_path: Path) -> None:
    """The port is held from the check on. The message names the option, and the other service runs."""
    command = [COMMAND, "serve", "--port", str(free_port())]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    processes = [
        subprocess.Popen(command, cwd=tmp_path / name, env=clean_environment(), stderr=subprocess.PIPE)
        for name in ("a", "b")
    ]
    try:
        wait_until(lambda: any(process.poll() is not None for process in processes))
        refused, running = sorted(processes, key=lambda process: process.poll() is None)
        code, message = refused.wait(WAIT_SECONDS_MAX), (refused.stderr or io.BytesIO()).read()
        is_running = running.poll() is None
    finally:
        for process in processes:
            process.terminate()
            process.communicate(timeout=WAIT_SECONDS_MAX)

    assert (2, True) == (code, is_running)
    assert b"--port" in message


def test_limits_are_those_of_the_contract() -> None:
    """30 s for a request, 20 s for a response."""
    assert (30, 20) == (module.HEAD_SECONDS_MAX, module.TAKE_SECONDS_MAX)
