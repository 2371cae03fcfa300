"""Failures of appends: what publishers read, and what holds the appender."""

import asyncio
from collections.abc import Sequence

import pytest

from eventfeed.domain.errors import NotDone, OutcomeUnknown, StoreAway, StoreUnusable, TailMoved, Unavailable
from eventfeed.domain.event import Entry, Event
from eventfeed.domain.ports import EventLog, Head, Plan
from eventfeed.domain.publishing import Receipt
from eventfeed.log import appender as appender_module
from eventfeed.log import doubt
from eventfeed.log.appender import Appender
from tests.support.engines import ManualClock, running_appender
from tests.support.events import all_entries, entry, event, submission
from tests.support.faulty_log import RETRY_SECONDS, Fault, FaultyLog


class AwayLog(FaultyLog):
    """A log whose reads fail with `failure`, if there is one."""

    failure: Unavailable | None = None

    async def append_new(self, events: Sequence[Event], *, tail: Head, plan: Plan) -> None:
        """Fail, or append."""
        self._fail()
        await super().append_new(events, tail=tail, plan=plan)

    async def head(self) -> Head:
        """Fail, or return the ends."""
        self._fail()
        return await super().head()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


async def failure_of(appender: Appender, *events: Event) -> Unavailable:
    """Return the failure of a publish."""
    with pytest.raises(Unavailable) as failure:
        await appender.publish(submission(*events or [event()]))
    return failure.value


async def publish_until_stored(appender: Appender, same: Event) -> Receipt:
    """Publish an event again until it has a receipt, as a client does."""
    for _ in range(10_000):
        try:
            (receipt,) = await appender.publish(submission(same))
        except NotDone:
            await asyncio.sleep(0.001)
        else:
            return receipt
    raise AssertionError("the doubt did not end")


async def test_refused_append_fails_at_once_and_the_next_batch_follows(log: EventLog, clock: ManualClock) -> None:
    """The publisher gets the store's time and status, and reads that nothing was written. No attempt follows."""
    faulty = FaultyLog(log, Fault.REFUSAL)
    async with running_appender(faulty, clock=clock) as (appender, _):
        failure = await failure_of(appender)
        attempts = len(faulty.appends)
        (receipt,) = await appender.publish(submission(event()))

    assert isinstance(failure, NotDone)
    assert (RETRY_SECONDS, "The store refused it: status 429. Nothing was written.") == (
        failure.retry_seconds,
        str(failure),
    )
    assert (1, 1) == (attempts, receipt.sequence)


async def test_failed_lookup_before_an_append_is_not_done(log: EventLog, clock: ManualClock) -> None:
    """The events were only looked up. A store that is away stays that kind of failure."""
    away, failures = AwayLog(log), list[Unavailable]()
    async with running_appender(away, clock=clock) as (appender, _):
        for away.failure in (Unavailable("It is slow."), StoreAway("It is away.", retry_seconds=7)):
            failures.append(await failure_of(appender))

    assert [NotDone, StoreAway] == [type(each) for each in failures]
    assert [("It is slow. Nothing was written.", 1), ("It is away. Nothing was written.", 7)] == [
        (str(each), each.retry_seconds) for each in failures
    ]


