"""The client believes nothing: each answer of a proxy, a wrong address or a broken service ends with words."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from eventfeed.cli import run
from eventfeed.cli.cursor_file import FilePosition
from eventfeed.client import (
    AsyncClient,
    Client,
    FeedError,
    OutOfOrderError,
    UnreachableError,
    app_feed,
    following,
    sender,
    wire,
)
from tests.service.client.answers import AFTER, BEFORE, ROWS, TWO_PAGES, Row
from tests.support.answering_server import Answer, answering_server

FEED = app_feed("ttd", "bolig")


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Retry without a pause, and wait less."""
    monkeypatch.setattr(sender, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(sender, "BACKOFF_SECONDS_MAX", 0.0)
    monkeypatch.setattr(following, "RESPONSE_SECONDS_MAX", 0.5)
    monkeypatch.setenv("EVENTFEED_TOKEN", "token")
    if "row" in request.fixturenames:
        monkeypatch.setattr(wire, "BODY_SECONDS_MAX", request.getfixturevalue("row").body_seconds)


def read_blocking(url: str) -> str:
    """Read with `Client`; return the last cursor."""
    with Client(url, token="token") as client:
        return [page.cursor for page in client.pages(FEED, after=BEFORE)][-1]


def read_async(url: str) -> str:
    """Read with `AsyncClient`; return the last cursor."""

    async def read() -> str:
        async with AsyncClient(url, token="token") as client:
            return [page.cursor async for page in client.pages(FEED, after=BEFORE)][-1]

    return asyncio.run(read())


@pytest.mark.parametrize("read", [read_blocking, read_async])
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_answer_is_an_error_or_a_page_for_the_library(row: Row, read: Callable[[str], str]) -> None:
    """An error has words. A page has its cursor."""
    with answering_server(*row.answers) as server:
        if not row.words:
            assert AFTER == read(server.url)
            return
        with pytest.raises(FeedError) as error:
            read(server.url)

    assert str(error.value)
    assert len(str(error.value)) < 2_000
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_answer_leaves_the_cursor_of_the_command(
    row: Row, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The command prints one message, exits with 1, and its cursor file stays. After a page the cursor moves."""
    file = tmp_path / "cursor"
    position = FilePosition(feed=str(FEED), cursor=BEFORE, output="", output_bytes=0)
    file.write_bytes(msgspec.json.encode(position))
    with answering_server(*row.answers) as server:
        code = run(["read", "app", "ttd/bolig", "--cursor-file", str(file), "--url", server.url])
    output, errors = capsysbinary.readouterr()

    assert row.words in errors.decode(), errors
    assert b"Traceback" not in errors
    assert (1 if row.words else 0, not row.words) == (code, bool(output))
    assert (BEFORE if row.words else AFTER) == msgspec.json.decode(file.read_bytes(), type=FilePosition).cursor


def test_second_response_on_a_connection_is_no_next_page() -> None:
    """The same page comes again: its cursor does not move, so the client stops."""
    cursors = list[str]()
    with (
        answering_server(Answer([TWO_PAGES], end="hold")) as server,
        Client(server.url, token="token") as client,
        pytest.raises(OutOfOrderError, match="cursor stays"),
    ):
        cursors.extend(page.cursor for page in client.pages(FEED, after=BEFORE))

    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    "chunk",
    [
        b"data: {}\n\n",
        b"id: a b\ndata: {}\n\n",
        b"id: x\x9b\ndata: {}\n\n",
        b"id: abcdefghijkl.7\ndata: nonsense\n\n",
        b'id: abcdefghijkl.7\ndata: {"id": "5", "type": "t", "sequence": "5"}\n\n',
        b"id: abcdefghijkl.7\n" + b"data: x\n" * 3_000_000,
        b"x" * 17_000_000,
    ],
    ids=["no id", "id with a space", "id with a control", "no JSON", "no source", "endless message", "endless line"],
)
def test_malformed_stream_is_an_error(chunk: bytes) -> None:
    """A few attempts later, the client stops with words."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    with (
        answering_server(Answer([head, chunk])) as server,
        Client(server.url, token="token") as client,
        pytest.raises(FeedError, match="not a page of a feed"),
    ):
        list(client.follow(FEED, after=BEFORE))

    assert 5 == len(server.requests)


@pytest.mark.parametrize("url", ["http://a..b", "http://[::1", "nonsense", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
def test_url_of_no_service_is_an_error(url: str) -> None:
    """The library raises its own error."""
    with pytest.raises(UnreachableError), Client(url) as client:
        list(client.read(FEED))


@pytest.mark.parametrize("token", ["se cret", "sæcret", "secret\n", "<html>"])
def test_text_that_is_no_token_is_an_error_without_it(token: str) -> None:
    """The token is not part of the message, and not sent."""
    with (
        answering_server(Answer([b""])) as server,
        Client(server.url, token=token) as client,
        pytest.raises(FeedError) as error,
    ):
        list(client.read(FEED))

    assert token not in str(error.value)
    assert [] == server.requests


def test_tls_to_a_plain_server_is_an_error() -> None:
    """The server answers without TLS."""
    with (
        answering_server(Answer([b"HTTP/1.1 400 Bad Request\r\n\r\n"])) as server,
        pytest.raises(UnreachableError, match="SSL"),
    ):
        list(Client(server.url.replace("http:", "https:")).read(FEED))
