"""Logs: one line for each record, with its trace and without person numbers."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from eventfeed.telemetry.logs import JsonFormatter, TextFormatter, configure
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.telemetry.request_spans import request_span

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
