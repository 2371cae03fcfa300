"""Logs: a line each, in its trace, without a person's number."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from eventfeed.telemetry import tracing
from eventfeed.telemetry.logs import Json, Text, configure
from tests.service.telemetry.requesting import serving

PERSON = "01838012345"
TRACE = "ab" * 16


@pytest.fixture
def traced() -> Iterator[None]:
    """Everything is."""
    tracing.use(TracerProvider(shutdown_on_exit=False).get_tracer("test"))
    yield
    tracing.use(None)


def record(message: str, *arguments: object, failure: bool = False, **extra: object) -> logging.LogRecord:
    """A record of a logger of ours."""
    made = logging.LogRecord("eventfeed.x", logging.WARNING, "f", 1, message, arguments, None)
    vars(made).update(extra)
    if failure:
        try:
            int(PERSON + "x")
        except ValueError:
            made.exc_info = sys.exc_info()
    return made


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("form", [Text("%(levelname)s %(message)s"), Json()])
def test_a_line_tells_its_trace_and_no_person(form: logging.Formatter) -> None:
    """Wherever the number is: message, argument, extra or a failure's words."""
    with serving("GET", f"00-{TRACE}-{'cd' * 8}-01"):
        line = form.format(record(f"{PERSON} %s", PERSON, failure=True, who=PERSON))

    assert TRACE in line
    assert PERSON not in line
    assert "ValueError" in line


def test_json_is_an_object_a_line() -> None:
    """With what was given beside the message."""
    line = Json().format(record("two\nlines", seconds=0.5))

    assert "\n" not in line
    assert {"level": "WARNING", "logger": "eventfeed.x", "message": "two\nlines", "seconds": "0.5"} == {
        name: value for name, value in json.loads(line).items() if name != "time"
    }


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """And other people's requests are not ours to tell."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        configure("info", form="json")
        for name in ("eventfeed", "httpx"):
            logging.getLogger(name).info("told by %s", name)
        logging.getLogger("eventfeed").debug("too much")
    finally:
        root.handlers, root.level = handlers, level

    assert ["told by eventfeed"] == [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
