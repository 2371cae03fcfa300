"""A service whose store does not respond: a real service, and an emulator whose process is stopped for a while.

`make away` pauses the store for 15 s and 60 s as well. Durations are compared with those of a request that needs no
store, at the same time, so a busy machine fails no test.
"""

import json
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.emulator.running import emulator_process
from tests.support.feeds import app_feed_events, read_app_feed
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, cloud_event, post_events
from tests.support.service import (
    REQUEST_SECONDS_MAX,
    RunningService,
    bearer,
    free_port,
    launch,
    run_with_store,
    running_service,
    stop,
)
from tests.support.waiting import wait_until

PAUSES = [int(each) for each in os.environ.get("PAUSES", "5").split()]
# A failure or a recovery that takes longer than this (s), and many times a request without the store, is a fault.
SECONDS_MAX, BUSY_FACTOR = 1.0, 20
AWAY, BACK = "the store does not respond", "the store responds again"
WAITS, CONTINUES = "the start waits for the store", "the start continues"
EVENTS = 20


class Emulator(NamedTuple):
    """An emulator of its own, and the address of a store in it."""

    process: subprocess.Popen[bytes]
    store: str

    def stop(self) -> None:
        """Stop the process: its connections stay open, and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def continue_(self) -> None:
        """Let the process continue."""
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator that no other test uses."""
    with emulator_process() as (url, process):
        if process is None:
            pytest.skip("there is no emulator of its own: `make test` installs it")
        host = url.removeprefix("http://").rstrip("/")
        try:
            yield Emulator(process, f"cosmos://{host}/{uuid.uuid4().hex}")
        finally:
            process.send_signal(signal.SIGCONT)


class Response(NamedTuple):
    """A response: when its request was sent (s), how long it took (s), its status and its body."""

    start: float
    seconds: float
    status: int
    body: bytes

    @property
    def end(self) -> float:
        """The time of the response (s)."""
        return self.start + self.seconds


class Client:
    """A thread that sends one request after the other until `stop`, and keeps the responses."""

    def __init__(self, send: Callable[[httpx.Client], httpx.Response], url: str) -> None:
        self._send, self._url = send, url
        self._is_stopping = threading.Event()
        self.responses: list[Response] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=REQUEST_SECONDS_MAX) as client:
            while not self._is_stopping.wait(0.02):
                start = time.monotonic()
                response = self._send(client)
                now = time.monotonic()
                self.responses.append(Response(start, now - start, response.status_code, response.content))

    def first_after(self, start: float, status: int) -> Response:
        """Wait for the first response with this status to a request sent after this time."""

        def matches() -> list[Response]:
            return [each for each in self.responses if each.start >= start and each.status == status]

        return wait_until(matches)[0]

    def stop(self) -> list[Response]:
        """End the thread, and return all responses."""
        self._is_stopping.set()
        self._thread.join()
        return self.responses


class Publisher:
    """Publishes events, each until it has a receipt, as an app does."""

    def __init__(self, app: str, token: str) -> None:
        self._app, self._headers = app, {**bearer(token), "Content-Type": "application/json"}
        self._event = cloud_event(app)
        self.receipts: list[str] = []

    def __call__(self, client: httpx.Client) -> httpx.Response:
        """Publish an event for the first time or again."""
        response = client.post(APP_PATH, content=json.dumps(self._event), headers=self._headers)
        if response.is_success:
            self.receipts.append(response.json()["id"])
            self._event = cloud_event(self._app)
        return response


def log_changes(service: RunningService) -> list[str]:
    """The warnings and errors in the service's log."""
    lines = (service.folder / "output").read_text().splitlines()
    return [line for line in lines if " WARNING " in line or " ERROR " in line]


def clients_of(service: RunningService, app: str) -> tuple[Mapping[str, Client], Publisher]:
    """Start the clients: a publisher, a reader of the first events, one of the end, and one that needs no store."""
    publisher = Publisher(app, service.token(PUBLISH_SCOPE))
    headers, path = bearer(service.token(f"altinn:events/ttd/{app}")), f"/events/api/v1/app/ttd/{app}"
    end = read_app_feed(service, app, f"after=0&size={EVENTS}").headers["feed-cursor"]
    requests: Mapping[str, Callable[[httpx.Client], httpx.Response]] = {
        "publish": publisher,
        "memory": lambda client: client.get(f"{path}?after=0&size=5", headers=headers),
        "caught up": lambda client: client.get(f"{path}?after={end}&eventType=nothing", headers=headers),
        "live": lambda client: client.get("/health/live"),
        "ready": lambda client: client.get("/health/ready"),
    }
    return {name: Client(send, service.url) for name, send in requests.items()}, publisher


