"""The service as a whole: start, stop, several workers, being killed, describing itself."""

import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.test_app_feed import ids, read
from tests.end_to_end.test_publishing import APP, PUBLISH, cloud_event
from tests.support.service import COMMAND, Served, bearer, clean_environment, free_port, serving, start, stop


def workers_of(served: Served) -> list[int]:
    """The process ids of the serving processes."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(served.process.pid)], capture_output=True, check=True)
    return [int(pid) for pid in listed.stdout.split()]


def serve(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Start a service that is expected to refuse."""
    command = [COMMAND, "serve", *arguments]
    environment = clean_environment(**settings)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=20, check=False)


def test_it_stops_when_asked_and_keeps_everything(tmp_path: Path) -> None:
    """SIGTERM ends it with 0; started again, the log goes on."""
    served = start(tmp_path)
    publish = bearer(served.token(PUBLISH))
    first = served.client.post(APP, json=cloud_event("a"), headers=publish).raise_for_status().json()
    code = stop(served)
    with serving(tmp_path) as again:
        publish = bearer(again.token(PUBLISH))
        second = again.client.post(APP, json=cloud_event("a"), headers=publish).raise_for_status().json()

        assert [first["id"], second["id"]] == ids(read(again, "a", "after=0"))
    assert 0 == code
    assert int(first["sequence"]) + 1 == int(second["sequence"])


def test_every_receipt_survives_a_kill(tmp_path: Path) -> None:
    """Kill -9 in the middle of publishing: after a restart everything that has a receipt is there, once, in order."""
    served = start(tmp_path)
    publish = bearer(served.token(PUBLISH))
    acknowledged = list[str]()

    def keep_publishing() -> None:
        with httpx.Client(base_url=served.url) as client:
            while True:
                try:
                    answer = client.post(APP, json=[cloud_event("a") for _ in range(10)], headers=publish)
                except httpx.TransportError:
                    return
                acknowledged.extend(receipt["id"] for receipt in answer.raise_for_status().json())

    with ThreadPoolExecutor(8) as pool:
        publishers = [pool.submit(keep_publishing) for _ in range(8)]
        while len(acknowledged) < 500:
            time.sleep(0.01)
        os.killpg(served.process.pid, signal.SIGKILL)
        for publisher in publishers:
            publisher.result()
    stop(served)
    with serving(tmp_path) as again:
        command = again.command("read", "app", "ttd/a", "--size", "1000")
        events = [json.loads(line) for line in command.stdout.splitlines()]

    assert set(acknowledged) <= {event["id"] for event in events}
    assert len(events) == len({event["id"] for event in events})
    assert all(int(one["sequence"]) + 1 == int(other["sequence"]) for one, other in pairwise(events))


def test_workers_share_one_log(tmp_path: Path) -> None:
    """What one worker acknowledged, another shows within 250 ms; a worker that is killed is replaced."""
    with serving(tmp_path, EVENTFEED_WORKERS="2") as served:
        workers = workers_of(served)
        publish = bearer(served.token(PUBLISH))
        reading = bearer(served.token("altinn:events/ttd"))
        published, missing = list[str](), 0
        for _ in range(40):
            with httpx.Client(base_url=served.url) as publisher, httpx.Client(base_url=served.url) as reader:
                receipt = publisher.post(APP, json=cloud_event("a"), headers=publish).raise_for_status().json()
                published.append(receipt["id"])
                deadline = time.monotonic() + 0.25
                url = f"/events/api/v1/app/ttd/a?after={int(receipt['sequence']) - 1}"
                while (found := reader.get(url, headers=reading)).status_code == 400 or not found.json():
                    missing += time.monotonic() > deadline
        os.kill(workers[0], signal.SIGKILL)
        time.sleep(1)
        receipt = httpx.post(f"{served.url}{APP}", json=cloud_event("a"), headers=publish).raise_for_status().json()

        assert [*published, receipt["id"]] == ids(read(served, "a", "after=0&size=1000"))
    assert len(workers) >= 2
    assert 0 == missing


def test_readiness_tells_of_the_store(tmp_path: Path) -> None:
    """Alive and ready; when the log is damaged under it, alive and not ready, and nothing is served."""
    with serving(tmp_path) as served:
        publish = bearer(served.token(PUBLISH))
        served.client.post(APP, json=[cloud_event("a") for _ in range(3)], headers=publish).raise_for_status()
        subprocess.run(
            [
                "python3",
                "-c",
                "import sqlite3; sqlite3.connect('log.db').execute('DELETE FROM entry').connection.commit()",
            ],
            cwd=tmp_path / ".eventfeed",
            check=True,
        )
        time.sleep(0.2)
        ready, live = served.client.get("/health/ready"), served.client.get("/health/live")
        page = read(served, "a", "after=0")

    assert (200, 503, 503) == (live.status_code, ready.status_code, page.status_code)
    assert int(ready.headers["retry-after"]) >= 1


