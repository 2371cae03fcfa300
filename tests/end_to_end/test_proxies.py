"""A service behind nginx and haproxy with their usual limits: pages, waits, streams, publishes, and a restart."""

import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from eventfeed.client.stream import Message, StreamParser
from tests.support.feeds import assert_problem, event_ids
from tests.support.publishing import APP_PATH, EVENTS_PATH, PUBLISH_SCOPE, cloud_event
from tests.support.reverse_proxy import ReverseProxy
from tests.support.service import (
    COMMAND,
    REQUEST_SECONDS_MAX,
    TTD,
    RunningService,
    bearer,
    clean_environment,
    running_service,
)
from tests.support.waiting import wait_until

FEED = "/events/api/v1/app/ttd/{}?after=0"


class Behind(NamedTuple):
    """A service, the proxy in front of it, and a client that knows only the proxy."""

    service: RunningService
    proxy: ReverseProxy
    client: httpx.Client

    def publish(self, *events: dict[str, object]) -> httpx.Response:
        """Publish through the proxy."""
        return self.client.post(APP_PATH, json=events, headers=bearer(self.service.token(PUBLISH_SCOPE)))

    def post(self, path: str, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
        """Post a body in gzip, unless the headers name another coding, through the proxy."""
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        token = bearer(self.service.token(PUBLISH_SCOPE))
        return self.client.post(path, content=content, headers={"Content-Encoding": "gzip", **own, **token})

    def reader(self) -> dict[str, str]:
        """Return the header of a reader of all apps of `ttd`."""
        return bearer(self.service.token("altinn:events/ttd"))


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A service behind a proxy. Each test has an app of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    with running_service(folder, EVENTFEED_CLIENT_ADDRESS_HEADER="X-Forwarded-For") as service:
        proxy = ReverseProxy(request.param, service.url, folder=folder)
        proxy.start()
        with httpx.Client(base_url=proxy.url, timeout=REQUEST_SECONDS_MAX) as client:
            yield Behind(service, proxy, client)
        proxy.stop()


def test_page_through_a_proxy_equals_the_page_of_the_service(behind: Behind, app: str) -> None:
    """The body and the cursor are the same, also compressed, and the proxy keeps the entity tag."""
    behind.publish(*(cloud_event(app) for _ in range(60))).raise_for_status()
    path, headers = FEED.format(app), behind.reader()
    for coding in ("identity", "gzip"):
        page = behind.client.get(path, headers={**headers, "Accept-Encoding": coding})
        direct = behind.service.client.get(path, headers={**headers, "Accept-Encoding": coding})
        again = behind.client.get(path, headers={**headers, "If-None-Match": page.headers["etag"]})

        assert (200, direct.json()) == (page.status_code, page.json())
        for name in ("feed-cursor", "feed-more", "feed-time"):
            assert direct.headers.get(name) == page.headers.get(name)
        assert coding == page.headers.get("content-encoding", "identity")
        assert 304 == again.status_code


def test_largest_publish_passes_a_proxy(behind: Behind, app: str) -> None:
    """100 events, nearly 2 MiB."""
    events = [cloud_event(app, data={"text": "x" * 20_000}) for _ in range(100)]
    response = behind.publish(*events)
    page = behind.client.get(f"{FEED.format(app)}&size=100", headers=behind.reader())

    assert 201 == response.status_code, response.text
    assert [event["id"] for event in events] == event_ids(page)


def in_parts(content: bytes) -> Iterator[bytes]:
    """Yield a body in parts, which a client sends without a length."""
    for start in range(0, len(content), 1_000):
        yield content[start : start + 1_000]


@pytest.mark.parametrize("frame", [bytes, in_parts], ids=["length", "chunks"])
def test_compressed_publish_passes_a_proxy(
    behind: Behind, app: str, frame: Callable[[bytes], bytes | Iterator[bytes]]
) -> None:
    """The proxy changes neither the coding nor the bytes, with and without a length."""
    events = [cloud_event(app, data={"text": "x" * 20_000}) for _ in range(100)]
    response = behind.post(APP_PATH, frame(gzip.compress(json.dumps(events).encode())), Content_Type="application/json")
    page = behind.client.get(f"{FEED.format(app)}&size=100", headers=behind.reader())

    assert 201 == response.status_code, response.text
    assert [event["id"] for event in events] == event_ids(page)


@pytest.mark.parametrize(
    ("coding", "content", "status", "code"),
    [
        ("gzip", gzip.compress(bytes(3 * 1024 * 1024), mtime=0), 413, "too-large"),
        ("gzip", b"no gzip", 400, "invalid-request"),
        ("br", b"[]", 415, "unsupported-media-type"),
    ],
)
def test_refused_coding_has_the_problem_of_the_service(
    behind: Behind, coding: str, content: bytes, status: int, code: str
) -> None:
    """The accepted codings pass the proxy too."""
    response = behind.post(APP_PATH, content, Content_Type="application/json", Content_Encoding=coding)

    assert_problem(response, status, code)
    assert ("gzip, identity" if status == 415 else None) == response.headers.get("accept-encoding")


def test_event_in_headers_passes_a_proxy(behind: Behind, app: str) -> None:
    """Debian's defaults add headers of the client's address, and keep attributes, quotes and escapes."""
    event = cloud_event(app)
    headers = {f"ce-{name}": str(value) for name, value in event.items()}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    own = {"ce-note": '"a \\"quoted\\" %C3%B8"', "ce-traceparent": trace, "Expect": "100-continue"}
    response = behind.post(EVENTS_PATH, gzip.compress(b"bl\xc3\xa5"), **headers, **own, Content_Type="text/plain")
    (stored,) = behind.client.get(FEED.format(app), headers=behind.reader()).json()

    assert 200 == response.status_code, response.text
    expected = {**event, "note": 'a "quoted" ø', "traceparent": trace, "data": "blå", "datacontenttype": "text/plain"}
    assert expected == {name: stored[name] for name in expected}


def test_headers_of_a_reader_pass_a_proxy(behind: Behind, app: str) -> None:
    """A filter by a header selects the same events, and a cursor of a stream resumes."""
    events = [cloud_event(app, alternativesubject=f"/person/0183801234{each}") for each in (5, 6)]
    behind.publish(*events).raise_for_status()
    headers = {**behind.reader(), "Altinn-AlternativeSubject": "/person/01838012346"}
    page = behind.client.get(FEED.format(app), headers=headers)
    cursor = behind.client.get(f"{FEED.format(app)}&size=1", headers=behind.reader()).headers["feed-cursor"]
    resumed = behind.client.get(FEED.format(app), headers={**behind.reader(), "Last-Event-ID": cursor})

    assert [events[1]["id"]] == event_ids(page) == event_ids(resumed)


def test_wait_through_a_proxy_is_held_until_the_event(behind: Behind, app: str) -> None:
    """A client that asks for more than proxies hold gets 55 s."""
    url = behind.proxy.url + FEED.format(app)
    etag = httpx.get(url, headers=behind.reader()).headers["etag"]
    headers, event = {**behind.reader(), "Prefer": "wait=60", "If-None-Match": etag}, cloud_event(app)
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(httpx.get, url, headers=headers, timeout=REQUEST_SECONDS_MAX)
        is_held = not wait([poll], timeout=0.3).done
        behind.publish(event).raise_for_status()
        page = poll.result()

    assert is_held
    assert (200, "wait=55") == (page.status_code, page.headers["preference-applied"])
    assert [event["id"]] == event_ids(page)


def test_stream_through_a_proxy_is_not_buffered(behind: Behind, app: str) -> None:
    """Each event arrives before the next one is published."""
    url, headers = behind.proxy.url + FEED.format(app), {**behind.reader(), "Accept": "text/event-stream"}
    parser, messages, ids = StreamParser(), list[Message](), list[object]()
    with httpx.stream("GET", url, headers=headers, timeout=REQUEST_SECONDS_MAX) as response:
        chunks = response.iter_bytes()
        for _ in range(5):
            event = cloud_event(app)
            behind.publish(event).raise_for_status()
            ids.append(event["id"])
            while len(messages) < len(ids):
                messages += [each for each in parser.feed(next(chunks)) if each.data]

    assert ids == [json.loads(each.data)["id"] for each in messages]


def test_development_issuer_hides_behind_a_proxy(behind: Behind) -> None:
    """A client of the proxy would get the token of anybody."""
    response = behind.client.post("/development/maskinporten/token", data={"org_number": TTD, "scope": PUBLISH_SCOPE})

    assert_problem(response, 404, "not-found")


def test_consumer_resumes_after_a_restart_of_the_proxy(behind: Behind, app: str, tmp_path: Path) -> None:
    """It gets every event once and in order, on standard output and in its file."""
    output = tmp_path / "events"
    command = [COMMAND, "read", "app", f"ttd/{app}", "--follow", "--url", behind.proxy.url, "--output", str(output)]
    token = behind.service.token("altinn:events/ttd")
    process = subprocess.Popen(
        [*command, "--cursor-file", str(tmp_path / "cursor")], env=clean_environment(EVENTFEED_TOKEN=token)
    )
    events = [cloud_event(app) for _ in range(30)]
    try:
        for part in (events[:10], events[10:20], events[20:]):
            behind.publish(*part).raise_for_status()
            wait_until(partial(_has_line, output, str(part[-1]["id"])))
            behind.proxy.stop()
            behind.proxy.start()
    finally:
        process.terminate()
        process.wait()

    assert [event["id"] for event in events] == [json.loads(line)["id"] for line in output.read_bytes().splitlines()]


def _has_line(output: Path, event_id: str) -> bool:
    return output.exists() and event_id in output.read_text()
