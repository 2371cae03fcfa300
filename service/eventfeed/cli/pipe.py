"""Standard output as a pipe: a reader that goes away ends the command, also while no event comes."""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn


@contextmanager
def watched_output() -> Iterator[None]:
    """End the process without a message when nobody reads standard output any more, while the block lasts."""
    try:
        output = sys.stdout.fileno()
    except OSError:  # it is in memory
        yield
        return
    end, wake = os.pipe()
    previous = signal.signal(signal.SIGPIPE, _exit)
    thread = threading.Thread(target=_watch, args=(output, end), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(wake)
        thread.join()
        os.close(end)
        signal.signal(signal.SIGPIPE, previous)


def _watch(output: int, end: int) -> None:
    """Interrupt the main thread when the reader is gone: it may be waiting for the network."""
    poll = select.poll()
    poll.register(output, 0)  # errors and hang-ups are always reported
    poll.register(end, 0)
    if any(file == output for file, _ in poll.poll()):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGPIPE)


def _exit(_signal: int, _frame: FrameType | None) -> NoReturn:
    discard_output()
    sys.exit(0)


def discard_output() -> None:
    """Send the rest of the output nowhere, so that the process ends without another failure."""
    with suppress(OSError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
