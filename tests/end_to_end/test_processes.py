"""Processes: a worker ends with its parent, a stop ends in time, and a log that nobody reads blocks nothing."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.otlp_receiver import receiving, sending_to
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, cloud_event
from tests.support.service import (
    COMMAND,
    COMMAND_SECONDS_MAX,
    REQUEST_SECONDS_MAX,
    RunningService,
    bearer,
    clean_environment,
    free_port,
    running_service,
    start,
    stop,
)
from tests.support.waiting import wait_until

HELD = 40
# The limit is 5 s. Three limits one after another would be 15 s.
STOP_SECONDS_MAX = 10.0
FEED = "/events/api/v1/app/ttd/quiet?after=0"


def open_request(service: RunningService, *headers: str) -> socket.socket:
    """Send the head of a request for a feed, and return its connection."""
    connection = socket.create_connection(("127.0.0.1", urlsplit(service.url).port), timeout=REQUEST_SECONDS_MAX)
    lines = [f"GET {FEED} HTTP/1.1", "Host: localhost", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return connection


@contextmanager
def held_requests(service: RunningService) -> Iterator[None]:
    """Keep 40 streams open, and 40 polls that wait, until the end of the block."""
    token = f"Authorization: Bearer {service.token('altinn:events/ttd')}"
    etag = service.client.get(FEED, headers=dict([token.split(": ")])).headers["etag"]
    streams = [open_request(service, token, "Accept: text/event-stream") for _ in range(HELD)]
    polls = [open_request(service, token, "Prefer: wait=50", f"If-None-Match: {etag}") for _ in range(HELD)]
    try:
        for stream in streams:
            assert b"200 OK" in stream.recv(1_000)
        yield
    finally:
        for connection in (*streams, *polls):
            connection.close()


def publish_until_it_ends(service: RunningService, ids: list[str]) -> None:
    """Publish batches until the service is gone; add the id of every receipt."""
    headers = bearer(service.token(PUBLISH_SCOPE))
    with httpx.Client(base_url=service.url, timeout=REQUEST_SECONDS_MAX) as client, suppress(httpx.TransportError):
        while True:
            response = client.post(APP_PATH, json=[cloud_event("a") for _ in range(5)], headers=headers)
            ids.extend(receipt["id"] for receipt in response.raise_for_status().json())


def all_ids(service: RunningService) -> set[str]:
    """The ids of all events in the feed."""
    command = service.run_command("read", "app", "ttd/a", "--size", "1000")
    assert 0 == command.returncode, command.stderr
    return {line.partition(b'"id":"')[2].partition(b'"')[0].decode() for line in command.stdout.splitlines()}


def test_worker_ends_when_the_main_process_is_killed(tmp_path: Path) -> None:
    """The port is free for a restart, and every event with a receipt is there."""
    service, ids = start(tmp_path), list[str]()
    (worker,) = service.worker_pids()
    with held_requests(service), ThreadPoolExecutor(2) as pool:
        publishers = [pool.submit(publish_until_it_ends, service, ids) for _ in range(2)]
        wait_until(lambda: len(ids) >= 100)
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        wait_until(lambda: not Path(f"/proc/{worker}").exists())
        for publisher in publishers:
            publisher.result()
    with running_service(tmp_path, EVENTFEED_PORT=service.url.rpartition(":")[2]) as again:
        assert set(ids) <= all_ids(again)
    service.client.close()


def test_page_of_traces_ends_when_the_main_process_is_killed(tmp_path: Path) -> None:
    """Its port is free for a restart."""
    service = start(tmp_path, "--observe")
    output = tmp_path / "output"
    wait_until(lambda: b"traces and charts: http" in output.read_bytes())
    url = output.read_text().partition("traces and charts: ")[2].partition("\n")[0]
    wait_until(lambda: has_listener(url))
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait()
    service.client.close()

    wait_until(lambda: not has_listener(url))


def has_listener(url: str) -> bool:
    """True if a process listens on the port of a URL."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", urlsplit(url).port)):
        return True
    return False


def test_stop_with_held_requests_and_collectors_that_hang_ends_in_time(tmp_path: Path) -> None:
    """Waits, streams, traces, measurements and logs have one limit of 5 s together. No receipt is lost."""
    logs = {"EVENTFEED_LOG_LEVEL": "info", "OTEL_BLRP_SCHEDULE_DELAY": "100"}
    with receiving() as receiver, running_service(tmp_path, **sending_to(receiver), **logs) as service:
        receiver.hang.set()
        ids = list[str]()
        with held_requests(service), ThreadPoolExecutor(1) as pool:
            publisher = pool.submit(publish_until_it_ends, service, ids)
            wait_until(lambda: len(ids) >= 20)
            begin = time.monotonic()
            code = stop(service)
            seconds = time.monotonic() - begin
            with suppress(httpx.HTTPStatusError):
                publisher.result()
    with running_service(tmp_path) as again:
        assert set(ids) <= all_ids(again)

    assert 0 == code
    assert seconds < STOP_SECONDS_MAX


def test_stop_does_not_wait_for_a_request_whose_body_does_not_come(tmp_path: Path) -> None:
    """Its client has 30 s for the body, and the stop 5 s."""
    with running_service(tmp_path) as service:
        token = service.token(PUBLISH_SCOPE)
        with socket.create_connection(("127.0.0.1", urlsplit(service.url).port)) as connection:
            head = f"POST {APP_PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n[".encode())
            service.client.get("/health/live")
            begin = time.monotonic()
            code = stop(service)

    assert 0 == code
    assert time.monotonic() - begin < STOP_SECONDS_MAX


