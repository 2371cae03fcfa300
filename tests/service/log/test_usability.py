"""The judgement of a store: evidence of appends, probes, and one log line for each change."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from eventfeed.domain.errors import LogDamaged, StoreUnusable, TailMoved, Unavailable
from eventfeed.domain.event import Entry
from eventfeed.domain.ports import CLOCK_SECOND, EventLog, Head
from eventfeed.domain.publishing import Submission
from eventfeed.log import usability
from eventfeed.log.appender import Appender
from eventfeed.log.memory.tail import Tail
from eventfeed.log.sqlite.clock_reference import ClockReference
from eventfeed.log.sqlite.connections import BUSY_MILLISECONDS
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.log.usability import Usability, usability_of_log
from tests.support.engines import ManualClock, running_appender
from tests.support.events import entries, event
from tests.support.faulty_log import FaultyLog
from tests.support.sqlite_store import query


class ProbedLog(FaultyLog):
    """A log whose probes and appends fail with `failure`, and are counted."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log)
        self.failure: Unavailable | None = None
        self.end_offset: int | None = None
        self.probes = 0

    async def probe(self) -> Head:
        """Fail, or return the ends of the log."""
        self.probes += 1
        if self.failure:
            raise self.failure
        head = await super().probe()
        return head if self.end_offset is None else Head(log=head.log, log_start=0, end_offset=self.end_offset, time=0)

    async def append(self, entries: Sequence[Entry], *, after: int) -> None:
        """Fail, or append."""
        self.appends.append((after, entries))
        if self.failure:
            raise self.failure
        await super().append(entries, after=after)


@pytest.fixture
def probed(log: SqliteLog) -> ProbedLog:
    """A log whose probes can fail."""
    return ProbedLog(log)


def changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines about the store."""
    return [record.getMessage() for record in caplog.records if "the store is" in record.getMessage()]


async def publish(appender: Appender) -> None:
    """Publish one event."""
    await appender.publish(Submission(events=[event()], pointers=[""], admin=True))


async def test_judgement_is_used_again_for_a_moment(probed: ProbedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many readiness requests cause one probe; a change shows within a second."""
    judge = usability_of_log(probed, Tail(probed))
    monkeypatch.setattr(usability, "JUDGEMENT_SECONDS", 1_000)
    for _ in range(10):
        await judge.require_usable()

    assert 1 == probed.probes


def test_readiness_responds_within_a_second_to_a_change() -> None:
    """An earlier judgement and the wait for a new one together take less."""
    assert usability.JUDGEMENT_SECONDS + usability.ANSWER_SECONDS < 1


def test_probe_waits_for_a_lock_as_long_as_an_append() -> None:
    """Only then it is a fault: a publish during a shorter lock gets its receipt."""
    assert usability.PROBE_SECONDS_MAX > BUSY_MILLISECONDS / 1_000


HOUR = 3_600_000_000
STEPS = [-5 * HOUR, 3 * HOUR, 60 * HOUR, 91 * 24 * HOUR]


def compare_with_process(clock: ManualClock, folder: Path, *, elapsed: int) -> None:
    """Give the clock the reference of a process that runs on the same SQLite file."""
    right = ManualClock()
    right.advance(elapsed)
    references = [ClockReference(folder / "log.clock", each) for each in (right, clock)]
    for reference in references:
        reference.open(newest=0)
    for reference in references:
        reference.close()


def compare_with_store(clock: ManualClock, _: Path, *, elapsed: int) -> None:
    """Give the clock the reference of a store that has a clock of its own, which shows seconds."""
    right = ManualClock()
    right.advance(elapsed)
    clock.set_reference(earliest=right.offset, latest=right.offset + CLOCK_SECOND)


@pytest.mark.parametrize("compare", [compare_with_process, compare_with_store])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_wrong_at_start", [False, True])
async def test_wrong_clock_is_unready_within_a_minute_of_its_own_time(
    log: SqliteLog, tmp_path: Path, compare: Callable[..., None], step: int, *, is_wrong_at_start: bool
) -> None:
    """The time since boot counts, so a busy machine changes nothing. Readiness asks once a second."""
    clock = ManualClock()
    clock.advance(HOUR)
    clock.now += step * is_wrong_at_start
    compare(clock, tmp_path, elapsed=HOUR)
    async with running_appender(log, clock=clock) as (appender, _):
        for _ in range(10 * (not is_wrong_at_start)):
            clock.advance(1_000_000)
            await appender.require_usable()
        clock.now += step * (not is_wrong_at_start)
        assert await seconds_until_unready(appender, clock) <= 60


async def seconds_until_unready(appender: Appender, clock: ManualClock) -> int:
    """Let seconds pass until readiness says that the clock is wrong, and return their number; 61 if it never does."""
    for second in range(61):
        try:
            await appender.require_usable()
        except Unavailable as refusal:
            assert "clock of this machine" in str(refusal)  # noqa: PT017  # of a loop
            return second
        clock.advance(1_000_000)
    return 61


