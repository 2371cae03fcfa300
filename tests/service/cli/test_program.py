"""The border of the command line: one message and an exit code for each failure, in every command."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from eventfeed.cli import run
from eventfeed.cli.commands import main
from eventfeed.cli.publish import LINE_BYTES_MAX, Lines
from eventfeed.cli.terminal import count_of_events, escape_controls
from eventfeed.client.publishing import TEXT_BYTES_MAX
from tests.service.client.answers import AFTER, GOOD, event, http, page
from tests.support.answering_server import Answer, answering_server
from tests.support.service import COMMAND, clean_environment
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

CONTROLS = "\x1b]0;t\x07\x9b31m\u202e\u2066\u200f\x7f\u2028"


def commands(group: click.Group, words: Sequence[str] = ()) -> Iterator[tuple[Sequence[str], click.Command]]:
    """Yield every command below a group, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, [*words, name])
        else:
            yield [*words, name], command


def with_value(words: Sequence[str], command: click.Command, option: click.Option, value: str) -> list[str]:
    """Return a command line with all required options, and this value of an option."""
    required = [each for each in command.params if isinstance(each, click.Option) and each.required and each != option]
    # A digit is a valid number and a valid text.
    values = {max(each.opts, key=len): "1" for each in required} | {max(option.opts, key=len): value}
    return [*words, *(text for pair in values.items() for text in pair)]


EMPTY = [
    with_value(words, command, option, value)
    for words, command in commands(main)
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag
    for value in ("", " ")
]
COMMANDS = [
    ["--help"],
    ["--version"],
    ["settings"],
    ["publish", "--help"],
    ["read", "app", "ttd/a"],
    ["token", "maskinporten", "--org-number", "1", "--scope", "x"],
    ["scenarios"],
    ["publish", os.devnull],
]


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_option_with_an_empty_value_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An unset variable of a shell is no value. The exit code is 2."""
    code = run(arguments)
    output = capsys.readouterr()

    assert (2, "") == (code, output.out)
    assert "is empty" in output.err


@pytest.mark.parametrize("words", [["read", "instance", ""], ["publish", ""], ["read", "app", ""]])
def test_argument_with_an_empty_value_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 2."""
    assert 2 == run(words)
    assert "empty" in capsys.readouterr().err


