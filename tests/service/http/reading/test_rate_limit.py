"""Limits of what the requests of readers hold at the same time."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from eventfeed.app.reading import reading_limits
from eventfeed.domain.errors import TooManyRequests, Unavailable
from eventfeed.domain.feed import PAGE_BYTES_MAX
from eventfeed.http.reading.rate_limit import LARGE_READS_MAX, Quota, ReadingLimits
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry


class StubCaller(NamedTuple):
    """A caller, by default with a token."""

    caller: str
    is_anonymous: bool = False


A, B, C = StubCaller("a"), StubCaller("b"), StubCaller("c")
ANYONE, OTHER = StubCaller("192.0.2.1", is_anonymous=True), StubCaller("192.0.2.2", is_anonymous=True)


def quota(total: int = 9, *, anonymous: int = 9, each: int = 9) -> Quota:
    """A quota that limits nothing but what a test names."""
    return Quota(total, anonymous=anonymous, each=each)


def limits_with(
    *, waits: Quota | None = None, streams: Quota | None = None, memory: Quota | None = None
) -> ReadingLimits:
    """Limits with these quotas."""
    return ReadingLimits(
        waits=waits or quota(), streams=streams or quota(), memory=memory or quota(), telemetry=Telemetry()
    )


def test_poll_waits_only_while_a_slot_is_free() -> None:
    """A slot is free again after the poll."""
    limits = limits_with(waits=quota(1))
    with limits.wait(A) as first, limits.wait(B) as second:
        pass
    with limits.wait(B) as third:
        pass

    assert (True, False, True) == (first, second, third)


def test_poll_beyond_the_limit_of_its_caller_does_not_wait() -> None:
    """Another caller does."""
    limits = limits_with(waits=quota(each=1))
    with limits.wait(A) as first, limits.wait(A) as second, limits.wait(B) as third:
        pass

    assert (True, False, True) == (first, second, third)


def test_callers_without_a_token_leave_slots_to_callers_with_one() -> None:
    """They share a part of the slots, whatever their addresses."""
    limits = limits_with(waits=quota(3, anonymous=1), streams=quota(3, anonymous=1))
    with limits.wait(ANYONE) as first, limits.wait(OTHER) as second, limits.wait(A) as third:
        pass
    with limits.stream(ANYONE), limits.stream(A):
        with pytest.raises(Unavailable), limits.stream(OTHER):
            pass
        with limits.stream(B):
            pass

    assert (True, False, True) == (first, second, third)


def test_stream_beyond_the_limit_of_its_caller_is_refused() -> None:
    """Another caller has its own slots, and the end of a stream frees one."""
    limits = limits_with(streams=quota(each=1))
    with limits.stream(A), limits.stream(B), pytest.raises(TooManyRequests), limits.stream(A):
        pass
    with limits.stream(A):
        pass


def test_stream_beyond_the_limit_of_the_process_is_unavailable() -> None:
    """This holds for every caller. Callers without a stream use no memory."""
    streams = quota(2)
    limits = limits_with(streams=streams)
    with limits.stream(A), limits.stream(B), pytest.raises(Unavailable), limits.stream(C):
        pass

    assert not streams._used


@pytest.mark.parametrize(
    ("memory", "callers"),
    [
        (quota(100, anonymous=100, each=100), (A, B)),
        (quota(200, anonymous=50, each=100), (ANYONE, OTHER)),
        (quota(200, anonymous=100, each=50), (A, A)),
    ],
    ids=["total", "anonymous", "caller"],
)
def test_response_beyond_the_memory_is_unavailable(memory: Quota, callers: Sequence[StubCaller]) -> None:
    """The client may repeat the request after a second. The end of a response frees its memory."""
    limits = limits_with(memory=memory)
    first, second = callers
    with limits.memory(first, 50):
        with pytest.raises(Unavailable) as refusal, limits.memory(second, 51):
            pass
        used = memory.used

    assert (1, 50, 0) == (refusal.value.retry_seconds, used, memory.used)


async def test_large_pages_are_read_a_few_at_a_time() -> None:
    """Without memory for another one they are not read at all."""
    limits = limits_with(memory=quota(2 * PAGE_BYTES_MAX, each=2 * PAGE_BYTES_MAX))
    running, most, refusals = 0, 0, 0

    async def read() -> None:
        nonlocal running, most
        async with limits.large_read(A):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(read() for _ in range(5 * LARGE_READS_MAX)))
    with limits.memory(A, PAGE_BYTES_MAX + 1):
        for _ in range(3):
            try:
                await read()
            except Unavailable:
                refusals += 1

    assert (LARGE_READS_MAX, 3) == (most, refusals)


@pytest.mark.parametrize("percent", [0, 3, 25, 100])
@pytest.mark.parametrize("mib", [32, 33, 256])
@pytest.mark.parametrize("caller", [A, ANYONE])
async def test_every_caller_has_memory_for_a_large_page(percent: int, mib: int, caller: StubCaller) -> None:
    """A smaller part would refuse such a page for ever."""
    telemetry = Telemetry()
    limits = reading_limits(Settings(anonymous_percent=percent, response_mib=mib), telemetry)
    async with limits.large_read(caller):
        pass
    with limits.memory(caller, PAGE_BYTES_MAX):
        during = telemetry.gauges["eventfeed.response.memory"]()

    assert PAGE_BYTES_MAX == during


@pytest.mark.parametrize(("percent", "slots"), [(0, 0), (1, 1), (25, 1), (34, 2), (100, 3)])
def test_part_of_few_slots_is_rounded_up(percent: int, slots: int) -> None:
    """Callers without a token have no slot only if the operator gives them none."""
    limits, count = reading_limits(Settings(anonymous_percent=percent, streams=3), Telemetry()), 0
    with ExitStack() as stack, suppress(Unavailable):
        while True:
            stack.enter_context(limits.stream(ANYONE))
            count += 1

    assert slots == count


def test_waiting_polls_and_streams_are_counted_in_telemetry() -> None:
    """A poll without a slot does not count, and after the blocks nothing waits."""
    telemetry = Telemetry()
    limits = ReadingLimits(waits=quota(1), streams=quota(1), memory=quota(), telemetry=telemetry)
    series = telemetry.counters["eventfeed.waiting"].series
    with limits.wait(A), limits.wait(A), limits.stream(A):
        during = dict(series)

    assert {("poll",): 1, ("stream",): 1} == during
    assert {("poll",): 0, ("stream",): 0} == series
