"""The position of a time in a log, whose times never decrease."""

from collections.abc import Callable


def last_before(time: int, time_of: Callable[[int], int], *, low: int, high: int) -> int:
    """Return the last position in (`low`, `high`] whose time is before `time`, else `low`.

    Each second guess follows the mean rate of events between two positions that were read, so a log of any length
    takes some ten reads. The others halve the range, since the rate may vary: so no log takes more than twice as many
    reads as halving alone.
    """
    if low >= high or (first := time_of(low + 1)) >= time:
        return low
    if (last := time_of(high)) < time:
        return high
    # `first` is the time of `low`, and `last` that of `high + 1`.
    low, high, is_guess = low + 1, high - 1, True
    while low < high:
        middle = (low + high + 1) // 2
        if is_guess:
            middle = low + max(1, (high + 1 - low) * (time - 1 - first) // (last - first))
        if (found := time_of(middle)) < time:
            low, first = middle, found
        else:
            high, last = middle - 1, found
        is_guess = not is_guess
    return low