class SlowStore:
    """A store with a probe that waits for its result, and the judgement of it."""

    def __init__(self) -> None:
        self.probes = 0
        self.result = asyncio.get_running_loop().create_future()
        self.judge = Usability("the store", self.probe)

    async def probe(self) -> None:
        """Wait for the result."""
        self.probes += 1
        await self.result

    async def end(self, failure: Unavailable | None = None) -> None:
        """End the probe under way, and let it be judged."""
        if failure:
            self.result.set_exception(failure)
        else:
            self.result.set_result(None)
        await self.judge._probing.run(self.judge._judge_by_probe)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    """A store whose probe takes until the test ends it."""
    monkeypatch.setattr(usability, "ANSWER_SECONDS", 0.001)
    monkeypatch.setattr(usability, "JUDGEMENT_SECONDS", 0)
    return SlowStore()


async def test_short_lock_changes_only_the_notice(slow: SlowStore, caplog: pytest.LogCaptureFixture) -> None:
    """The last judgement is valid until the one probe under way has its result."""
    for _ in range(3):
        await slow.judge.require_usable()
    during = slow.judge.notice
    await slow.end()

    assert "the store does not respond" in during
    assert (1, "") == (slow.probes, slow.judge.notice)
    assert [] == changes(caplog)


async def test_lock_that_outlasts_an_append_is_a_fault(slow: SlowStore, caplog: pytest.LogCaptureFixture) -> None:
    """It is told until a later probe succeeds."""
    await slow.judge.require_usable()
    await slow.end(StoreUnusable("Another program has locked it."))
    slow.result = asyncio.get_running_loop().create_future()
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="has locked it"):
            await slow.judge.require_usable()
    await slow.end()

    assert (None, 2) == (slow.judge.fault, len(changes(caplog)))


async def test_store_that_never_responds_is_a_fault(slow: SlowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may hang for ever. The store is usable as soon as the probe ends."""
    monkeypatch.setattr(usability, "PROBE_SECONDS_MAX", 0)
    with pytest.raises(StoreUnusable, match="has not responded"):
        await slow.judge.require_usable()
    await slow.end()

    assert slow.judge.fault is None


async def test_each_change_is_logged_once(
    probed: ProbedLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Publishers and readiness get the reason as often as they ask."""
    monkeypatch.setattr(usability, "JUDGEMENT_SECONDS", 0)
    async with running_appender(probed, clock=ManualClock()) as (appender, _):
        with caplog.at_level(logging.WARNING):
            await appender.require_usable()
            probed.failure = StoreUnusable("The disk is full.")
            for _ in range(3):
                with pytest.raises(StoreUnusable, match="The disk is full"):
                    await publish(appender)
                with pytest.raises(StoreUnusable, match="The disk is full"):
                    await appender.require_usable()
            probed.failure = None
            await publish(appender)
            await appender.require_usable()

    assert ["the store is not usable: The disk is full.", "the store is usable again"] == changes(caplog)


@pytest.mark.parametrize("failure", [StoreUnusable("lost"), LogDamaged("cut off")])
async def test_append_that_cannot_succeed_is_tried_once(probed: ProbedLog, failure: Unavailable) -> None:
    """The publisher does not wait for the time of a batch."""
    probed.failure = failure
    async with running_appender(probed, clock=ManualClock()) as (appender, _):
        with pytest.raises(type(failure)):
            await asyncio.wait_for(publish(appender), timeout=60)

    assert 1 == len(probed.appends)


async def test_lost_race_is_no_fault_of_the_store(probed: ProbedLog, caplog: pytest.LogCaptureFixture) -> None:
    """Only failures that stop every append count."""
    judge = usability_of_log(probed, Tail(probed))
    judge.refute(TailMoved(expected=1, actual=2))
    judge.refute(Unavailable("The queue is full."))
    await judge.require_usable()

    assert [] == changes(caplog)


async def test_store_that_ends_before_the_known_end_is_not_usable(log: SqliteLog, probed: ProbedLog) -> None:
    """An older copy was put in its place."""
    await log.append(entries(1, 3), after=0)
    await (tail := Tail(probed)).start()
    probed.end_offset = 2
    with pytest.raises(LogDamaged, match="ends at 2, before 3"):
        await usability_of_log(probed, tail).require_usable()


async def test_probe_changes_no_entry(log: SqliteLog, tmp_path: Path) -> None:
    """It writes a page as it is, in the file at the path."""
    await log.append(entries(1, 3), after=0)
    before, written = await log.head(), (tmp_path / "log.db-wal").stat().st_size

    assert before == await log.probe() == await log.head()
    assert (tmp_path / "log.db-wal").stat().st_size > written


async def test_probe_keeps_the_number_of_the_layout(log: SqliteLog, tmp_path: Path) -> None:
    """A later release may have upgraded the file."""
    await log._writer.bind(lambda db: db.execute("PRAGMA user_version = 99").fetchall())()
    await log.probe()

    assert [(99,)] == list(query(tmp_path / "log.db", "PRAGMA user_version"))


async def test_probe_finds_a_read_only_file(log: SqliteLog) -> None:
    """The reason is the one that an append gives."""
    for pool in (log._prober, log._writer):
        await pool.bind(lambda db: db.execute("PRAGMA query_only = ON"))()
    for call in (log.probe(), log.append(entries(1, 1), after=0)):
        with pytest.raises(StoreUnusable, match="read-only"):
            await call
