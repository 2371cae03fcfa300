"""The end of a connection: the one of the client that is named, and no other."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from eventfeed.http.connections import Connections
from tests.support.waiting import WAIT_SECONDS_MAX

# More than both ends of a connection take.
BODY = bytes(16 * 1024 * 1024)
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["127.0.0.1", "::1"])
def pairs(request: pytest.FixtureRequest) -> Iterator[list[Pair]]:
    """Three connections: the service's end and the client's."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listener, ExitStack() as stack:
        listener.bind((request.param, 0))
        listener.listen()
        ends = list[Pair]()
        for _ in range(3):
            client = stack.enter_context(socket.create_connection(listener.getsockname()[:2], WAIT_SECONDS_MAX))
            ends.append((stack.enter_context(listener.accept()[0]), client))
        yield ends


def scope_of(client: socket.socket) -> dict[str, object]:
    """The scope of a request of this client, as the server makes it."""
    address, port, *_ = client.getsockname()
    return {"client": (address, str(port))}


def read_to_end(client: socket.socket) -> None:
    """Read what the service has sent."""
    while client.recv(len(BODY)):
        pass


async def test_connection_that_is_reset_ends_for_both_sides(pairs: list[Pair]) -> None:
    """The server reads its end at once. The client loses what was not sent, and the others nothing."""
    (end, client), *others = pairs
    end.setblocking(False)
    while len(BODY) == end.send(BODY):
        pass
    await Connections().reset(scope_of(client))
    received = end.recv(1)
    end.close()
    with pytest.raises(ConnectionResetError):
        read_to_end(client)
    for service, other in others:
        service.sendall(b"x")
        received += other.recv(1)

    assert b"xx" == received


async def test_connections_are_reset_together(pairs: list[Pair], tmp_path: Path) -> None:
    """One that is gone is no failure, and neither is a file."""
    connections, scopes = Connections(), [scope_of(client) for _, client in pairs]
    pairs[0][0].close()
    with (tmp_path / "file").open("w"):
        await asyncio.gather(*map(connections.reset, scopes))

    assert [b"", b""] == [end.recv(1) for end, _ in pairs[1:]]
