"""The clock of a process: it is compared with a reference, and corrected while it is wrong."""

import itertools
import logging

import pytest

from eventfeed.log import clock as module
from eventfeed.log.clock import MachineClock, time_since_boot
from tests.support.engines import ManualClock

HOUR = 3_600_000_000
LIMIT = module.CLOCK_SKEW_MAX // 1_000


@pytest.fixture
def clock() -> ManualClock:
    """A clock whose reference is its offset at the start."""
    clock = ManualClock()
    clock.set_reference(earliest=clock.offset, latest=clock.offset)
    return clock


@pytest.mark.parametrize("step", [-5 * HOUR, 3 * HOUR, 60 * HOUR, 91 * 24 * HOUR, LIMIT + 1, -LIMIT - 1])
def test_clock_that_steps_is_corrected_until_it_is_right(clock: ManualClock, step: int) -> None:
    """The very next reading shows the step, and the time since boot replaces the clock."""
    begin = clock()
    clock.advance(HOUR)
    clock.now += step
    during, was_accurate, skew = clock(), clock.is_accurate, clock.skew
    clock.advance(HOUR)
    clock.now -= step
    after = clock()

    assert (HOUR * 1_000, 2 * HOUR * 1_000) == (during - begin, after - begin)
    assert (False, step * 1_000, True) == (was_accurate, skew, clock.is_accurate)


@pytest.mark.parametrize("step", [LIMIT, -LIMIT])
def test_small_step_of_the_clock_is_no_error(clock: ManualClock, step: int) -> None:
    """Time services make such steps, and the clock is used as it is."""
    clock.now += step

    assert clock.now * 1_000 == clock()
    assert clock.is_accurate


def test_clock_of_a_machine_that_was_asleep_is_right(clock: ManualClock) -> None:
    """The time since boot counts the time asleep too."""
    clock.advance(60 * HOUR)
    clock.check()

    assert clock.is_accurate


def test_fast_clock_is_wrong_once_it_is_ahead(clock: ManualClock) -> None:
    """A clock that runs too fast has no step, but the reference does not follow it."""
    accurate = list[bool]()
    for _ in range(4):
        clock.advance(2_000_000)
        clock.now += 2_000_000
        clock()
        accurate.append(clock.is_accurate)

    assert [True, True, False, False] == accurate


def test_clock_without_a_reference_is_right() -> None:
    """Nothing shows that it is wrong."""
    clock = ManualClock()
    clock.now += HOUR
    clock.check()

    assert (True, 0, clock.now * 1_000) == (clock.is_accurate, clock.skew, clock())


def test_each_change_of_the_clock_is_logged_once(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """The line has the difference and its direction."""
    with caplog.at_level(logging.WARNING):
        for step in (0, HOUR, 0, 0, -HOUR, 0):
            clock.now += step
            clock.check()

    assert [
        "The clock of this machine is 3600 s ahead of the store's, so this process appends nothing.",
        "The clock of this machine is right.",
    ] == [record.getMessage() for record in caplog.records]


def test_steady_time_begins_again_after_an_error_of_the_clock(clock: ManualClock) -> None:
    """It counts from the first comparison, then from each change."""
    times = list[int]()
    for step in (0, HOUR, -HOUR, 0):
        clock.advance(HOUR)
        clock.now += step
        clock.check()
        times.append(clock.steady_time)

    assert [0, 0, 0, HOUR * 1_000] == times


def test_readings_within_a_second_need_no_comparison(clock: ManualClock) -> None:
    """A step out of the second does, in both directions."""
    clock()
    readings = [clock.wall() + each * 1_000 for each in (0, 999_999, 1_000_000, -1)]

    assert [True, True, False, False] == [each in clock.checked for each in readings]


def test_new_reference_makes_a_comparison_due(clock: ManualClock) -> None:
    """A response of the store may show at once that the clock is wrong."""
    clock()
    clock.set_reference(earliest=clock.offset + 60_000_000_000, latest=clock.offset + 61_000_000_000)
    corrected = clock()

    assert (60_000_000_000, False) == (corrected - clock.wall(), clock.is_accurate)


def test_time_since_boot_grows_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without the file has a monotonic clock."""
    with_file = [time_since_boot(), time_since_boot()]
    monkeypatch.setattr(module, "_uptime_file", lambda: None)
    without_file = [time_since_boot(), time_since_boot()]

    for first, second in itertools.chain([with_file, without_file]):
        assert 0 < first <= second < first + 3_600_000_000_000


def test_machine_clock_reads_the_clock_that_it_is_given() -> None:
    """The time since boot is that of the machine unless a test sets it."""
    clock = MachineClock(lambda: 1_800_000_000_000_000_000)

    assert 1_800_000_000_000_000_000 == clock()
    assert abs(clock.offset + time_since_boot() - 1_800_000_000_000_000_000) < 60_000_000_000
