"""A service that breaks its word: between readers and the real one, pages of events are changed on their way."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

Page = list[dict[str, Any]]
# So many pages that could be changed are left alone before one is.
EVERY = 3


def dropped(page: Page) -> Page:
    """One is missing."""
    return [*page[:1], *page[2:]]


def doubled(page: Page) -> Page:
    """One is there twice."""
    return [page[0], *page]


def reordered(page: Page) -> Page:
    """Two have changed places."""
    return [page[1], page[0], *page[2:]]


def of_another(page: Page) -> Page:
    """One is somebody else's."""
    other = {"subject": "/party/59999999", "source": "https://skd.apps.example.no/skd/other/instances/59999999/x"}
    return [{**page[0], **other}, *page[1:]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: ClassVar[str]
    change: ClassVar[Callable[[Page], Page]]
    lock: ClassVar[threading.Lock]
    changeable: ClassVar[list[int]]

    def handle(self) -> None:
        """One connection, and one of its own to the service."""
        self.connection_up = HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            super().handle()
        except (ConnectionError, BrokenPipeError):
            pass
        finally:
            self.connection_up.close()

    def do_GET(self) -> None:
        """Pass it on, and the answer back, perhaps changed."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        self.connection_up.request(self.command, self.path, body, headers)
        answer = self.connection_up.getresponse()
        found = self._changed(answer, answer.read())
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def do_POST(self) -> None:
        """The same."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _changed(self, answer: HTTPResponse, body: bytes) -> bytes:
        if answer.status != 200 or "cloudevents-batch" not in answer.headers.get("content-type", ""):
            return body
        page = json.loads(body)
        if len(page) < 2:
            return body
        with self.lock:
            self.changeable[0] += 1
            if self.changeable[0] % EVERY:
                return body
        return json.dumps(type(self).change(page)).encode()


@contextmanager
def planted(url: str, change: Callable[[Page], Page]) -> Iterator[str]:
    """The address of a service like the one at `url`, but for what is done to some of its pages."""
    attributes = {"upstream": url, "change": staticmethod(change), "lock": threading.Lock(), "changeable": [0]}
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
