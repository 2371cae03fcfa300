"""Logs: one line each, with the trace it belongs to, as text or as JSON, and never a person number."""

import logging
import sys
import time
from collections.abc import Mapping

import msgspec
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import get_current

from eventfeed.domain.masking import mask_person_numbers
from eventfeed.telemetry.traceparent import current_traceparent

_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
# The attributes of every record; any other is of the argument `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, *, form: str) -> None:
    """Write records of this level and above to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter() if form == "json" else TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # They log a line for each request to another service.
    for name in ("httpx", "httpcore", "azure"):
        logging.getLogger(name).setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """A line of text, with the trace id at its end."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line, trace = mask_person_numbers(super().format(record)), current_traceparent().split("-")
        return f"{line} [{trace[1]}]" if len(trace) > 1 else line


class JsonFormatter(logging.Formatter):
    """A JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        members: dict[str, object] = {"logger": record.name, "message": record.getMessage(), **_extra(record)}
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        texts = {name: mask_person_numbers(str(value)) for name, value in members.items()}
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname, **texts}
        trace = current_traceparent().split("-")
        if len(trace) > 1:
            line |= {"trace_id": trace[1], "span_id": trace[2]}
        return msgspec.json.encode(line).decode()


class OpenTelemetryHandler(logging.Handler):
    """Passes records on to OpenTelemetry."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        attributes = {name: mask_person_numbers(str(value)) for name, value in _extra(record).items()}
        if record.exc_info and record.exc_info[0]:
            stack_trace = logging.Formatter().formatException(record.exc_info)
            attributes["exception.type"] = record.exc_info[0].__name__
            attributes["exception.stacktrace"] = mask_person_numbers(stack_trace)
        self._logger.emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                context=get_current(),
                severity_text=record.levelname,
                severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.INFO),
                body=mask_person_numbers(record.getMessage()),
                attributes={"logger": record.name, **attributes},
            )
        )


def _extra(record: logging.LogRecord) -> Mapping[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
