"""Logs: one line each, with the trace they belong to, as text for people or as JSON, and never a person's number."""

import logging
import sys
import time
from collections.abc import Mapping

import msgspec
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import get_current

from eventfeed.domain.masking import masked
from eventfeed.telemetry.tracing import here

_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
# What a record has by itself; anything else was given with `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, *, form: str) -> None:
    """Write what is logged at this level or above to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Each request of ours to another service would be a line.
    for name in ("httpx", "httpcore", "azure"):
        logging.getLogger(name).setLevel(logging.WARNING)


class Text(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        told, trace = masked(super().format(record)), here().split("-")
        return f"{told} [{trace[1]}]" if len(trace) > 1 else told


class Json(logging.Formatter):
    """A line for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        told: dict[str, object] = {"logger": record.name, "message": record.getMessage(), **given(record)}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        text = {name: masked(str(value)) for name, value in told.items()}
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname, **text}
        trace = here().split("-")
        if len(trace) > 1:
            line |= {"trace_id": trace[1], "span_id": trace[2]}
        return msgspec.json.encode(line).decode()


class Sent(logging.Handler):
    """Hands records on to OpenTelemetry."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        attributes = {name: masked(str(value)) for name, value in given(record).items()}
        if record.exc_info and record.exc_info[0]:
            attributes["exception.type"] = record.exc_info[0].__name__
            attributes["exception.stacktrace"] = masked(logging.Formatter().formatException(record.exc_info))
        self._logger.emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                context=get_current(),
                severity_text=record.levelname,
                severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.INFO),
                body=masked(record.getMessage()),
                attributes={"logger": record.name, **attributes},
            )
        )


def given(record: logging.LogRecord) -> Mapping[str, object]:
    """What was given with a record beside its message."""
    return {name: value for name, value in vars(record).items() if name not in _OWN}
