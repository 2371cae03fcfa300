"""Long polls: how long the caller would wait, and the end of its connection."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from eventfeed.log.memory.waiters import Waiter

# Contract section 5. Many proxies end a request after 60 s.
WAIT_SECONDS_MAX = 55

_WAIT = re.compile(r'wait[ \t]*=[ \t]*"?(?P<seconds>[0-9]{1,9})"?', re.ASCII | re.IGNORECASE)

Receive = Callable[[], Awaitable[Any]]  # messages of the framework


def preferred_wait(prefer: str) -> int:
    """Return the first `wait` of a caller's preferences (s, RFC 7240 §4.3), 0 without one."""
    for preference in prefer.split(","):
        if match := _WAIT.fullmatch(preference.partition(";")[0].strip()):
            return min(int(match["seconds"]), WAIT_SECONDS_MAX)
    return 0


@contextlib.contextmanager
def connected(receive: Receive) -> Iterator[Waiter]:
    """Provide a waiter for the block. It ends when the client closes the connection."""
    waiter = Waiter()
    disconnect = asyncio.create_task(_end_at_disconnect(waiter, receive))
    try:
        yield waiter
    finally:
        disconnect.cancel()
        waiter.timer.close()


async def _end_at_disconnect(waiter: Waiter, receive: Receive) -> None:
    """End a waiter before anything that an event wakes at the same time: a callback of the task would be later."""
    try:
        await wait_for_disconnect(receive)
    finally:
        waiter.end()


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
