"""A timer that moves."""

import asyncio

from eventfeed.timer import Timer


async def test_timer_that_is_moved_calls_back_at_the_last_time_only() -> None:
    """To a later time, to an earlier one, and after it was stopped."""
    calls, is_over, loop = list[str](), asyncio.Event(), asyncio.get_running_loop()
    timer, last = Timer(), Timer()
    timer.start(loop.time() + 0.01, lambda: calls.append("first"))
    timer.start(loop.time() + 0.05, lambda: calls.append("later"))
    timer.start(loop.time() + 0.02, lambda: calls.append("earlier"))
    last.start(loop.time() + 0.1, is_over.set)
    await is_over.wait()
    timer.start(loop.time() + 0.01, lambda: calls.append("stopped"))
    timer.stop()
    closed = Timer()
    closed.start(loop.time() + 0.01, lambda: calls.append("closed"))
    closed.close()
    is_over.clear()
    last.start(loop.time() + 0.05, is_over.set)
    await is_over.wait()

    assert ["earlier"] == calls
