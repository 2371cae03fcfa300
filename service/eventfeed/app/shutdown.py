"""Shutdown: waiting requests end as soon as the process must stop."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """During the block, call `stop` on SIGTERM, before the server stops.

    The server waits for requests under way, and a request that waits for an event would go on. It also stops on
    SIGINT, which this handler sends to it.
    """
    loop = asyncio.get_running_loop()

    def handle() -> None:
        stop()
        os.kill(os.getpid(), signal.SIGINT)

    # Outside the main thread there is no server process to stop.
    with contextlib.suppress(RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, handle)
    yield
