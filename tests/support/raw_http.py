"""Requests as bytes over a socket: with targets and framing that no HTTP client would send."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from tests.support.service import REQUEST_SECONDS_MAX


def exchange_bytes(url: str, request: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes to the service at this URL, and return what it sends until it closes the connection.

    With `half_close`, shut down the sending side after the request.
    """
    address, response = urlsplit(url), b""
    target = (address.hostname, address.port)
    with socket.create_connection(target, timeout=REQUEST_SECONDS_MAX) as connection, suppress(ConnectionError):
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65_536):
            response += part
    return response


def exchange(url: str, method: str, target: str, headers: Mapping[str, str], *, half_close: bool = False) -> str:
    """Send a request without a body whose target is not changed, and return the whole response."""
    lines = {"Host": urlsplit(url).netloc, "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    request = f"{method} {target} HTTP/1.1\r\n{head}\r\n"
    return exchange_bytes(url, request.encode("latin-1"), half_close=half_close).decode("latin-1")
