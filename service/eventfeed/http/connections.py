"""Connections of clients, and their end.

ASGI has no message that closes a connection. If an application stops in the middle of a response, the server keeps the
connection and what it has taken of the body until the client reads. So the socket is found by the client's address.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from eventfeed.single_flight import SingleFlight

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
        """Reset the connection of a request. The server then sees that the client is gone."""
        address, port = scope["client"]
        self._clients.add((ip_address(address), int(port)))
        await self._passes.run_after(self._reset_all)

    async def _reset_all(self) -> None:
        clients, self._clients = self._clients, set()
        if clients:
            await asyncio.to_thread(_reset, clients)


def _reset(clients: Collection[_Client]) -> None:
    ports = {port for _, port in clients}
    for file in FILES.iterdir():
        # Most files are no sockets, or those of other connections. Any address fits AF_INET6.
        with (
            contextlib.suppress(OSError, ValueError),
            socket.fromfd(int(file.name), socket.AF_INET6, socket.SOCK_STREAM) as connection,
        ):
            address, port, *_ = connection.getpeername()
            if port in ports and (ip_address(address.partition("%")[0]), port) in clients:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
                connection.shutdown(socket.SHUT_RDWR)
