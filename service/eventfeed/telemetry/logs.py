"""Logs: one line each, with the trace it belongs to, as text or as JSON, and never a person number.

A thread writes the lines, so a reader that does not read delays no request.
"""

import contextlib
import logging
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping

import msgspec
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import get_current

from eventfeed.domain.masking import mask_person_numbers
from eventfeed.telemetry.traceparent import current_traceparent

# Lines that wait to be written: some seconds of a busy service.
QUEUE_BYTES_MAX = 4 * 1024 * 1024
WRITE_SECONDS = 0.05
# An exit waits no longer for a reader.
FLUSH_SECONDS_MAX = 0.25

_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
# The attributes of every record; any other is of the argument `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, *, form: str) -> Callable[[], int]:
    """Write records of this level and above to standard error, as `text` or `json`.

    Return a function that counts the lines dropped so far.
    """
    handler = _handler()
    handler.setFormatter(
        JsonFormatter() if form == "json" else TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # They log a line for each request to another service.
    for name in ("httpx", "httpcore", "azure"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return lambda: handler.dropped_lines if isinstance(handler, LineWriter) else 0


def _handler() -> logging.Handler:
    """Return the handler for standard error, which need not be a file of the operating system."""
    try:
        return LineWriter(sys.stderr.fileno())
    except (AttributeError, OSError):
        return logging.StreamHandler(sys.stderr)


class LineWriter(logging.Handler):
    """Writes lines to a file descriptor from a thread, at most every `WRITE_SECONDS`.

    Lines that come faster than the reader takes them are dropped and counted, and the count is written.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._lines = descriptor, queue.SimpleQueue[bytes]()
        # Lines that were dropped since the start, and those of them that a line has reported.
        self.dropped_lines = self._reported_lines = self._queue_bytes = 0
        self._is_flushing = threading.Event()
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`. The caller holds the handler's lock."""
        if self._queue_bytes > QUEUE_BYTES_MAX:
            self.dropped_lines += 1
            return
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except (AttributeError, LookupError, TypeError, ValueError):  # the arguments do not fit the message
            line = f"{record.name}: a log line at {record.pathname}:{record.lineno} cannot be formatted\n".encode()
        self._queue_bytes += len(line)
        self._lines.put(line)

    def flush(self) -> None:
        """Wait until the lines are written, no longer than `FLUSH_SECONDS_MAX`."""
        deadline = time.monotonic() + FLUSH_SECONDS_MAX
        self._is_flushing.set()
        while self._queue_bytes and time.monotonic() < deadline:
            time.sleep(0.001)
        self._is_flushing.clear()

    def _write_all(self) -> None:
        while True:
            lines = [self._lines.get()]
            # One write for many lines: each wakes this thread, which then competes with the event loop.
            self._is_flushing.wait(WRITE_SECONDS)
            with contextlib.suppress(queue.Empty):
                while True:
                    lines.append(self._lines.get_nowait())
            is_written = self._write(b"".join(lines))
            self.acquire()
            self._queue_bytes -= sum(map(len, lines))
            self.dropped_lines += 0 if is_written else len(lines)
            self.release()
            if is_written:
                self._write(self._drop_report())

    def _drop_report(self) -> bytes:
        """Return a line with the number of lines dropped since the last report; nothing if there are none."""
        self.acquire()
        drops, self._reported_lines = self.dropped_lines - self._reported_lines, self.dropped_lines
        self.release()
        message = "%d log lines were dropped, because they were not read fast enough"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (drops,), None)
        return f"{self.format(record)}\n".encode() if drops else b""

    def _write(self, text: bytes) -> bool:
        """Write a text, however long that takes. Return False if nobody can read it any more."""
        rest = memoryview(text)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # the reader made the pipe non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True


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
