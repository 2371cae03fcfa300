"""The service process: start, stop, several workers, kills, invalid settings, links and problems."""

import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median

import apsw
import httpx
import pytest

from tests.support.feeds import event_ids, read_app_feed
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
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until


def serve(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Run `eventfeed serve` with arguments or settings that it refuses."""
    command = [COMMAND, "serve", *arguments]
    environment = clean_environment(**settings)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=COMMAND_SECONDS_MAX, check=False
    )


def delete_entries(file: Path) -> None:
    """Damage a log: its record has an end, and there is no entry."""
    with closing(apsw.Connection(str(file))) as db:
        db.execute("DELETE FROM entry")


def test_stopped_service_keeps_its_log(tmp_path: Path) -> None:
    """SIGTERM ends the process with 0, and after a restart the sequences continue."""
    service = start(tmp_path)
    publish = bearer(service.token(PUBLISH_SCOPE))
    first = service.client.post(APP_PATH, json=cloud_event("a"), headers=publish).raise_for_status().json()
    code = stop(service)
    with running_service(tmp_path) as second_service:
        publish = bearer(second_service.token(PUBLISH_SCOPE))
        second = second_service.client.post(APP_PATH, json=cloud_event("a"), headers=publish).raise_for_status().json()

        assert [first["id"], second["id"]] == event_ids(read_app_feed(second_service, "a", "after=0"))
    assert 0 == code
    assert int(first["sequence"]) + 1 == int(second["sequence"])


def test_every_event_with_a_receipt_survives_a_kill(tmp_path: Path) -> None:
    """After SIGKILL during publishing, each of these events is in the log once and in order."""
    service = start(tmp_path)
    publish = bearer(service.token(PUBLISH_SCOPE))
    acknowledged_ids = list[str]()

    def keep_publishing() -> None:
        with httpx.Client(base_url=service.url, timeout=REQUEST_SECONDS_MAX) as client:
            while True:
                try:
                    response = client.post(APP_PATH, json=[cloud_event("a") for _ in range(10)], headers=publish)
                except httpx.TransportError:
                    return
                acknowledged_ids.extend(receipt["id"] for receipt in response.raise_for_status().json())

    with ThreadPoolExecutor(8) as pool:
        publishers = [pool.submit(keep_publishing) for _ in range(8)]
        wait_until(lambda: len(acknowledged_ids) >= 500)
        os.killpg(service.process.pid, signal.SIGKILL)
        for publisher in publishers:
            publisher.result()
    stop(service)
    with running_service(tmp_path) as again:
        command = again.run_command("read", "app", "ttd/a", "--size", "1000")
        events = [json.loads(line) for line in command.stdout.splitlines()]

    assert set(acknowledged_ids) <= {event["id"] for event in events}
    assert len(events) == len({event["id"] for event in events})
    assert all(int(one["sequence"]) + 1 == int(other["sequence"]) for one, other in pairwise(events))


def test_event_published_at_one_worker_is_visible_at_the_others(tmp_path: Path) -> None:
    """The median delay until another worker returns the event is at most 250 ms."""
    with running_service(tmp_path, EVENTFEED_WORKERS="2") as service:
        workers = service.worker_pids()
        publish_headers = bearer(service.token(PUBLISH_SCOPE))
        read_headers = bearer(service.token("altinn:events/ttd"))
        ids, delays = list[str](), list[float]()
        for _ in range(40):
            with new_client(service) as publisher, new_client(service) as reader:
                receipt = publisher.post(APP_PATH, json=cloud_event("a"), headers=publish_headers).raise_for_status()
                start = time.monotonic()
                url = f"/events/api/v1/app/ttd/a?after={int(receipt.json()['sequence']) - 1}"
                while (page := reader.get(url, headers=read_headers)).status_code == 400 or not page.json():
                    assert time.monotonic() - start < WAIT_SECONDS_MAX, page.text
                ids.append(receipt.json()["id"])
                delays.append(time.monotonic() - start)

        assert ids == event_ids(read_app_feed(service, "a", "after=0&size=1000"))
    assert len(workers) == 2
    assert median(delays) <= 0.25


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    """The service continues to accept events, and has as many workers as before."""
    with running_service(tmp_path, EVENTFEED_WORKERS="2") as service:
        headers, event = bearer(service.token(PUBLISH_SCOPE)), cloud_event("a")
        first, second = service.worker_pids()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len({*service.worker_pids()} - {first}) == 2)

        def publish() -> bool:
            with suppress(httpx.TransportError), new_client(service) as client:
                return client.post(APP_PATH, json=event, headers=headers).is_success
            return False

        wait_until(publish)

        assert [event["id"]] == event_ids(read_app_feed(service, "a", "after=0"))
        assert second in service.worker_pids()


def new_client(service: RunningService) -> httpx.Client:
    """A client with connections of its own, which any worker may accept."""
    return httpx.Client(base_url=service.url, timeout=REQUEST_SECONDS_MAX)


def test_readiness_fails_when_the_log_is_damaged(tmp_path: Path) -> None:
    """A service with a damaged log is alive and not ready, and returns no events."""
    with running_service(tmp_path) as service:
        publish = bearer(service.token(PUBLISH_SCOPE))
        service.client.post(APP_PATH, json=[cloud_event("a") for _ in range(3)], headers=publish).raise_for_status()
        delete_entries(tmp_path / ".eventfeed" / "log.db")
        wait_until(lambda: service.client.get("/health/ready").status_code == 503)
        wait_until(lambda: read_app_feed(service, "a", "after=0").status_code == 503)
        ready, live = service.client.get("/health/ready"), service.client.get("/health/live")

    assert (200, 503) == (live.status_code, ready.status_code)
    assert int(ready.headers["retry-after"]) >= 1


def test_damaged_log_prevents_the_start(tmp_path: Path) -> None:
    """The exit code is 1, with the reason, if the end of the log contradicts its record."""
    with running_service(tmp_path) as service:
        publish = bearer(service.token(PUBLISH_SCOPE))
        service.client.post(APP_PATH, json=cloud_event("a"), headers=publish).raise_for_status()
    delete_entries(tmp_path / ".eventfeed" / "log.db")
    process = serve(tmp_path, "--port", str(free_port()))

    assert 1 == process.returncode
    assert b"The log's record ends at 1" in process.stderr


@pytest.mark.parametrize(
    "settings", [{"EVENTFEED_KEYS": "/proc/keys"}, {"EVENTFEED_STORE": "sqlite:////proc/x/log.db"}]
)
def test_unwritable_path_prevents_the_start(tmp_path: Path, settings: dict[str, str]) -> None:
    """The message names the path, without a traceback."""
    process = serve(tmp_path, "--port", str(free_port()), **settings)

    assert process.returncode in (1, 2)
    assert b"/proc/" in process.stderr
    assert b"Traceback" not in process.stderr


def test_port_in_use_prevents_the_start(tmp_path: Path) -> None:
    """The exit code is 2, and the message names the option."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        process = serve(tmp_path, "--port", str(listener.getsockname()[1]))

    assert 2 == process.returncode
    assert b"--port" in process.stderr
    assert b"Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"EVENTFEED_NONSENSE": "1", "EVENTFEED_PORT": "0"}, [b"EVENTFEED_NONSENSE", b"EVENTFEED_PORT"]),
        ({"EVENTFEED_STORE": "postgres://x"}, [b"EVENTFEED_STORE"]),
        ({"EVENTFEED_HOST": "0.0.0.0"}, [b"EVENTFEED_MASKINPORTEN_ISSUER", b"EVENTFEED_PUBLIC_URL"]),  # noqa: S104
        ({"EVENTFEED_MASKINPORTEN_ISSUER": "https://m.example.no"}, [b"EVENTFEED_MASKINPORTEN_AUDIENCES"]),
        ({"EVENTFEED_REGISTER": "nowhere.json"}, [b"nowhere.json"]),
        ({"EVENTFEED_POLICIES": "nowhere.cedar"}, [b"nowhere.cedar"]),
        ({"EVENTFEED_PLATFORM_URL": "http://x.example.no"}, [b"must be https", b"EVENTFEED_PLATFORM_ORGS_URL"]),
        ({"EVENTFEED_IDPORTEN_ISSUER": "https://i.example.no"}, [b"IDPORTEN_AUDIENCES", b"MASKINPORTEN_ISSUER"]),
        ({"EVENTFEED_STORE": "cosmos://account.example.no/db"}, [b"EVENTFEED_MASKINPORTEN_ISSUER"]),
        ({"EVENTFEED_COSMOS_KEY": "x"}, [b"EVENTFEED_COSMOS_KEY"]),
        ({"EVENTFEED_RETENTION_DAYS": "-1"}, [b"EVENTFEED_RETENTION_DAYS"]),
        ({"EVENTFEED_PUBLIC_URL": "https://events.example.no"}, [b"EVENTFEED_PUBLIC_URL", b"MASKINPORTEN_ISSUER"]),
        ({"EVENTFEED_PUBLIC_URL": "http://localhost.example.no"}, [b"EVENTFEED_PUBLIC_URL", b"MASKINPORTEN_ISSUER"]),
        ({"EVENTFEED_PUBLIC_URL": "http://localhost@10.0.0.1/"}, [b"EVENTFEED_PUBLIC_URL", b"MASKINPORTEN_ISSUER"]),
        ({"EVENTFEED_PUBLIC_URL": "http://[::1"}, [b"EVENTFEED_PUBLIC_URL", b"not a URL"]),
        ({"EVENTFEED_PLATFORM_URL": "https://x.example.no:port"}, [b"EVENTFEED_PLATFORM_URL", b"not a URL"]),
        ({"EVENTFEED_STORE": "cosmos://[[/db"}, [b"EVENTFEED_STORE", b"not a URL"]),
        ({"EVENTFEED_REGISTER": "/dev/zero"}, [b"EVENTFEED_REGISTER", b"device"]),
        ({"EVENTFEED_APP_TOKEN_KEYS": "nowhere"}, [b"EVENTFEED_APP_TOKEN_KEYS=nowhere: is no directory"]),
        ({"EVENTFEED_APP_TOKEN_KEYS": "/dev/null"}, [b"EVENTFEED_APP_TOKEN_KEYS=/dev/null: is no directory"]),
        ({"EVENTFEED_APP_TOKEN_KEYS": "http://keys.example.no"}, [b"EVENTFEED_APP_TOKEN_KEYS: must be a directory"]),
        ({"EVENTFEED_APP_TOKEN_KEYS": "https://keys.example.no:x"}, [b"EVENTFEED_APP_TOKEN_KEYS", b"not a URL"]),
    ],
    ids=str,
)
def test_invalid_settings_prevent_the_start(tmp_path: Path, settings: dict[str, str], names: list[bytes]) -> None:
    """Every invalid setting is reported, and the exit code is 2."""
    process = serve(tmp_path, **settings)

    assert 2 == process.returncode
    assert all(name in process.stderr for name in names)
    assert b"Traceback" not in process.stderr


