"""Rates: so many a minute, at once or spread, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.http.reading import rate_limit as rates
from eventfeed.http.reading.rate_limit import Rate


def admitted(rate: Rate, key: str, *, now: float) -> bool:
    """Whether a request gets through; one that does is counted."""
    if rate.wait(key, now=now) > 0:
        return False
    rate.count(key, now=now)
    return True


def test_a_minutes_worth_may_come_at_once() -> None:
    """And then one at a time, as the minute goes by."""
    rate = Rate(per_minute=6)

    assert [True] * 6 + [False] * 2 == [admitted(rate, "x", now=100.0) for _ in range(8)]
    assert [False, True, False] == [admitted(rate, "x", now=now) for now in (109.0, 110.0, 111.0)]
    assert [True] * 6 + [False] == [admitted(rate, "x", now=500.0) for _ in range(7)]


def test_the_wait_is_as_long_as_told() -> None:
    """Not a moment sooner, and right then."""
    rate = Rate(per_minute=4)
    while admitted(rate, "x", now=7.0):
        pass
    wait = rate.wait("x", now=7.0)

    assert pytest.approx(15.0) == wait
    assert rate.wait("x", now=7.0 + wait - 0.01) > 0
    assert rate.wait("x", now=7.0 + wait + 1e-9) <= 1e-6


def test_keys_do_not_count_for_each_other() -> None:
    """One caller's hurry is its own."""
    rate = Rate(per_minute=1)

    assert [True, True, False] == [admitted(rate, key, now=0.0) for key in ("a", "b", "a")]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that asked longest ago is forgotten first."""
    monkeypatch.setattr(rates, "KEYS_MAX", 3)
    rate = Rate(per_minute=1)
    for key in "abcab":
        admitted(rate, key, now=0.0)
    rate.count("d", now=0.0)

    assert 3 == len(rate._used_up)
    assert "a" not in rate._used_up


def test_who_may_ask_anew_is_forgotten() -> None:
    """Every instance that anybody ever asked for would add up; of those, only the last minute's count."""
    rate = Rate(per_minute=2)
    for second in range(1_000):
        rate.count(f"instance {second}", now=float(second))

    assert [f"instance {second}" for second in range(970, 1_000)] == list(rate._used_up)


@given(steps=st.lists(st.floats(0, 20), max_size=80), per_minute=st.integers(1, 10))
def test_no_minute_sees_twice_the_rate(steps: list[float], per_minute: int) -> None:
    """However requests are spread, any minute admits at most a burst and what was earned in it."""
    rate, now, times = Rate(per_minute=per_minute), 0.0, list[float]()
    for step in steps:
        now += step
        if admitted(rate, "x", now=now):
            times.append(now)

    assert all(sum(start <= time < start + 60 for time in times) <= 2 * per_minute for start in times)
