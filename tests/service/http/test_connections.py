"""The end of a connection: the one of the client that is named, and no other."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from eventfeed.http import connections as module
from eventfeed.http.connections import FILES, Connections
from tests.support.engines import open_sqlite_log
from tests.support.events import entries
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


async def test_reset_leaves_other_files_as_they_are(pairs: list[Pair], tmp_path: Path) -> None:
    """No file is opened or closed, and a store keeps its locks: without them another process removes its log."""
    connections, read = Connections(), f"import apsw; apsw.Connection({str(tmp_path / 'log.db')!r}).execute('SELECT 1')"
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append(entries(1, 3), after=0)
        before = os.listdir(FILES)  # noqa: PTH208  # names only
        for _, client in pairs[:2]:
            await connections.reset(scope_of(client))
        after = os.listdir(FILES)  # noqa: PTH208  # names only
        reader = [sys.executable, "-c", f"{read}.fetchall()"]
        await asyncio.to_thread(lambda: subprocess.run(reader, check=True))
        has_log = (tmp_path / "log.db-wal").exists()

    assert len(before) == len(after)
    assert has_log


async def test_file_that_took_the_number_of_a_connection_stays_open(pairs: list[Pair], tmp_path: Path) -> None:
    """Closing a copy of it would release the locks of this process on it."""
    client = module._client_of(pairs[0][0].fileno())
    assert client is not None
    with (tmp_path / "file").open("w") as file:
        copy = os.dup(file.fileno())
        module._reset_socket(copy, {client})
        os.close(copy)


async def test_connection_whose_request_goes_on_is_not_reset(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client took the part meanwhile: the connection may serve another request."""
    looked_at, may_go_on = asyncio.Event(), asyncio.Event()

    async def in_thread(function: Callable[[object], None], clients: object) -> None:
        looked_at.set()
        await may_go_on.wait()
        function(clients)

    monkeypatch.setattr(asyncio, "to_thread", in_thread)
    connections = Connections()
    tasks = [asyncio.create_task(connections.reset(scope_of(client))) for _, client in pairs[:2]]
    await looked_at.wait()
    tasks[0].cancel()
    await asyncio.sleep(0)
    may_go_on.set()
    await tasks[1]
    (end, client), (_, other), _ = pairs
    end.sendall(b"x")

    assert (b"x", b"") == (client.recv(1), other.recv(1) if _is_open(other) else b"")


async def test_failed_pass_is_no_failure_of_the_next_one(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without free files tries again, and its log has a line."""
    connections = Connections()
    with monkeypatch.context() as context:
        context.setattr(module, "FILES", Path("/nowhere"))
        await connections.reset(scope_of(pairs[0][1]))
    await connections.reset(scope_of(pairs[1][1]))
    pairs[0][0].sendall(b"x")

    assert (b"x", b"") == (pairs[0][1].recv(1), pairs[1][0].recv(1))


def _is_open(connection: socket.socket) -> bool:
    """True unless the other end was reset."""
    try:
        connection.send(b"")
        connection.recv(1, socket.MSG_PEEK)
    except ConnectionResetError:
        return False
    return True
