"""A service that breaks its word: between readers and the real one, pages of events are changed on their way."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, urlsplit

# So many pages that could be changed are left alone before one is.
EVERY = 3


class Answer(NamedTuple):
    """A page on its way: to a GET or a POST, from which cursor it was asked for, and what it says."""

    method: str
    after: str
    headers: Mapping[str, str]
    page: Sequence[Mapping[str, Any]]


class Fault(NamedTuple):
    """What is done to one page in so many, of those with so many events at least."""

    change: Callable[[Answer], Answer]
    every: int = EVERY
    events: int = 2


def dropped(answer: Answer) -> Answer:
    """One is missing."""
    return answer._replace(page=[*answer.page[:1], *answer.page[2:]])


def doubled(answer: Answer) -> Answer:
    """One is there twice."""
    return answer._replace(page=[answer.page[0], *answer.page])


def reordered(answer: Answer) -> Answer:
    """Two have changed places."""
    return answer._replace(page=[answer.page[1], answer.page[0], *answer.page[2:]])


def of_another(answer: Answer) -> Answer:
    """One is somebody else's."""
    other = {"subject": "/party/59999999", "source": "https://skd.apps.example.no/skd/other/instances/59999999/x"}
    return answer._replace(page=[{**answer.page[0], **other}, *answer.page[1:]])


def standing_still(answer: Answer) -> Answer:
    """A feed that is asked for with a POST has nothing new, whatever happens."""
    if answer.method != "POST":
        return answer
    log = answer.headers["feed-cursor"].partition(".")[0]
    told = {"feed-cursor": answer.after or f"{log}.0", "feed-more": "false"}
    return answer._replace(headers={**answer.headers, **told}, page=[])


def rotated(answer: Answer) -> Answer:
    """Each is at the place of the one before it."""
    ids = [event["id"] for event in answer.page]
    turned = zip(answer.page, [*ids[1:], ids[0]], strict=True)
    return answer._replace(page=[{**event, "id": other} for event, other in turned])


def unreadable(answer: Answer) -> Answer:
    """It does not say whether there is more."""
    return answer._replace(headers={name: each for name, each in answer.headers.items() if name != "feed-more"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: ClassVar[str]
    fault: ClassVar[Fault]
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
        told, found = self._changed(answer, answer.read())
        self.send_response_only(answer.status)
        for name, value in told.items():
            if name != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def do_POST(self) -> None:
        """The same."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _changed(self, answer: HTTPResponse, body: bytes) -> tuple[Mapping[str, str], bytes]:
        headers = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status != 200 or "feed-cursor" not in headers:
            return headers, body
        page = json.loads(body)
        if len(page) < self.fault.events:
            return headers, body
        with self.lock:
            self.changeable[0] += 1
            if self.changeable[0] % self.fault.every:
                return headers, body
        after = parse_qs(urlsplit(self.path).query).get("after", [""])[0]
        changed = self.fault.change(Answer(self.command, after, headers, page))
        return changed.headers, json.dumps(changed.page).encode()


@contextmanager
def planted(url: str, fault: Fault) -> Iterator[str]:
    """The address of a service like the one at `url`, but for what is done to some of its pages."""
    attributes = {"upstream": url, "fault": fault, "lock": threading.Lock(), "changeable": [0]}
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
