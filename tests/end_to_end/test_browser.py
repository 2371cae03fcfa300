"""The service in a real browser: its own page, and a stream read by `EventSource`."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.end_to_end.test_publishing import APP, cloud_event, post
from tests.support.browser import dumped, looking_at
from tests.support.service import Served, bearer

SECONDS_MAX = 30.0
PAGE = b"""<!doctype html><title>feed</title><script>
const source = new EventSource("/feed?after=0");
let told = Promise.resolve();
source.onmessage = ({data, lastEventId}) => {
  const body = JSON.stringify({id: JSON.parse(data).id, cursor: lastEventId});
  told = told.then(() => fetch("/seen", {method: "POST", body}));
};
</script>"""


class Proxy(ThreadingHTTPServer):
    """What stands between a page and the service: it adds the token, and now and then breaks a stream."""

    daemon_threads = True

    def __init__(self, feed: str, token: str, *, break_after: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.feed, self.token, self.break_after = feed, token, break_after
        self.seen = list[dict[str, str]]()
        self.resumed = list[str]()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        """The page, or the stream of the feed."""
        if self.path == "/":
            self._answer(PAGE, "text/html")
        elif self.path.startswith("/feed"):
            self._stream()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """What the page has seen."""
        self.server.seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self._answer(b"", "text/plain")

    def _answer(self, body: bytes, media_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        sent = {**bearer(self.server.token), "Accept": self.headers["accept"]}
        if last := self.headers["last-event-id"]:
            sent["Last-Event-ID"] = last
            self.server.resumed.append(last)
        query = urlsplit(self.path).query
        with httpx.stream("GET", f"{self.server.feed}?{query}", headers=sent, timeout=SECONDS_MAX) as answer:
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["content-type"])
            self.end_headers()
            events = 0
            for line in answer.iter_lines():
                self.wfile.write(f"{line}\n".encode())
                self.wfile.flush()
                events += line.startswith("data:")
                if events == self.server.break_after:
                    return  # in the middle of an event

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxied(feed: str, token: str, *, break_after: int) -> Iterator[Proxy]:
    """A proxy while the block lasts."""
    with Proxy(feed, token, break_after=break_after) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


def test_the_api_can_be_read_in_a_browser(served: Served, tmp_path: Path) -> None:
    """The page at /schema shows the operations, with nothing fetched from elsewhere."""
    page = dumped(f"{served.url}/schema", profile=tmp_path)

    assert "The events of one app" in page
    assert "/events/api/v1/app/{org}/{app}" in page.replace("<wbr>", "")


@pytest.mark.timeout(120)
def test_an_event_source_reads_a_stream(served: Served, app: str, tmp_path: Path) -> None:
    """Everything once and in order, though its connection breaks after every fourth event."""
    events = [cloud_event(app) for _ in range(15)]
    post(served, APP, events[:7]).raise_for_status()
    token = served.token("altinn:events/ttd")
    with (
        proxied(f"{served.url}/events/api/v1/app/ttd/{app}", token, break_after=4) as proxy,
        looking_at(proxy.url, profile=tmp_path),
    ):
        deadline = time.monotonic() + SECONDS_MAX
        while len(proxy.seen) < len(events[:7]) and time.monotonic() < deadline:
            time.sleep(0.05)
        post(served, APP, events[7:]).raise_for_status()
        while len(proxy.seen) < len(events) and time.monotonic() < deadline:
            time.sleep(0.05)

    assert [event["id"] for event in events] == [each["id"] for each in proxy.seen]
    assert len(proxy.resumed) >= 3
    assert set(proxy.resumed) <= {each["cursor"] for each in proxy.seen}
