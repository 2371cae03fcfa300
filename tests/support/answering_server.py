"""A server of raw bytes: a double of proxies, wrong addresses and broken services.

It reads a request as RFC 9112 §2.2 and §6.2 describe it: a head up to an empty line, and a body of Content-Length
bytes. Then it sends the next answer, byte for byte, and closes the connection, as RFC 9112 §9.6 allows after any
response. After the last answer it repeats that answer.
"""

import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

REFUSAL_SECONDS = 1.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """Bytes to send, `pause` seconds between the parts, and then the end of the connection.

    The end is `close`, `reset` (RST), `hold` until the end of the server, or `refuse`: the server refuses connections
    for a second.
    """

    parts: Sequence[bytes]
    pause: float = 0.0
    end: str = "close"


class AnsweringServer:
    """Sends answers on loopback, one for each request. `requests` are the heads and bodies that came.

    A request that contains a text of `routes` gets the answer of that text instead, and is not in `requests`.
    """

    def __init__(self, answers: Sequence[Answer], routes: Mapping[bytes, Answer]) -> None:
        self._answers, self._routes = answers, routes
        self._stop, self._lock = threading.Event(), threading.Lock()
        self.requests = list[bytes]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        """Accept connections until the server is closed."""
        address = self._listener.getsockname()
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                if not self._stop.wait(REFUSAL_SECONDS):
                    self._listener = socket.create_server(address)
            else:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop, and end all pauses."""
        self._stop.set()
        self._close_listener()

    def _close_listener(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not (request := _read_request(connection)):
                return
            answer = self._answer(request)
            for part in answer.parts:
                connection.sendall(part)
                if answer.pause and self._stop.wait(answer.pause):
                    return
            if answer.end == "refuse":
                self._close_listener()
            if answer.end == "hold":
                self._stop.wait()
            if answer.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _answer(self, request: bytes) -> Answer:
        for text, answer in self._routes.items():
            if text in request:
                return answer
        with self._lock:
            self.requests.append(request)
            return self._answers[min(len(self.requests), len(self._answers)) - 1]


def _read_request(connection: socket.socket) -> bytes:
    """Return a request; what came of it if the client closes the connection or speaks another protocol."""
    request = b""
    while b"\r\n\r\n" not in request:
        chunk = connection.recv(65_536)
        request += chunk
        if not chunk or request.startswith(b"\x16"):  # a TLS handshake (RFC 8446 §5.1)
            return request
    head, _, body = request.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    while length and len(body) < int(length[1]) and (chunk := connection.recv(65_536)):
        body += chunk
    return head + b"\r\n\r\n" + body


@contextmanager
def answering_server(*answers: Answer, routes: Mapping[bytes, Answer] | None = None) -> Iterator[AnsweringServer]:
    """Run a server while the block lasts."""
    server = AnsweringServer(answers, routes or {})
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