def test_log_that_nobody_reads_blocks_no_request(tmp_path: Path) -> None:
    """A pipe holds 64 KiB, which is 900 lines. The stop does not wait for a reader either."""
    port = str(free_port())
    environment = clean_environment(EVENTFEED_LOG_LEVEL="info", EVENTFEED_PORT=port)
    process = subprocess.Popen(
        [COMMAND, "serve"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    service = RunningService(f"http://127.0.0.1:{port}", tmp_path, process)
    assert process.stdout is not None
    try:
        wait_until(lambda: is_ready(service))
        for _ in range(1_500):
            service.client.get("/health/live").raise_for_status()
        begin = time.monotonic()
        code = stop(service)
        seconds = time.monotonic() - begin
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

    assert 0 == code
    assert seconds < STOP_SECONDS_MAX


def is_ready(service: RunningService) -> bool:
    """True if the service accepts requests."""
    with suppress(httpx.TransportError):
        return service.client.get("/health/ready").is_success
    return False


def test_one_of_two_services_that_start_together_refuses(tmp_path: Path) -> None:
    """Only one of them says that it is ready, and only it serves."""
    port, outputs = str(free_port()), [tmp_path / "a", tmp_path / "b"]
    processes = list[subprocess.Popen[bytes]]()
    for path in outputs:
        environment = clean_environment(EVENTFEED_PORT=port, EVENTFEED_STORE=f"sqlite:///{path}.store/log.db")
        with path.open("wb") as output:
            processes.append(subprocess.Popen([COMMAND, "serve"], env=environment, stdout=output, stderr=output))
    try:
        wait_until(lambda: any(process.poll() is not None for process in processes))
        wait_until(lambda: any(b"eventfeed is ready" in path.read_bytes() for path in outputs))
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(timeout=COMMAND_SECONDS_MAX) for process in processes]
    texts = [path.read_bytes() for path in outputs]

    assert [0, 2] == sorted(codes)
    assert 1 == sum(b"eventfeed is ready" in text for text in texts)
    assert 1 == sum(b"Cannot listen on" in text for text in texts)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"ALL_PROXY": "socks5h://p:1"}, b"ALL_PROXY"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, b"SSL_CERT_FILE"),
        ({"https_proxy": "http://[p"}, b"https_proxy"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, b"OTEL_BSP_MAX_QUEUE_SIZE"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, b"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "nan"}, b"OTEL_METRIC_EXPORT_INTERVAL"),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, b"OTEL_TRACES_SAMPLER_ARG"),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": "x"}, b"APPLICATIONINSIGHTS_CONNECTION_STRING"),
    ],
    ids=str,
)
def test_variable_of_a_library_that_cannot_be_used_prevents_the_start(
    tmp_path: Path, variables: dict[str, str], name: bytes
) -> None:
    """The message names the variable, and the exit code is 2."""
    issuer = {"EVENTFEED_MASKINPORTEN_ISSUER": "https://m.example.no", "EVENTFEED_MASKINPORTEN_AUDIENCES": "x"}
    register = tmp_path / "register.json"
    register.write_text('{"organisations": [], "people": []}')
    settings = {**issuer, "EVENTFEED_REGISTER": str(register), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    process = subprocess.run(
        [COMMAND, "serve", "--port", str(free_port())],
        cwd=tmp_path,
        env=clean_environment(**settings, **variables),
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )

    assert 2 == process.returncode
    assert name in process.stderr
    assert b"Traceback" not in process.stderr


@pytest.mark.parametrize("variables", [{"ALL_PROXY": "socks5h://p:1"}, {"SSL_CERT_FILE": "/nowhere/ca.pem"}], ids=str)
@pytest.mark.parametrize("command", [["read", "app", "ttd/a"], ["publish", "-"], ["scenarios"]], ids=str)
def test_variable_of_a_library_that_cannot_be_used_ends_a_command(
    tmp_path: Path, command: list[str], variables: dict[str, str]
) -> None:
    """The message names the variable, and the exit code is 2."""
    process = subprocess.run(
        [COMMAND, *command, "--url", "https://events.example.no"],
        cwd=tmp_path,
        env=clean_environment(EVENTFEED_TOKEN="x", **variables),
        input=b"",
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )

    assert 2 == process.returncode
    assert next(iter(variables)).encode() in process.stderr
    assert b"Traceback" not in process.stderr


def test_usual_variables_do_not_disturb_a_service_and_its_commands(tmp_path: Path) -> None:
    """A loopback address is reached without a proxy, and `NO_PROXY` may have addresses in brackets."""
    variables = {
        "NO_PROXY": "localhost,[::1],10.0.0.0/8",
        "HTTPS_PROXY": "http://proxy.example.no:3128",
        "PYTHONWARNINGS": "default",
        "PYTHONOPTIMIZE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONASYNCIODEBUG": "1",
        "OTEL_PROPAGATORS": "nonsense",
    }
    with running_service(tmp_path, **variables) as service:
        command = service.run_command("scenarios", stdin=b"", **variables)

    assert 0 == command.returncode, command.stderr
