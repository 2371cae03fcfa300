"""A proxy between readers and the service that changes some pages, so that the service seems to break its contract."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, urlsplit

# One in this many pages that the fault can change is changed.
PAGES_PER_CHANGE = 3


class Response(NamedTuple):
    """A page, with the method and the cursor of its request."""

    method: str
    after: str
    headers: Mapping[str, str]
    page: Sequence[Mapping[str, Any]]


class Fault(NamedTuple):
    """The change of one in `every` pages with at least this many events."""

    change: Callable[[Response], Response]
    every: int = PAGES_PER_CHANGE
    events: int = 2


def drop_event(response: Response) -> Response:
    """Remove one event."""
    return response._replace(page=[*response.page[:1], *response.page[2:]])


def repeat_event(response: Response) -> Response:
    """Add one event twice."""
    return response._replace(page=[response.page[0], *response.page])


def swap_events(response: Response) -> Response:
    """Swap two events."""
    return response._replace(page=[response.page[1], response.page[0], *response.page[2:]])


def replace_party(response: Response) -> Response:
    """Change the party of one event."""
    other = {"subject": "/party/59999999", "source": "https://skd.apps.example.no/skd/other/instances/59999999/x"}
    return response._replace(page=[{**response.page[0], **other}, *response.page[1:]])


def stop_feed(response: Response) -> Response:
    """Respond to every POST with an empty page and the cursor of the request."""
    if response.method != "POST":
        return response
    log = response.headers["feed-cursor"].partition(".")[0]
    changes = {"feed-cursor": response.after or f"{log}.0", "feed-more": "false"}
    return response._replace(headers={**response.headers, **changes}, page=[])


def rotate_ids(response: Response) -> Response:
    """Give each event the id of the next one."""
    ids = [event["id"] for event in response.page]
    pairs = zip(response.page, [*ids[1:], ids[0]], strict=True)
    return response._replace(page=[{**event, "id": other} for event, other in pairs])


def remove_header(response: Response) -> Response:
    """Remove `Feed-More`."""
    return response._replace(headers={name: each for name, each in response.headers.items() if name != "feed-more"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: ClassVar[str]
    fault: ClassVar[Fault]
    lock: ClassVar[threading.Lock]
    pages: ClassVar[list[int]]

    def handle(self) -> None:
        """Serve one connection, with a connection of its own to the service."""
        self.upstream_connection = HTTPConnection(urlsplit(self.upstream).netloc, timeout=120)
        try:
            super().handle()
        except (ConnectionError, BrokenPipeError):
            pass
        finally:
            self.upstream_connection.close()

    def do_GET(self) -> None:
        """Pass the request on, and the response back, perhaps with a change."""
        request_body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request_headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        self.upstream_connection.request(self.command, self.path, request_body, request_headers)
        response = self.upstream_connection.getresponse()
        headers, body = self._change(response, response.read())
        self.send_response_only(response.status)
        for name, value in headers.items():
            if name != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Pass the request on like a GET."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _change(self, response: HTTPResponse, body: bytes) -> tuple[Mapping[str, str], bytes]:
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status != 200 or "feed-cursor" not in headers:
            return headers, body
        page = json.loads(body)
        if len(page) < self.fault.events:
            return headers, body
        with self.lock:
            self.pages[0] += 1
            if self.pages[0] % self.fault.every:
                return headers, body
        after = parse_qs(urlsplit(self.path).query).get("after", [""])[0]
        change = self.fault.change(Response(self.command, after, headers, page))
        return change.headers, json.dumps(change.page).encode()


@contextmanager
def faulty_proxy(url: str, fault: Fault) -> Iterator[str]:
    """Run a proxy for the service at `url` with this fault while the block lasts. Yields the proxy's URL."""
    attributes = {"upstream": url, "fault": fault, "lock": threading.Lock(), "pages": [0]}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), attributes))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
