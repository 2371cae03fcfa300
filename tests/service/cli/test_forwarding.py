"""Forwarding believes nothing of the receiver, and shows no secret of its address."""

import time
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from eventfeed.cli import run
from eventfeed.cli.forwarding import Forwarder
from eventfeed.client import Event
from eventfeed.client.events import parse_event
from eventfeed.client.sender import BACKOFF_SECONDS
from tests.service.client.answers import AFTER, event, http
from tests.support.answering_server import Answer, answering_server

ACCEPTED = http("204 No Content")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    pauses = list[float]()
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def an_event() -> Event:
    """Return an event."""
    return parse_event(event()[1:-1], cursor=AFTER)


def forward(url: str, *, authorization: Path | None = None, without_limit: bool = True) -> None:
    """Forward one event."""
    Forwarder(url, authorization=authorization, without_limit=without_limit).forward(an_event())


@pytest.mark.parametrize(
    "body",
    [
        http("200 OK", b"plain", Content_Encoding="gzip"),
        http("200 OK", b"x" * 1_000_000),
        http("202 Accepted", b"\xff"),
    ],
    ids=["wrong coding", "long", "no text"],
)
def test_body_of_a_response_is_not_read_as_text(body: bytes) -> None:
    """The status says that the event is accepted."""
    with answering_server(Answer([body])) as server:
        forward(server.url)

    assert 1 == len(server.requests)


def test_receiver_that_is_gone_ends_the_command_at_once() -> None:
    """410 says that no repeat helps."""
    with (
        answering_server(Answer([http("410 Gone")])) as server,
        pytest.raises(click.ClickException, match="status 410"),
    ):
        forward(server.url)

    assert 1 == len(server.requests)


@pytest.mark.parametrize("status", ["301 Moved", "400 Bad Request", "401 Unauthorized", "404 Not Found"])
def test_permanent_refusal_ends_the_command_after_ten_attempts(status: str) -> None:
    """A redirect is not followed: the event may contain personal data."""
    with (
        answering_server(Answer([http(status, Location="/x")])) as server,
        pytest.raises(click.ClickException, match=status[:3]),
    ):
        forward(server.url)

    assert 10 == len(server.requests)


@pytest.mark.parametrize(
    "answers", [[Answer([http("503 Unavailable")])] * 30, [Answer([b""])] * 30, [Answer([http("429 Slow")])] * 30]
)
def test_temporary_refusal_is_repeated_without_a_limit(answers: Sequence[Answer]) -> None:
    """The event is accepted in the end."""
    with answering_server(*answers, Answer([ACCEPTED])) as server:
        forward(server.url)

    assert 31 == len(server.requests)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 59.0),
        ("Fri, 31 Dec 2049 23:59:59 GMT", 300.0),
        ("999999", 300.0),
        ("soon", 0.0),
        ("-5", 0.0),
    ],
)
def test_retry_after_is_obeyed(pauses: list[float], value: str, seconds: float) -> None:
    """As seconds or as a date, at most five minutes (RFC 9110 §10.2.3)."""
    refusal = http("503 Unavailable", Retry_After=value, Date="Fri, 31 Dec 1999 23:59:00 GMT")
    with answering_server(Answer([refusal]), Answer([ACCEPTED])) as server:
        forward(server.url)

    assert seconds == pytest.approx(pauses[0], abs=BACKOFF_SECONDS)


def test_authorization_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    """A token can be replaced while the command runs."""
    file = tmp_path / "authorization"
    file.write_text("Bearer first\n")
    with answering_server(Answer([ACCEPTED])) as server:
        forwarder = Forwarder(server.url, authorization=file, without_limit=True)
        forwarder.forward(an_event())
        file.write_text("Bearer second\n")
        forwarder.forward(an_event())

    assert [True, True] == [
        f"Authorization: Bearer {word}".encode() in request
        for word, request in zip(["first", "second"], server.requests, strict=True)
    ]


@pytest.mark.parametrize("content", ["", "two\nlines", "æ", "\x1b"])
def test_authorization_that_is_no_header_is_refused(tmp_path: Path, content: str) -> None:
    """Nothing is sent."""
    file = tmp_path / "authorization"
    file.write_text(content)
    with answering_server(Answer([ACCEPTED])) as server, pytest.raises(click.ClickException, match="not the value"):
        forward(server.url, authorization=file)

    assert [] == server.requests


def test_message_does_not_contain_secrets_of_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a password nor a query."""
    with answering_server(Answer([http("500 Error")])) as server:
        url = server.url.replace("http://", "http://user:sesame@") + "/hook?access_token=sesame"
        with pytest.raises(click.ClickException) as error:
            forward(url, without_limit=False)

    assert f"{server.url}/hook" in error.value.message
    assert "sesame" not in error.value.message + capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "ftp://x:sesame@y/", "http://[::1:sesame", "http://x:99999/", "sesame"]
)
def test_invalid_address_ends_with_exit_code_2(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message does not repeat the address, and no request is sent."""
    with answering_server(Answer([b""])) as server:
        code = run(["read", "app", "ttd/a", "--forward-to", url, "--url", server.url])
    errors = capsys.readouterr().err

    assert (2, []) == (code, server.requests)
    assert "sesame" not in errors
