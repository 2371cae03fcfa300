"""The processes of the systems: they are ready before a load begins, and a failed start has its reason."""

import socket
import threading
from pathlib import Path

import pytest
from loadtests.benchmark.servers import free_port

from loadtests.peers import systems


@pytest.mark.parametrize(
    ("response", "is_ready"), [(b"-LOADING Redis is loading the dataset in memory\r\n", False), (b"+PONG\r\n", True)]
)
def test_redis_is_ready_when_its_file_is_in_memory(response: bytes, *, is_ready: bool) -> None:
    """It listens before, and Centrifugo would end at its refusal."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(response)

        thread = threading.Thread(target=respond)
        thread.start()
        result = systems._responds(listener.getsockname()[1])
        thread.join()

    assert is_ready == result


def test_redis_that_does_not_listen_is_not_ready() -> None:
    """A refused connection is no failure."""
    assert not systems._responds(free_port())


def test_program_that_ends_at_its_start_is_named_with_its_reason(tmp_path: Path) -> None:
    """The end of its log is in the message."""
    file = tmp_path / "server"
    file.write_text("#!/bin/sh\necho 'no such folder' >&2\nexit 3\n")
    file.chmod(0o755)

    with (
        pytest.raises(RuntimeError, match="server did not start: no such folder"),
        systems._process([str(file)], tmp_path, port=free_port()),
    ):
        pass