def test_a_damaged_log_refuses_to_start(tmp_path: Path) -> None:
    """A store whose end is not where its record says is not served: exit code 1 and the reason."""
    with serving(tmp_path) as served:
        publish = bearer(served.token(PUBLISH))
        served.client.post(APP, json=cloud_event("a"), headers=publish).raise_for_status()
    program = "import sqlite3; sqlite3.connect('.eventfeed/log.db').execute('DELETE FROM entry').connection.commit()"
    subprocess.run(["python3", "-c", program], cwd=tmp_path, check=True)
    ended = serve(tmp_path, "--port", str(free_port()))

    assert 1 == ended.returncode
    assert b"The log's record ends at 1" in ended.stderr


@pytest.mark.parametrize(
    "settings", [{"EVENTFEED_KEYS": "/proc/keys"}, {"EVENTFEED_STORE": "sqlite:////proc/x/log.db"}]
)
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, settings: dict[str, str]) -> None:
    """A plain line, not a trace."""
    ended = serve(tmp_path, "--port", str(free_port()), **settings)

    assert ended.returncode in (1, 2)
    assert b"/proc/" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """Exit code 2 and what to do, not a trace."""
    with socket.socket() as fit:
        fit.bind(("127.0.0.1", 0))
        fit.listen()
        ended = serve(tmp_path, "--port", str(fit.getsockname()[1]))

    assert 2 == ended.returncode
    assert b"--port" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("settings", "named"),
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
    ],
    ids=str,
)
def test_wrong_settings_refuse_to_start(tmp_path: Path, settings: dict[str, str], named: list[bytes]) -> None:
    """Every fault at once, exit code 2, and nothing is made."""
    ended = serve(tmp_path, **settings)

    assert 2 == ended.returncode
    assert all(name in ended.stderr for name in named)
    assert b"Traceback" not in ended.stderr


def test_no_development_identities_with_a_real_issuer(tmp_path: Path) -> None:
    """Where Maskinporten is real there is no other; while it is silent the exchange is unavailable, not refused."""
    register = tmp_path / "register.json"
    register.write_text('{"organisations": [], "people": []}')
    real = {"EVENTFEED_MASKINPORTEN_ISSUER": "https://127.0.0.1:9/", "EVENTFEED_MASKINPORTEN_AUDIENCES": "x"}
    with serving(tmp_path, **real, EVENTFEED_REGISTER=str(register)) as served:
        token = served.client.post("/development/maskinporten/token", data={"org_number": "991825827", "scope": "x"})
        header = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ"
        answer = served.exchanged(f"{header}.e30.AAAA")

    assert (404, 503) == (token.status_code, answer.status_code)


def test_the_public_url_is_in_every_link(tmp_path: Path) -> None:
    """Links, problem types and the platform token's issuer start with it; development tokens go on working."""
    with serving(tmp_path, EVENTFEED_PUBLIC_URL="https://events.example.no/base/") as served:
        page = read(served, "a", "after=0")
        problem = read(served, "a", "size=0").json()
        issuer = served.client.get("/authentication/api/v1/openid/.well-known/openid-configuration").json()["issuer"]

    assert page.headers["next"].startswith("https://events.example.no/base/events/api/v1/app/ttd/a?after=")
    assert "https://events.example.no/base/problems/invalid-request" == problem["type"]
    assert "https://events.example.no/base/authentication/api/v1/openid/" == issuer


def test_every_problem_type_leads_to_its_explanation(served: Served) -> None:
    """The `type` of a problem is a page for people."""
    problem = served.client.get("/events/api/v1/head").json()
    page = httpx.get(problem["type"])

    assert 200 == page.status_code
    assert problem["code"] in page.text
    assert 404 == served.client.get("/problems/nonsense").status_code


def test_a_trace_of_the_callers_is_kept(served: Served) -> None:
    """A problem names the caller's own trace, or one of ours."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    told = served.client.get("/nowhere", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}).json()
    own = served.client.get("/nowhere", headers={"traceparent": "nonsense"}).json()

    assert trace == told["traceId"]
    assert 32 == len(own["traceId"])


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/health/live", 405), ("GET", "/nowhere", 404)])
def test_unknown_paths_and_methods_are_problems(served: Served, method: str, path: str, status: int) -> None:
    """404 and 405, the latter with what is allowed."""
    answer = served.client.request(method, path)

    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert (status == 405) is ("allow" in answer.headers)


@pytest.mark.parametrize("name", ["a%00b", "a" * 3_000, "..%2Fsetup.py", "LICENSE", "%2e%2e"])
def test_the_page_is_made_of_its_own_files_alone(served: Served, name: str) -> None:
    """Whatever else is asked for is not there."""
    assert 404 == served.client.get(f"/schema/assets/{name}").status_code