def test_real_issuer_disables_the_development_issuers(tmp_path: Path) -> None:
    """Without a response from the issuer, the exchange is unavailable."""
    register = tmp_path / "register.json"
    register.write_text('{"organisations": [], "people": []}')
    settings = {"EVENTFEED_MASKINPORTEN_ISSUER": "https://127.0.0.1:9/", "EVENTFEED_MASKINPORTEN_AUDIENCES": "x"}
    with running_service(tmp_path, **settings, EVENTFEED_REGISTER=str(register)) as service:
        token = service.client.post("/development/maskinporten/token", data={"org_number": "991825827", "scope": "x"})
        header = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ"
        response = service.exchange(f"{header}.e30.AAAA")

    assert (404, 503) == (token.status_code, response.status_code)


def test_links_problems_and_issuer_use_the_public_url(tmp_path: Path) -> None:
    """Development tokens continue to work, as the URL is a loopback address."""
    with running_service(tmp_path, EVENTFEED_PUBLIC_URL="http://localhost:8443/base/") as service:
        page = read_app_feed(service, "a", "after=0")
        problem = read_app_feed(service, "a", "size=0").json()
        issuer = service.client.get("/authentication/api/v1/openid/.well-known/openid-configuration").json()["issuer"]

    assert page.headers["next"].startswith("http://localhost:8443/base/events/api/v1/app/ttd/a?after=")
    assert "http://localhost:8443/base/problems/invalid-request" == problem["type"]
    assert "http://localhost:8443/base/authentication/api/v1/openid/" == issuer