async def test_wrong_clock_and_a_full_queue_are_not_done(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both refuse a publish before anything is sent."""
    clock.set_reference(earliest=(offset := clock.offset), latest=offset)
    async with running_appender(log, clock=clock) as (appender, _):
        clock.now += 60_000_000
        by_clock = await failure_of(appender)
        monkeypatch.setattr(appender_module, "QUEUE_EVENTS_MAX", 0)
        by_queue = await failure_of(appender)

    assert [NotDone, NotDone] == [type(by_clock), type(by_queue)]
    assert all("Nothing was written." in str(each) for each in (by_clock, by_queue))


async def test_refusal_of_a_retry_does_not_end_the_doubt(log: EventLog, clock: ManualClock) -> None:
    """The first request may still arrive. The same entries follow at the same position until one of them is in."""
    faulty = FaultyLog(log, Fault.LATE, Fault.REFUSAL, Fault.REFUSAL)
    async with running_appender(faulty, clock=clock) as (appender, _):
        (receipt,) = await appender.publish(submission(event()))

    assert (1, False) == (receipt.sequence, receipt.duplicate)
    assert 4 == len(faulty.appends)
    assert all(faulty.appends[0] == each for each in faulty.appends)


async def test_late_request_ends_the_doubt_while_the_store_refuses(log: EventLog, clock: ManualClock) -> None:
    """The look-up finds the entries of the first request, which are the publisher's own."""
    faulty = FaultyLog(log, Fault.LATE, *[Fault.REFUSAL] * 99)
    async with running_appender(faulty, clock=clock) as (appender, _):
        publish = appender.publish(submission(event()))
        await faulty.append_started.wait()
        await faulty.deliver_late()
        (receipt,) = await publish

    assert (1, False) == (receipt.sequence, receipt.duplicate)


async def test_long_doubt_fails_every_publish_at_once(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the batch read that events may be stored, those that wait and new ones that nothing was written."""
    monkeypatch.setattr(doubt, "DOUBT_SECONDS_MAX", 0.0)
    faulty, same = FaultyLog(log, *[Fault.REQUEST_LOST] * 10_000), event()
    async with running_appender(faulty, clock=clock) as (appender, _):
        first = asyncio.ensure_future(failure_of(appender, same))
        await faulty.append_started.wait()
        waiting = await failure_of(appender)
        new = await failure_of(appender)
        depth, in_doubt = appender.depth, await first
        faulty.plan.clear()
        receipt = await publish_until_stored(appender, same)

    assert [OutcomeUnknown, NotDone, NotDone, 0] == [type(in_doubt), type(waiting), type(new), depth]
    assert "Events may be stored. Repeating the publish is safe." in str(in_doubt)
    assert all("Nothing was written." in str(each) for each in (waiting, new))
    assert [same] == [each.event for each in await all_entries(log)]
    assert (1, True) == (receipt.sequence, receipt.duplicate)


async def test_doubt_ends_when_another_writer_has_the_position(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lost entries can no longer arrive, so a failure of the next attempt says that nothing was written."""
    monkeypatch.setattr(appender_module, "RACE_SECONDS_MAX", 0.0)

    class RacingLog(AwayLog):
        async def append(self, entries: Sequence[Entry], *, after: int) -> None:  # noqa: ARG002  # of the port
            await log.append([entry(1)], after=0)
            self.failure = StoreAway("It is away.")
            raise OutcomeUnknown("the response was lost")

    async with running_appender(RacingLog(log), clock=clock) as (appender, _):
        failure = await failure_of(appender)

    assert (StoreAway, "It is away. Nothing was written.") == (type(failure), str(failure))


async def test_failure_after_a_part_was_stored_is_an_unknown_outcome(log: EventLog, clock: ManualClock) -> None:
    """The rest of the batch was certainly not written, but its publisher must not read that nothing was."""

    class PartlyWrittenLog(AwayLog):
        async def append(self, entries: Sequence[Entry], *, after: int) -> None:  # noqa: ARG002  # of the port
            await log.append([*entries[:1], entry(2, time=entries[0].time)], after=0)
            self.failure = StoreAway("It is away.")
            raise TailMoved(expected=0, actual=2)

    async with running_appender(PartlyWrittenLog(log), clock=clock) as (appender, _):
        failure = await failure_of(appender, event(), event())

    assert (OutcomeUnknown, True) == (type(failure), "may be stored" in str(failure))


async def test_failed_batches_are_counted_by_what_is_known(log: EventLog, clock: ManualClock) -> None:
    """A refusal, and a store that takes no appends until its fault is removed."""
    faulty = AwayLog(log, Fault.REFUSAL)
    async with running_appender(faulty, clock=clock) as (appender, _):
        await failure_of(appender)
        faulty.failure = StoreUnusable("The disk is full.")
        await failure_of(appender)
        counts = appender._telemetry.counters["eventfeed.append.failed"].series

    assert {(log.engine, "not_done"): 1, (log.engine, "unusable"): 1} == counts
