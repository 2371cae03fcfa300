"""Delays between attempts."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.backoff import Backoff


def greatest() -> float:
    """A random number that makes each delay its upper bound."""
    return 1.0


def new_backoff(random: Callable[[], float] = greatest) -> Backoff:
    """A back-off from 1 s to 10 s."""
    return Backoff(first=1.0, longest=10.0, random=random)


def test_delay_doubles_up_to_its_limit() -> None:
    """The limit is reached even if it is no power of two."""
    backoff = new_backoff()

    assert [1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == [backoff.next_delay() for _ in range(6)]


def test_delay_after_a_reset_is_short_again() -> None:
    """A success resets the delays."""
    backoff = new_backoff()
    before = [backoff.next_delay() for _ in range(3)]
    backoff.reset()
    after = [backoff.next_delay() for _ in range(3)]

    assert [1.0, 2.0, 4.0] == before == after


def test_at_most_limits_one_delay_and_not_the_next() -> None:
    """The bound doubles as without `at_most`."""
    backoff = new_backoff()

    assert [0.5, 0.5, 4.0] == [backoff.next_delay(at_most=0.5), backoff.next_delay(at_most=0.5), backoff.next_delay()]


@pytest.mark.parametrize(("number", "delay"), [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5)])
def test_delay_is_a_random_share_of_its_bound(number: float, delay: float) -> None:
    """A delay may be 0: full jitter spreads clients best."""
    assert delay == new_backoff(lambda: number).next_delay()


@given(numbers=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=100), at_most=st.floats(0, 20))
def test_delay_is_never_negative_nor_above_its_limits(numbers: list[float], at_most: float) -> None:
    """This holds for any random numbers and any limit."""
    count = len(numbers)
    backoff = new_backoff(iter(numbers).__next__)
    delays = [backoff.next_delay(at_most=at_most) for _ in range(count)]

    assert all(0 <= delay <= min(10.0, at_most) for delay in delays)