def test_explanation_of_a_problem_marks_code(service: RunningService) -> None:
    """A browser shows the name of a header as code, and not the marks around it."""
    page = service.client.get("/problems/invalid-cursor").text

    assert "<code>Feed-Cursor</code>" in page
    assert "`" not in page


def test_every_problem_type_is_the_url_of_an_explanation(service: RunningService) -> None:
    """The `type` of a problem is a page about its code."""
    problem = service.client.get("/events/api/v1/head").json()
    page = service.client.get(problem["type"])

    assert 200 == page.status_code
    assert problem["code"] in page.text
    assert 404 == service.client.get("/problems/nonsense").status_code


def test_problem_has_the_trace_id_of_the_request(service: RunningService) -> None:
    """Without a valid `traceparent`, the service creates a trace id."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    problem = service.client.get("/nowhere", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}).json()
    problem_without_trace = service.client.get("/nowhere", headers={"traceparent": "nonsense"}).json()

    assert trace == problem["traceId"]
    assert 32 == len(problem_without_trace["traceId"])


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/health/live", 405), ("GET", "/nowhere", 404)])
def test_unknown_paths_and_methods_get_problems(service: RunningService, method: str, path: str, status: int) -> None:
    """An unknown path gets 404. An unknown method gets 405 with `Allow`."""
    response = service.client.request(method, path)

    assert (status, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert (status == 405) is ("allow" in response.headers)


@pytest.mark.parametrize("name", ["a%00b", "a" * 3_000, "..%2Fsetup.py", "LICENSE", "%2e%2e"])
def test_schema_page_serves_its_own_files_only(service: RunningService, name: str) -> None:
    """Any other file name gets 404."""
    assert 404 == service.client.get(f"/schema/assets/{name}").status_code
