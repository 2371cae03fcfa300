"""Limits of requests in a time for each key, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.access import rate_limit as module
from eventfeed.access.rate_limit import RateLimit


def admit(rate: RateLimit, key: str, *, now: float) -> bool:
    """Count a request if it is allowed; return True if it is."""
    if rate.wait(key, now=now) > 0:
        return False
    rate.count(key, now=now)
    return True


def test_requests_of_a_minute_are_allowed_at_once() -> None:
    """After these, one request is allowed for each part of a minute that has passed."""
    rate = RateLimit(6, seconds=60)

    assert [True] * 6 + [False] * 2 == [admit(rate, "x", now=100.0) for _ in range(8)]
    assert [False, True, False] == [admit(rate, "x", now=now) for now in (109.0, 110.0, 111.0)]
    assert [True] * 6 + [False] == [admit(rate, "x", now=500.0) for _ in range(7)]


def test_request_after_the_reported_wait_is_allowed() -> None:
    """A request shortly before that is refused."""
    rate = RateLimit(4, seconds=60)
    while admit(rate, "x", now=7.0):
        pass
    wait = rate.wait("x", now=7.0)

    assert pytest.approx(15.0) == wait
    assert rate.wait("x", now=7.0 + wait - 0.01) > 0
    assert rate.wait("x", now=7.0 + wait + 1e-9) <= 1e-6


def test_more_requests_than_are_allowed_at_once_lengthen_the_wait() -> None:
    """They are counted together, and the next one waits until all of them would be used up but for the last."""
    rate = RateLimit(5, seconds=1)
    rate.count("x", now=50.0, requests=100)

    assert pytest.approx(19.2) == rate.wait("x", now=50.0)
    assert rate.wait("x", now=69.2 + 1e-9) <= 1e-6


def test_limit_of_one_key_does_not_affect_another() -> None:
    """Each key has a limit of its own."""
    rate = RateLimit(1, seconds=60)

    assert [True, True, False] == [admit(rate, key, now=0.0) for key in ("a", "b", "a")]


def test_key_with_the_oldest_request_is_evicted_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of keys in memory is bounded."""
    monkeypatch.setattr(module, "KEYS_MAX", 3)
    rate = RateLimit(1, seconds=60)
    for key in "abcab":
        admit(rate, key, now=0.0)
    rate.count("d", now=0.0)

    assert 3 == len(rate._empty_at)
    assert "a" not in rate._empty_at


def test_key_without_requests_to_count_is_evicted() -> None:
    """Only keys of the last minute are in memory."""
    rate = RateLimit(2, seconds=60)
    for second in range(1_000):
        rate.count(f"instance {second}", now=float(second))

    assert [f"instance {second}" for second in range(970, 1_000)] == list(rate._empty_at)


@given(steps=st.lists(st.floats(0, 20), max_size=80), per_minute=st.integers(1, 10))
def test_no_minute_has_more_than_twice_the_rate(steps: list[float], per_minute: int) -> None:
    """A minute allows at most one burst, and the requests that the rate adds during it."""
    rate, now, times = RateLimit(per_minute, seconds=60), 0.0, list[float]()
    for step in steps:
        now += step
        if admit(rate, "x", now=now):
            times.append(now)

    assert all(sum(start <= time < start + 60 for time in times) <= 2 * per_minute for start in times)
