"""A server of raw bytes: a double of proxies, wrong addresses and broken services.

It reads a request as RFC 9112 §2.2 and §6.2 describe it: a head up to an empty line, and a body of Content-Length
bytes. Then it sends the next answer, byte for byte, and closes the connection, as RFC 9112 §9.6 allows after any
response. After the last answer it repeats that answer.
"""

import re
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """Bytes to send, `pause` seconds between the parts, and then the end: close, reset (RST), or hold until the end."""

    parts: Sequence[bytes]
    pause: float = 0.0
    end: str = "close"


class AnsweringServer:
    """Sends answers on loopback, one for each request. `requests` are the heads and bodies that came."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers, self._stop, self._lock = answers, threading.Event(), threading.Lock()
        self.requests = list[bytes]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        """Accept connections until the server is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop, and end all pauses."""
        self._stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not (request := _read_request(connection)):
                return
            with self._lock:
                answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
                self.requests.append(request)
            for part in answer.parts:
                connection.sendall(part)
                if answer.pause and self._stop.wait(answer.pause):
                    return
            if answer.end == "hold":
                self._stop.wait()
            if answer.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


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
def answering_server(*answers: Answer) -> Iterator[AnsweringServer]:
    """Run a server while the block lasts."""
    server = AnsweringServer(answers)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
