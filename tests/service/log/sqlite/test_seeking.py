"""The search for the position of a time: the right one in any log, with few reads in a long one."""

from bisect import bisect_left
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.log.sqlite.seeking import last_before


def reads(times: Sequence[int], time: int) -> tuple[int, int]:
    """The last position before a time in the log of these times, and the number of times that were read."""
    positions = list[int]()

    def time_of(position: int) -> int:
        positions.append(position)
        return times[position - 1]

    return last_before(time, time_of, low=0, high=len(times)), len(positions)


@given(st.lists(st.integers(0, 50), max_size=60).map(sorted), st.integers(-1, 51), st.integers(0, 60))
def test_position_is_that_of_a_search_by_halves(times: list[int], time: int, start: int) -> None:
    """Times may repeat, and the search may begin anywhere."""
    low = min(start, len(times))

    position = last_before(time, lambda each: times[each - 1], low=low, high=len(times))
    assert max(low, bisect_left(times, time)) == position


@pytest.mark.parametrize("events", [1_000, 10_000_000])
def test_number_of_reads_does_not_grow_with_a_log_of_an_even_rate(events: int) -> None:
    """Halving takes 10 reads in a log of 1,000 events, and 24 in one of 10,000,000."""
    times = range(0, 7 * events, 7)

    for time in (8, 7 * events // 3, 7 * events // 2 + 3, 7 * events - 8):
        position, count = reads(times, time)
        assert bisect_left(times, time) == position
        assert count <= 6


def test_search_in_a_log_of_bursts_takes_at_most_twice_the_reads_of_halving() -> None:
    """All events but the last came at once, so that no rate says anything."""
    times = [*range(99_999), 10**15]

    for time in range(1, 99_999, 997):
        position, count = reads(times, time)
        assert time == position
        assert count <= 2 * 17 + 2


@pytest.mark.parametrize(("time", "position"), [(0, 0), (10**9, 1_000)])
def test_time_outside_of_the_log_takes_at_most_two_reads(time: int, position: int) -> None:
    """Retention looks once a minute, and mostly nothing has expired."""
    found, count = reads(range(1_000), time)

    assert position == found
    assert count <= 2