class Pause(NamedTuple):
    """The times (s) when the service noticed the pause and when it ended, and all responses by client."""

    failing: float
    end: float
    responses: Mapping[str, list[Response]]

    @property
    def limit(self) -> float:
        """The longest time (s) for a failure or a recovery on this machine."""
        return SECONDS_MAX + BUSY_FACTOR * max(each.seconds for each in self.responses["live"])

    def failures(self) -> list[Response]:
        """The responses of clients that need the store, to requests sent while it was known to be away."""
        names = ("publish", "caught up", "ready")
        return [each for name in names for each in self.responses[name] if self.failing <= each.start < self.end]


def pause_store(emulator: Emulator, service: RunningService, clients: Mapping[str, Client], *, seconds: int) -> Pause:
    """Pause the store while clients send requests, until all of them succeed again."""
    try:
        clients["publish"].first_after(0, 201)
        emulator.stop()
        start = time.monotonic()
        wait_until(lambda: AWAY in (service.folder / "output").read_text())
        failing = time.monotonic()
        for name in ("publish", "caught up", "ready"):
            clients[name].first_after(failing, 503)
        time.sleep(max(0.0, start + seconds - time.monotonic()))
        end = time.monotonic()
        emulator.continue_()
        for name, status in (("publish", 201), ("caught up", 200), ("ready", 200)):
            clients[name].first_after(end, status)
    finally:
        responses = {name: each.stop() for name, each in clients.items()}
    return Pause(failing, end, responses)


@pytest.mark.parametrize("seconds", PAUSES)
def test_service_survives_a_pause_of_its_store(emulator: Emulator, tmp_path: Path, app: str, seconds: int) -> None:
    """After the first failure all but pages in memory fail within a second, and succeed a second after the pause.

    No receipt is lost, and the log has one line when the store is away and one when it is back.
    """
    assert 0 == run_with_store(tmp_path, "store", "create", store=emulator.store).returncode
    with running_service(tmp_path, EVENTFEED_STORE=emulator.store, EVENTFEED_ADDRESS_REQUESTS="1000000") as service:
        receipts = post_events(service, APP_PATH, [cloud_event(app) for _ in range(EVENTS)]).raise_for_status().json()
        clients, publisher = clients_of(service, app)
        pause = pause_store(emulator, service, clients, seconds=seconds)
        ids = [event["id"] for event in app_feed_events(service, app)]
    changes = log_changes(service)

    assert max(each.seconds for each in pause.failures()) < pause.limit
    for name, status in (("publish", 201), ("caught up", 200), ("ready", 200)):
        assert min(each.end for each in pause.responses[name] if each.end > pause.end and each.status == status) < (
            pause.end + pause.limit
        )
    assert {200} == {each.status for each in pause.responses["memory"]}
    assert 1 == len({each.body for each in pause.responses["memory"]})
    assert {201, 503} == {each.status for each in pause.responses["publish"]}
    assert len(ids) == len(set(ids))
    assert {*publisher.receipts, *(each["id"] for each in receipts)} <= set(ids)
    assert [True, True] == [AWAY in changes[0], BACK in changes[1]], changes
    assert 2 == len(changes), changes


def test_service_that_starts_while_its_store_is_away_waits(emulator: Emulator, tmp_path: Path, app: str) -> None:
    """It reports that once. Commands on the store fail with a message meanwhile."""
    assert 0 == run_with_store(tmp_path, "store", "create", store=emulator.store).returncode
    emulator.stop()
    service = launch(tmp_path, EVENTFEED_STORE=emulator.store)
    try:
        wait_until(lambda: WAITS in (tmp_path / "output").read_text())
        command = run_with_store(tmp_path, "store", "new-log", "--yes", store=emulator.store)
        is_running = service.process.poll() is None
        emulator.continue_()
        wait_until(lambda: is_ready(service))
        receipt = post_events(service, APP_PATH, cloud_event(app))
    finally:
        stop(service)

    assert (1, True) == (command.returncode, is_running)
    assert b"does not respond" in command.stderr
    assert b"Traceback" not in command.stderr
    assert 201 == receipt.status_code
    changes = log_changes(service)
    assert [True, True] == [WAITS in changes[0], CONTINUES in changes[1]], changes
    assert 2 == len(changes), changes


def test_service_that_waits_for_its_store_stops_on_sigterm(tmp_path: Path) -> None:
    """No server listens at the address of the store."""
    service = launch(tmp_path, EVENTFEED_STORE=f"cosmos://127.0.0.1:{free_port()}/x")
    try:
        wait_until(lambda: WAITS in (tmp_path / "output").read_text())
    finally:
        stop(service)

    assert "Traceback" not in (tmp_path / "output").read_text()


def is_ready(service: RunningService) -> bool:
    """True if the service responds and is ready."""
    try:
        return service.client.get("/health/ready").is_success
    except httpx.TransportError:
        return False
