"""Connections of clients, and their end.

ASGI has no message that closes a connection. If an application stops in the middle of a response, the server keeps the
connection and what it has taken of the body until the client reads. So the socket is found by the client's address.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from eventfeed.single_flight import SingleFlight

_log = logging.getLogger(__name__)

# The open files of this process, on Linux and macOS.
FILES = Path("/dev/fd")
# Closing drops what was not sent, and tells the client so by a reset (socket(7), SO_LINGER).
_DROP_UNSENT = struct.pack("ii", 1, 0)

# Resets the connection of a request (its ASGI scope).
Reset = Callable[[Any], Awaitable[None]]
# Address and port.
_Client = tuple[IPv4Address | IPv6Address, int]


class Connections:
    """Resets connections of this process. One pass over its files serves all that are to be reset at the time."""

    def __init__(self) -> None:
        self._clients = set[_Client]()
        self._passes = SingleFlight[None]()

    async def reset(self, scope: Any) -> None:
        """Reset the connection of a request. The server then sees that the client is gone.

        Cancel it once the client has taken what was sent: its connection may serve another request then.
        """
        address, port = scope["client"]
        client = (ip_address(address), int(port))
        self._clients.add(client)
        try:
            await self._passes.run_after(self._reset_all)
        finally:
            self._clients.discard(client)

    async def _reset_all(self) -> None:
        try:
            await asyncio.to_thread(_reset, self._clients)
        except OSError as failure:  # its callers try again
            _log.warning("connections that take nothing could not be reset: %s", failure)


def _reset(clients: Collection[_Client]) -> None:
    """Reset the connections of these clients, which may become fewer meanwhile."""
    for file in FILES.iterdir():
        if _client_of(int(file.name)) in clients:
            _reset_socket(os.dup(int(file.name)), clients)


def _client_of(descriptor: int) -> _Client | None:
    """Return the other end of a descriptor, None if it is no connection. The descriptor stays as it is."""
    try:  # any address fits AF_INET6
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, fileno=descriptor)
    except OSError:
        return None
    try:
        address, port, *_ = connection.getpeername()
        return ip_address(str(address).partition("%")[0]), int(port)
    except (OSError, ValueError):
        return None
    finally:
        connection.detach()


def _reset_socket(copy: int, clients: Collection[_Client]) -> None:
    """Reset the connection of a copied descriptor, and close the copy.

    The number may have become that of a file since it was looked at. Closing a copy of a file of SQLite would release
    this process's locks on it (fcntl(2)), and another process could remove the write-ahead log: so it stays open.
    """
    if not stat.S_ISSOCK(os.fstat(copy).st_mode):
        return
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM, fileno=copy) as connection:
        if _client_of(copy) in clients:
            with contextlib.suppress(OSError):  # the client has closed it
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
                connection.shutdown(socket.SHUT_RDWR)
