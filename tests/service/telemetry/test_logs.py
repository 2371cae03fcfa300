"""Logs: one line for each record, with its trace and without person numbers."""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from eventfeed.telemetry import logs as module
from eventfeed.telemetry.logs import JsonFormatter, LineWriter, TextFormatter, configure
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.telemetry.request_spans import request_span
from tests.support.waiting import wait_until

PERSON = "01838012345"
TRACE = "ab" * 16


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry that samples every request."""
    telemetry = Telemetry()
    with telemetry.tracing(TracerProvider(shutdown_on_exit=False).get_tracer("test")):
        yield telemetry


def record(message: str, *arguments: object, failure: bool = False, **extra: object) -> logging.LogRecord:
    """Return a record of one of the service's loggers."""
    result = logging.LogRecord("eventfeed.x", logging.WARNING, "f", 1, message, arguments, None)
    vars(result).update(extra)
    if failure:
        try:
            int(PERSON + "x")
        except ValueError:
            result.exc_info = sys.exc_info()
    return result


@pytest.mark.parametrize("formatter", [TextFormatter("%(levelname)s %(message)s"), JsonFormatter()])
def test_log_line_has_its_trace_and_no_person_number(telemetry: Telemetry, formatter: logging.Formatter) -> None:
    """A person number is masked in the message, an argument, an extra value and the text of an exception."""
    with request_span(telemetry, "GET", f"00-{TRACE}-{'cd' * 8}-01"):
        line = formatter.format(record(f"{PERSON} %s", PERSON, failure=True, person=PERSON))

    assert TRACE in line
    assert PERSON not in line
    assert "ValueError" in line


def test_json_line_is_one_object() -> None:
    """The object has the message and the extra values."""
    line = JsonFormatter().format(record("two\nlines", seconds=0.5))

    assert "\n" not in line
    assert {"level": "WARNING", "logger": "eventfeed.x", "message": "two\nlines", "seconds": "0.5"} == {
        name: value for name, value in json.loads(line).items() if name != "time"
    }


def test_record_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of other packages about requests are not written either."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        configure("info", form="json")
        for name in ("eventfeed", "httpx"):
            logging.getLogger(name).info("written by %s", name)
        logging.getLogger("eventfeed").debug("too much")
    finally:
        root.handlers, root.level = handlers, level

    assert ["written by eventfeed"] == [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe: one to read, one to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_until(end: int, condition: Callable[[bytes], object]) -> bytes:
    """Read from a pipe until the condition is true for everything that was read."""
    text = b""
    os.set_blocking(end, False)

    def read_more() -> object:
        nonlocal text
        with contextlib.suppress(BlockingIOError):
            text += os.read(end, 1_000_000)
        return condition(text)

    wait_until(read_more)
    return text


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    """Each has its end, and none is lost."""
    writer = LineWriter(pipe[1])
    for number in range(1_000):
        writer.handle(record("%d", number))
    text = read_until(pipe[0], lambda text: b"\n999\n" in text)

    assert [b"%d" % number for number in range(1_000)] == text.splitlines()


@pytest.mark.parametrize("is_blocking", [True, False])
def test_lines_that_nobody_reads_are_dropped_and_counted(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, *, is_blocking: bool
) -> None:
    """The queue is bounded. When somebody reads, a line tells how many are missing."""
    monkeypatch.setattr(module, "QUEUE_BYTES_MAX", 100_000)
    os.set_blocking(pipe[1], is_blocking)
    writer, sent = LineWriter(pipe[1]), 5_000
    for number in range(sent):
        writer.handle(record("%d %s", number, "x" * 100))
    text = read_until(pipe[0], lambda text: len(lines_of(text)) + drops_of(text) == sent)

    assert 0 < len(lines_of(text)) < 3_000
    assert drops_of(text) == writer.dropped_lines


def lines_of(text: bytes) -> list[bytes]:
    """The log lines of the test."""
    return [line for line in text.splitlines() if line.endswith(b"x")]


def drops_of(text: bytes) -> int:
    """The number of dropped lines that the log reports."""
    return sum(int(line.split()[0]) for line in text.splitlines() if line.endswith(b"were not read fast enough"))


def test_writer_continues_after_a_failed_write(pipe: tuple[int, int]) -> None:
    """A closed pipe or a full disk loses lines, and nothing else."""
    reader, descriptor = os.pipe()
    os.close(reader)
    writer = LineWriter(descriptor)
    writer.handle(record("lost"))
    wait_until(lambda: not writer._queue_bytes)
    os.dup2(pipe[1], descriptor)
    writer.handle(record("written"))
    text = read_until(pipe[0], lambda text: b"dropped" in text)
    os.close(descriptor)

    assert [b"written", b"1 log lines were dropped, because they were not read fast enough"] == text.splitlines()


def test_flush_writes_everything_or_gives_up(pipe: tuple[int, int]) -> None:
    """An exit writes the last lines, and waits for no reader."""
    writer = LineWriter(pipe[1])
    writer.handle(record("last"))
    writer.flush()
    text = os.read(pipe[0], 100)
    writer.handle(record("x" * 100_000))
    start = time.monotonic()
    writer.flush()
    seconds = time.monotonic() - start
    read_until(pipe[0], lambda text: len(text) > 100_000)

    assert b"last\n" == text
    assert module.FLUSH_SECONDS_MAX <= seconds < 60


def test_line_that_cannot_be_formatted_is_replaced(pipe: tuple[int, int]) -> None:
    """The arguments do not fit the message, or the text has half a character."""
    writer = LineWriter(pipe[1])
    writer.handle(record("%d", "x"))
    writer.handle(record("half \ud800"))
    text = read_until(pipe[0], lambda text: b"half" in text)

    assert [b"eventfeed.x: a log line at f:1 cannot be formatted", b"half \\ud800"] == text.splitlines()
