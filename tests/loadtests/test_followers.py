"""The followers of the benchmark: what they count, and their limit of open files."""

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from loadtests.benchmark.followers import followers, open_files_shortage

HEAD = b"HTTP/1.0 200 OK\r\n\r\nretry: 2000\n\n"


@contextmanager
def sending_server(*parts: bytes) -> Iterator[str]:
    """Run a server that sends these parts, one after another, to one client, and then waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(2**16)
                for part in parts:
                    connection.sendall(part)
                    # The parts arrive apart. Together they would mean the same.
                    time.sleep(0.05)
                end.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            end.set()
            thread.join()


def message(publish_time: int) -> bytes:
    """An event published at this time."""
    return b'id: 1\ndata: {"id":"%d-x","specversion":"1.0"}\n\n' % publish_time


def test_followers_count_each_event_once_wherever_a_part_ends() -> None:
    """An id may be divided between two parts, and several events may arrive in one."""
    start = time.monotonic_ns()
    text = message(start) + message(start) + message(start)
    cut = text.index(b'"id":"', 60) + 9
    with (
        sending_server(HEAD + text[:cut], text[cut:]) as url,
        followers(url, b"GET / HTTP/1.0\r\n\r\n", number=1) as all_,
    ):
        all_.wait_for(3)
        delays = all_.take_delays()

        assert 3 == len(delays)
        assert all(0 < delay < time.monotonic_ns() - start for delay in delays)
        assert 0 == len(all_.take_delays())
        assert 3 == all_.deliveries


def test_follower_that_is_refused_is_an_error() -> None:
    """A response without a stream ends the measurement."""
    with (
        sending_server(b"HTTP/1.0 429 Too Many Requests\r\n\r\n") as url,
        pytest.raises(RuntimeError, match="0 streams opened, 0 events arrived, 1 errors"),
        followers(url, b"GET / HTTP/1.0\r\n\r\n", number=1),
    ):
        pass


def test_low_limit_of_open_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the number that is needed, and the limit."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)

    assert "" == open_files_shortage(3_796)
    assert "19,000 followers need 19,300 open files, the limit is 4,096: see `ulimit -Hn`" == open_files_shortage(
        19_000
    )