@pytest.mark.parametrize("instance", ["x", "50000001/x", "x/6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c", "50000001"])
def test_instance_of_another_form_is_refused(instance: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the form. Without this check the service would respond that it has no such path."""
    assert 2 == run(["read", "instance", instance])
    assert f"{instance} is not an instance: write {{partyId}}/{{guid}}" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "text"), [(0, "0 events"), (1, "1 event"), (2, "2 events")])
def test_number_of_events_is_in_plain_english(count: int, text: str) -> None:
    """One event is no plural."""
    assert text == count_of_events(count)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("redirection", "words"), [("> /dev/full", "No space left"), (">&-", "is closed")])
def test_output_that_cannot_be_written_is_one_line(
    arguments: list[str], redirection: str, words: str, tmp_path: Path
) -> None:
    """The exit code is 1, without a traceback."""
    answers = [Answer([http("200 OK", b"a.b.c")])] if arguments[0] in ("token", "scenarios") else [Answer([GOOD])]
    with answering_server(*answers) as server:
        result = subprocess.run(
            ["sh", "-c", f'"$@" {redirection}', "sh", COMMAND, *arguments],
            cwd=tmp_path,
            env=clean_environment(EVENTFEED_PUBLIC_URL=server.url, EVENTFEED_TOKEN="token"),
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )

    assert 1 == result.returncode, result.stderr
    assert [words in line for line in result.stderr.splitlines()] == [True], result.stderr


@pytest.mark.parametrize("arguments", [["settings"], ["--help"]], ids=" ".join)
def test_output_without_a_reader_ends_without_a_message(arguments: list[str]) -> None:
    """As with `eventfeed settings | true`."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [COMMAND, *arguments], env=clean_environment(), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)

    assert b"" == result.stderr


def on_a_terminal(arguments: list[str], **environment: str) -> bytes:
    """Return what a command writes to a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments], env=clean_environment(**environment), stdout=follower, stderr=follower
    )
    os.close(follower)
    output = b""
    while True:
        try:
            chunk = os.read(leader, 65_536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        output += chunk
    os.close(leader)
    process.wait(timeout=WAIT_SECONDS_MAX)
    return output


def test_event_with_controls_is_escaped_on_a_terminal() -> None:
    """The line is still the same JSON. A pipe gets the bytes as they came."""
    body = event(type="t\x9b31m\u202e").replace(b"\\u009b", "\x9b".encode()).replace(b"\\u202e", "\u202e".encode())
    with answering_server(Answer([page(body)])) as server:
        settings = {"EVENTFEED_PUBLIC_URL": server.url, "EVENTFEED_TOKEN": "token"}
        output = on_a_terminal(["read", "app", "ttd/a"], **settings)
        piped = subprocess.run(
            [COMMAND, "read", "app", "ttd/a"], env=clean_environment(**settings), capture_output=True, check=True
        )

    assert "\x9b".encode() in body
    assert b'"type": "t\\u009b31m\\u202e"' in output
    assert "\x9b".encode() in piped.stdout


@pytest.mark.parametrize("arguments", [["read", "app", "ttd/a"], ["publish", "-"], ["scenarios"]], ids=" ".join)
def test_message_of_a_server_is_escaped(
    arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Controls, C1 and characters for the direction of text do not reach the terminal."""
    monkeypatch.setenv("EVENTFEED_TOKEN", "token")
    (tmp_path / "events").write_text('{"id": "1", "source": "https://x", "type": "t", "specversion": "1.0"}')
    arguments = [str(tmp_path / "events") if each == "-" else each for each in arguments]
    body = '{"code": "x%s", "detail": "no%s", "errors": [{"detail": "%s", "pointer": "/0/%s"}]}'
    text = CONTROLS.encode("unicode-escape").decode().replace("\\x", "\\u00")
    with answering_server(Answer([http("400 Bad Request", (body % (text, text, text, text)).encode())])) as server:
        code = run([*arguments, "--url", server.url])
    output = capfd.readouterr()

    assert 1 == code
    assert "\\u001b]0;t\\u0007\\u009b31m\\u202e\\u2066\\u200f\\u007f\\u2028" in output.err
    assert not {each for each in CONTROLS if not each.isprintable()} & set(output.err + output.out)


def test_text_without_controls_stays_as_it_is() -> None:
    """Letters of all languages are printable."""
    assert "blåbærsyltetøy 日本 \\u001b" == escape_controls("blåbærsyltetøy 日本 \x1b")


@pytest.mark.parametrize("arguments", [["publish", "{folder}/events"], ["scenarios"]], ids=" ".join)
def test_interrupt_says_what_was_published(arguments: list[str], tmp_path: Path) -> None:
    """The exit code is 130 (128 + SIGINT)."""
    (tmp_path / "events").write_text('{"id": "1", "source": "https://x", "type": "t", "specversion": "1.0"}\n' * 3)
    with answering_server(Answer([b""], end="hold")) as server:
        process = subprocess.Popen(
            [COMMAND, *(each.format(folder=tmp_path) for each in arguments), "--url", server.url],
            env=clean_environment(EVENTFEED_TOKEN="token"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: server.requests)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_SECONDS_MAX)

    assert 130 == process.returncode, errors
    assert "published 0" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3, 0.5, 0.8])
def test_interrupt_in_the_first_second_shows_no_traceback(seconds: float, tmp_path: Path) -> None:
    """Also while the modules are imported. Before that, the signal itself ends the process."""
    (tmp_path / "events").write_text("{}\n")
    with answering_server(Answer([b""], end="hold")) as server:
        program = "import threading, os, signal, sys; from eventfeed.cli import main; sys.argv[0] = 'eventfeed'; "
        program += f"threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGINT)).start(); main()"
        result = subprocess.run(
            [sys.executable, "-c", program, "publish", str(tmp_path / "events"), "--url", server.url],
            env=clean_environment(EVENTFEED_TOKEN="token"),
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )

    assert 130 == result.returncode, result.stderr
    assert "Traceback" not in result.stderr


def test_reader_that_leaves_a_quiet_feed_ends_the_command(tmp_path: Path) -> None:
    """As with `eventfeed read … --follow | head -1`: the command waits for an event that does not come."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    message = b"id: %b\ndata: %b\n\n" % (AFTER.encode(), event()[1:-1])
    with answering_server(Answer([head + message], end="hold")) as server:
        process = subprocess.Popen(
            [COMMAND, "read", "app", "ttd/a", "--follow", "--cursor-file", str(tmp_path / "cursor")],
            env=clean_environment(EVENTFEED_PUBLIC_URL=server.url, EVENTFEED_TOKEN="token"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        code, errors = process.wait(timeout=20), process.stderr.read()
        process.stderr.close()

    assert (0, b"") == (code, errors)


def test_line_of_a_file_is_bounded(tmp_path: Path) -> None:
    """A longer line is cut, so that it is no event; the next line has its own number."""
    (tmp_path / "events").write_bytes(b"\xef\xbb\xbf{}\n" + b"x" * (3 * LINE_BYTES_MAX) + b"\n\n{}\n")
    with (tmp_path / "events").open("rb") as content:
        lines = Lines(content, "digest")
        texts = [(len(line), lines.new_id(0)) for line in lines]

    assert [(3, "digest-1"), (LINE_BYTES_MAX + 1, "digest-2"), (3, "digest-4")] == texts
    assert LINE_BYTES_MAX == TEXT_BYTES_MAX
