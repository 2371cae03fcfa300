"""Limits: requests a minute for each key, in bounded memory, and requests that wait at the same time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.errors import TooManyRequests, Unavailable
from eventfeed.http.reading import rate_limit as module
from eventfeed.http.reading.rate_limit import ConcurrencyLimits, RateLimit
from eventfeed.telemetry.telemetry import Telemetry


def admit(rate: RateLimit, key: str, *, now: float) -> bool:
    """Count a request if it is allowed; return True if it is."""
    if rate.wait(key, now=now) > 0:
        return False
    rate.count(key, now=now)
    return True


def test_requests_of_a_minute_are_allowed_at_once() -> None:
    """After these, one request is allowed for each part of a minute that has passed."""
    rate = RateLimit(per_minute=6)

    assert [True] * 6 + [False] * 2 == [admit(rate, "x", now=100.0) for _ in range(8)]
    assert [False, True, False] == [admit(rate, "x", now=now) for now in (109.0, 110.0, 111.0)]
    assert [True] * 6 + [False] == [admit(rate, "x", now=500.0) for _ in range(7)]


def test_request_after_the_reported_wait_is_allowed() -> None:
    """A request shortly before that is refused."""
    rate = RateLimit(per_minute=4)
    while admit(rate, "x", now=7.0):
        pass
    wait = rate.wait("x", now=7.0)

    assert pytest.approx(15.0) == wait
    assert rate.wait("x", now=7.0 + wait - 0.01) > 0
    assert rate.wait("x", now=7.0 + wait + 1e-9) <= 1e-6


def test_limit_of_one_key_does_not_affect_another() -> None:
    """Each key has a limit of its own."""
    rate = RateLimit(per_minute=1)

    assert [True, True, False] == [admit(rate, key, now=0.0) for key in ("a", "b", "a")]


def test_key_with_the_oldest_request_is_evicted_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of keys in memory is bounded."""
    monkeypatch.setattr(module, "KEYS_MAX", 3)
    rate = RateLimit(per_minute=1)
    for key in "abcab":
        admit(rate, key, now=0.0)
    rate.count("d", now=0.0)

    assert 3 == len(rate._empty_at)
    assert "a" not in rate._empty_at


def test_key_without_requests_to_count_is_evicted() -> None:
    """Only keys of the last minute are in memory."""
    rate = RateLimit(per_minute=2)
    for second in range(1_000):
        rate.count(f"instance {second}", now=float(second))

    assert [f"instance {second}" for second in range(970, 1_000)] == list(rate._empty_at)


@given(steps=st.lists(st.floats(0, 20), max_size=80), per_minute=st.integers(1, 10))
def test_no_minute_has_more_than_twice_the_rate(steps: list[float], per_minute: int) -> None:
    """A minute allows at most one burst, and the requests that the rate adds during it."""
    rate, now, times = RateLimit(per_minute=per_minute), 0.0, list[float]()
    for step in steps:
        now += step
        if admit(rate, "x", now=now):
            times.append(now)

    assert all(sum(start <= time < start + 60 for time in times) <= 2 * per_minute for start in times)


def concurrency_limits(*, waits: int = 0, streams: int = 0, caller_streams: int = 0) -> ConcurrencyLimits:
    """Limits with these numbers of slots."""
    return ConcurrencyLimits(waits=waits, streams=streams, caller_streams=caller_streams, telemetry=Telemetry())


def test_poll_waits_only_while_a_slot_is_free() -> None:
    """A slot is free again after the poll."""
    limits = concurrency_limits(waits=1)
    with limits.wait() as first, limits.wait() as second:
        pass
    with limits.wait() as third:
        pass

    assert (True, False, True) == (first, second, third)


def test_stream_beyond_the_limit_of_its_caller_is_refused() -> None:
    """Another caller has its own slots, and the end of a stream frees one."""
    limits = concurrency_limits(streams=9, caller_streams=1)
    with limits.stream("a"), limits.stream("b"), pytest.raises(TooManyRequests), limits.stream("a"):
        pass
    with limits.stream("a"):
        pass


def test_stream_beyond_the_limit_of_the_process_is_unavailable() -> None:
    """This holds for every caller. Callers without a stream use no memory."""
    limits = concurrency_limits(streams=2, caller_streams=9)
    with limits.stream("a"), limits.stream("b"), pytest.raises(Unavailable), limits.stream("c"):
        pass

    assert not limits._streaming


def test_waiting_polls_and_streams_are_counted_in_telemetry() -> None:
    """A poll without a slot does not count, and after the blocks nothing waits."""
    telemetry = Telemetry()
    limits = ConcurrencyLimits(waits=1, streams=1, caller_streams=1, telemetry=telemetry)
    series = telemetry.counters["eventfeed.waiting"].series
    with limits.wait(), limits.wait(), limits.stream("a"):
        during = dict(series)

    assert {("poll",): 1, ("stream",): 1} == during
    assert {("poll",): 0, ("stream",): 0} == series
