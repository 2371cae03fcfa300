"""Shutdown: waiting requests end as soon as the process must stop, and the whole stop has one time limit."""

import asyncio
import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

# One limit for all parts of a stop: waiting clients, requests in progress, the store and the collector.
STOP_SECONDS_MAX = 4.5
# Of these, for what comes after the telemetry was sent.
EXIT_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Deadline:
    """The time by which a stop must be over; it starts with the stop."""

    def __init__(self) -> None:
        self._end: float | None = None

    @property
    def seconds_left(self) -> float:
        """The time that is left for the parts of a stop (s)."""
        end = time.monotonic() + STOP_SECONDS_MAX if self._end is None else self._end
        return max(0.0, end - EXIT_SECONDS - time.monotonic())

    def start(self) -> None:
        """Start the time. At its end the process ends, whatever still runs: receipts are durable already."""
        if self._end is None:
            self._end = time.monotonic() + STOP_SECONDS_MAX
            threading.Thread(target=self._end_process, name="deadline", daemon=True).start()

    def _end_process(self) -> None:
        time.sleep(STOP_SECONDS_MAX)
        _log.warning(
            "The stop took longer than %s s: requests in progress or telemetry were cut off.", STOP_SECONDS_MAX
        )
        logging.shutdown()
        os._exit(0)


@contextlib.contextmanager
def on_sigterm(stop: Callable[[], None], deadline: Deadline) -> Iterator[None]:
    """During the block, start the deadline and call `stop` on SIGTERM, before the server stops.

    The server waits for requests under way, and a request that waits for an event would go on. It also stops on
    SIGINT, which this handler sends to it.
    """
    loop = asyncio.get_running_loop()

    def handle() -> None:
        deadline.start()
        stop()
        os.kill(os.getpid(), signal.SIGINT)

    # Outside the main thread there is no server process to stop.
    with contextlib.suppress(RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, handle)
    yield


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone: it would hold the port, and nobody could stop it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), name="parent", daemon=True).start()


def _end_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
