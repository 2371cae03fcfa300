"""The service in a real browser: its own page, and a stream read by `EventSource`."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support.browser import controlled_window, open_window, rendered_document
from tests.support.publishing import APP_PATH, cloud_event, post_events
from tests.support.service import REQUEST_SECONDS_MAX, RunningService, bearer
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SNIPPET = re.findall(r"```javascript\n(.*?)```", (ROOT / "docs" / "consuming.md").read_text(), re.DOTALL)[0]
PAGE = f"""<!doctype html><title>feed</title><script>
const cursor = "0";
let done = Promise.resolve();
const show = (event, cursor) => {{
  const body = JSON.stringify({{id: event.id, cursor}});
  done = done.then(() => fetch("/events", {{method: "POST", body}}));
}};
{SNIPPET.replace("/my-proxy/feed", "/feed")}
</script>""".encode()


class Proxy(ThreadingHTTPServer):
    """A proxy between a page and the service. It adds the token, and breaks streams."""

    daemon_threads = True

    def __init__(self, feed: str, token: str, *, break_after: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.feed, self.token, self.break_after = feed, token, break_after
        self.events = list[dict[str, str]]()
        self.last_event_ids = list[str]()

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        """Send the page, or the stream of the feed."""
        if self.path == "/":
            self._respond(PAGE, "text/html")
        elif self.path.startswith("/feed"):
            self._stream()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Record an event that the page received."""
        self.server.events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self._respond(b"", "text/plain")

    def _respond(self, body: bytes, media_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        headers = {**bearer(self.server.token), "Accept": self.headers["accept"]}
        if last := self.headers["last-event-id"]:
            headers["Last-Event-ID"] = last
            self.server.last_event_ids.append(last)
        query = urlsplit(self.path).query
        with httpx.stream(
            "GET", f"{self.server.feed}?{query}", headers=headers, timeout=REQUEST_SECONDS_MAX
        ) as response:
            self.send_response(response.status_code)
            self.send_header("Content-Type", response.headers["content-type"])
            self.end_headers()
            events = 0
            for line in response.iter_lines():
                self.wfile.write(f"{line}\n".encode())
                self.wfile.flush()
                events += line.startswith("data:")
                if events == self.server.break_after:
                    return  # in the middle of an event

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def running_proxy(feed: str, token: str, *, break_after: int) -> Iterator[Proxy]:
    """Run a proxy while the block lasts."""
    with Proxy(feed, token, break_after=break_after) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


def test_schema_page_renders_in_a_browser(service: RunningService, tmp_path: Path) -> None:
    """The page shows the operations, without any file from elsewhere."""
    page = rendered_document(f"{service.url}/schema", profile=tmp_path)

    assert "The events of one app" in page
    assert "/events/api/v1/app/{org}/{app}" in page.replace("<wbr>", "")


def test_schema_page_is_readable_and_explains_tokens(service: RunningService, tmp_path: Path) -> None:
    """Every text has enough contrast, also inside an operation. The first address that is printed leads here."""
    with controlled_window(profile=tmp_path) as window:
        window.load(f"{service.url}/", until="document.querySelectorAll('.opblock').length > 5")
        path = window.evaluate("location.pathname")
        window.evaluate(
            "[...document.querySelectorAll('.opblock-summary-control')].slice(0, 3).forEach(e => e.click())"
        )
        window.wait_until("document.querySelectorAll('.opblock-body .parameters').length > 0")
        window.evaluate("[...document.getAnimations()].forEach(each => each.finish())")
        faults, text = window.contrast_faults(), window.evaluate("document.body.innerText")

    assert "/schema" == path
    assert [] == faults
    assert "eventfeed token maskinporten" in text


def test_event_source_reads_a_broken_stream_completely(service: RunningService, app: str, tmp_path: Path) -> None:
    """The page gets every event once and in order, although its stream breaks after every fourth event."""
    events = [cloud_event(app) for _ in range(15)]
    post_events(service, APP_PATH, events[:7]).raise_for_status()
    token = service.token("altinn:events/ttd")
    with (
        running_proxy(f"{service.url}/events/api/v1/app/ttd/{app}", token, break_after=4) as proxy,
        open_window(proxy.url, profile=tmp_path),
    ):
        wait_until(lambda: len(proxy.events) >= len(events[:7]))
        post_events(service, APP_PATH, events[7:]).raise_for_status()
        wait_until(lambda: len(proxy.events) >= len(events))

    assert [event["id"] for event in events] == [each["id"] for each in proxy.events]
    assert len(proxy.last_event_ids) >= 3
    assert set(proxy.last_event_ids) <= {each["cursor"] for each in proxy.events}
