"""The reference of the clock that the processes of one SQLite file share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from eventfeed.log.sqlite.clock_reference import BEHIND_TIME_MAX, RENEW_TIME, ClockReference
from tests.support.engines import ManualClock

HOUR = 3_600_000_000
DAY = 24 * HOUR


class Machine:
    """A machine with processes on one store: each has a clock and the shared reference."""

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, ExitStack()
        self.clocks = list[ManualClock]()
        self.references = list[ClockReference]()
        self.elapsed = 0

    def start(self, *, ahead: int = 0, newest: int = 0) -> ManualClock:
        """Start a process whose clock is ahead (µs); `newest` is the time of the newest entry."""
        clock = ManualClock()
        clock.advance(self.elapsed)
        clock.now += ahead
        reference = ClockReference(self._path, clock)
        self._stack.callback(reference.close)
        reference.open(newest=newest)
        self.clocks.append(clock)
        self.references.append(reference)
        return clock

    def advance(self, microseconds: int) -> None:
        """Let time pass for every process; then each refreshes its reference."""
        self.elapsed += microseconds
        for clock, reference in zip(self.clocks, self.references, strict=True):
            clock.advance(microseconds)
            reference.refresh()

    def stop(self) -> None:
        """Stop every process."""
        self._stack.close()
        self.clocks.clear()
        self.references.clear()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine without a process so far."""
    machine = Machine(tmp_path / "log.clock")
    yield machine
    machine.stop()


STEPS = [-5 * HOUR, 3 * HOUR, 60 * HOUR, 91 * DAY]


@pytest.mark.parametrize("step", STEPS)
def test_clock_that_steps_is_compared_with_the_start_of_its_process(machine: Machine, step: int) -> None:
    """The process alone finds it, and also that the clock is right again."""
    clock = machine.start()
    clock.now += step
    machine.advance(HOUR)
    is_accurate = clock.is_accurate
    clock.now -= step
    machine.advance(HOUR)

    assert (False, True) == (is_accurate, clock.is_accurate)


@pytest.mark.parametrize("step", STEPS)
def test_process_with_another_clock_than_the_running_ones_is_wrong(machine: Machine, step: int) -> None:
    """The other process is undisturbed, also after hours, and when its clock has been the reference for long."""
    first = machine.start()
    machine.advance(3 * DAY)
    second = machine.start(ahead=step)
    for _ in range(5):
        machine.advance(HOUR)

    assert (True, False, step * 1_000) == (first.is_accurate, second.is_accurate, second.skew)


def test_process_after_the_last_one_has_a_new_reference(machine: Machine) -> None:
    """A store whose processes were stopped for days says nothing about the clock."""
    machine.start()
    machine.stop()
    clock = machine.start(ahead=3 * DAY)

    assert clock.is_accurate


def test_wrong_process_keeps_the_reference_of_a_right_one(machine: Machine) -> None:
    """A right process that starts again is right."""
    machine.start()
    wrong = machine.start(ahead=60 * HOUR)
    machine.references.pop(0).close()
    machine.clocks.pop(0)
    machine.advance(2 * HOUR)
    again = machine.start()

    assert (False, True) == (wrong.is_accurate, again.is_accurate)


def test_machine_that_was_asleep_has_the_right_time(machine: Machine) -> None:
    """Clock and time since boot count the time asleep."""
    clock = machine.start()
    machine.advance(60 * HOUR)

    assert clock.is_accurate


def test_small_steps_of_the_clock_do_not_add_up(machine: Machine) -> None:
    """The reference follows a clock that is right, but only once in an hour."""
    clock = machine.start()
    accurate = list[bool]()
    for pause in (RENEW_TIME // 1_000, RENEW_TIME // 1_000, 1_000_000, 1_000_000):
        clock.now += 3_000_000
        machine.advance(pause)
        accurate.append(clock.is_accurate)

    assert [True, True, True, False] == accurate


def test_clock_behind_the_newest_entry_is_wrong_until_it_is_set(machine: Machine) -> None:
    """A machine without a battery for its clock starts in the past. From its correction on, steps are found."""
    newest = ManualClock().now
    clock = machine.start(ahead=-5 * HOUR, newest=newest)
    other = machine.start(ahead=-5 * HOUR, newest=newest)
    before = clock.is_accurate, other.is_accurate, clock.skew
    clock.now += 5 * HOUR
    other.now += 5 * HOUR
    machine.advance(60_000_000)
    after = clock.is_accurate, other.is_accurate
    clock.now += 60 * HOUR
    machine.advance(60_000_000)

    assert (False, False, -5 * HOUR * 1_000) == before
    assert ((True, True), (False, True)) == (after, (clock.is_accurate, other.is_accurate))


def test_newest_entry_from_the_future_stops_no_process_for_long(machine: Machine) -> None:
    """A clock that stays behind the entry is right after ten minutes: then the entry is wrong."""
    clock = machine.start(newest=ManualClock().now + 60 * HOUR)
    machine.advance(BEHIND_TIME_MAX // 1_000 - 1)
    before = clock.is_accurate
    machine.advance(1)
    machine.advance(1)

    assert (False, True) == (before, clock.is_accurate)


def test_reference_of_a_process_killed_at_its_start_is_replaced(machine: Machine, tmp_path: Path) -> None:
    """The file is empty, but locked by another process."""
    (tmp_path / "log.clock").touch()
    first = machine.start()
    (tmp_path / "log.clock").write_bytes(b"")
    second = machine.start()
    second.now += 60 * HOUR
    machine.advance(60_000_000)

    assert (True, False) == (first.is_accurate, second.is_accurate)


def test_held_reference_outlives_the_processes_that_use_it(machine: Machine, tmp_path: Path) -> None:
    """A worker that starts again after a crash is compared with the clock of its predecessor."""
    holder = ClockReference(tmp_path / "log.clock", ManualClock())
    holder.hold()
    first = machine.start()
    machine.stop()
    wrong = machine.start(ahead=60 * HOUR)
    machine.stop()
    holder.close()
    later = machine.start(ahead=60 * HOUR)

    assert (True, False, True) == (first.is_accurate, wrong.is_accurate, later.is_accurate)


def test_holder_leaves_the_first_reference_to_a_process_that_uses_it(machine: Machine, tmp_path: Path) -> None:
    """A reference of earlier processes does not count, and the newest entry does."""
    machine.start()
    machine.stop()
    holder = ClockReference(tmp_path / "log.clock", ManualClock())
    holder.hold()
    clock = machine.start(ahead=DAY, newest=ManualClock().now + 2 * DAY)
    holder.close()

    assert -DAY * 1_000 == clock.skew


def test_file_of_the_reference_is_readable_by_its_owner_alone(machine: Machine, tmp_path: Path) -> None:
    """As every file of the store."""
    machine.start()

    assert 0o600 == (tmp_path / "log.clock").stat().st_mode & 0o777
