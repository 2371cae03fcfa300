"""The appender: a receipt only for a durable event, and each event once, whatever response the store gives."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from eventfeed.domain.errors import EventConflict, ForeignSource, LogDamaged, Unavailable
from eventfeed.domain.event import App, Entry
from eventfeed.domain.ports import EventLog
from eventfeed.log import appender as module
from tests.support.engines import ManualClock, running_appender
from tests.support.events import all_entries, entries, entry, event, submission
from tests.support.faulty_log import Fault, FaultyLog


async def test_receipt_has_the_sequence_and_time_of_its_event(log: EventLog, clock: ManualClock) -> None:
    """Receipts have the order of the events in the request."""
    async with running_appender(log, clock=clock) as (appender, _):
        receipts = await appender.publish(submission(event("a"), event("b")))

    assert [("a", 1, clock.now, False), ("b", 2, clock.now, False)] == [
        (receipt.identity.id, receipt.sequence, receipt.time, receipt.duplicate) for receipt in receipts
    ]


async def test_repeated_event_gets_the_first_receipt(log: EventLog, clock: ManualClock) -> None:
    """A repeat appends nothing. Its receipt has the sequence and time of the first, and is marked as a duplicate."""
    async with running_appender(log, clock=clock) as (appender, _):
        (first,) = await appender.publish(submission(same := event()))
        clock.now += 5
        (second,) = await appender.publish(submission(same))

    assert (first.sequence, first.time, True) == (second.sequence, second.time, second.duplicate)
    assert 1 == len(await all_entries(log))


async def test_repeated_event_within_one_request_is_a_duplicate(log: EventLog, clock: ManualClock) -> None:
    """The second of two equal events in a request is the duplicate."""
    same = event()
    async with running_appender(log, clock=clock) as (appender, _):
        receipts = await appender.publish(submission(same, same))

    assert [(1, False), (1, True)] == [(receipt.sequence, receipt.duplicate) for receipt in receipts]


async def test_existing_identity_with_other_content_is_a_conflict(log: EventLog, clock: ManualClock) -> None:
    """A request with one conflict writes none of its events."""
    async with running_appender(log, clock=clock) as (appender, _):
        await appender.publish(submission(event("a", instance=1)))
        with pytest.raises(EventConflict) as error:
            await appender.publish(submission(event("b"), event("a", instance=1, content=b"other")))

    assert ["/1"] == [fault.pointer for fault in error.value.faults]
    assert 1 == len(await all_entries(log))


async def test_conflict_within_one_request_writes_nothing(log: EventLog, clock: ManualClock) -> None:
    """Two events of one request have the same identity and different content."""
    async with running_appender(log, clock=clock) as (appender, _):
        with pytest.raises(EventConflict):
            await appender.publish(submission(event("a", instance=1), event("a", instance=1, content=b"other")))

    assert [] == list(await all_entries(log))


async def test_event_about_an_instance_of_another_app_is_rejected(log: EventLog, clock: ManualClock) -> None:
    """An instance belongs to the app that published its first event. Only an admin may add events of another app."""
    other_app = App(org="skd", name="tyveri")
    async with running_appender(log, clock=clock) as (appender, _):
        await appender.publish(submission(event(instance=1)))
        with pytest.raises(ForeignSource):
            await appender.publish(submission(event(instance=1, app=other_app)))
        (receipt,) = await appender.publish(submission(event(instance=1, app=other_app), admin=True))

    assert 2 == receipt.sequence


async def test_concurrent_publishes_share_appends_and_keep_their_order(log: EventLog, clock: ManualClock) -> None:
    """The sequences of all publishers are dense, and those of each publisher are consecutive."""
    faulty = FaultyLog(log)
    async with running_appender(faulty, clock=clock) as (appender, _):
        results = await asyncio.gather(*(appender.publish(submission(event(), event())) for _ in range(50)))
    sequences = [[receipt.sequence for receipt in receipts] for receipts in results]

    assert all(first + 1 == second for first, second in sequences)
    assert list(range(1, 101)) == sorted(itertools.chain.from_iterable(sequences))
    assert len(faulty.appends) <= 3


async def test_conflict_does_not_affect_other_publishers_of_the_batch(log: EventLog, clock: ManualClock) -> None:
    """In a shared batch only the request with the conflict fails. Its other events do not count as published."""
    shared_event = event("b")
    async with running_appender(log, clock=clock) as (appender, _):
        await appender.publish(submission(event("a", instance=1)))
        error, receipts = await asyncio.gather(
            appender.publish(submission(shared_event, event("a", instance=1, content=b"other"))),
            appender.publish(submission(shared_event)),
            return_exceptions=True,
        )

    assert isinstance(error, EventConflict)
    assert isinstance(receipts, list)
    assert [(2, False)] == [(receipt.sequence, receipt.duplicate) for receipt in receipts]


async def test_registration_time_after_a_clock_step_back_does_not_decrease(log: EventLog, clock: ManualClock) -> None:
    """An entry gets at least the time of the entry before it."""
    async with running_appender(log, clock=clock) as (appender, _):
        await appender.publish(submission(event()))
        clock.now -= 60_000_000
        await appender.publish(submission(event()))
    times = [each.time for each in await all_entries(log)]

    assert [clock.now + 60_000_000] * 2 == times


async def test_event_after_a_lost_race_is_compared_with_the_winner(log: EventLog, clock: ManualClock) -> None:
    """An event that another process has appended is a duplicate if it is equal, and a conflict if it differs."""
    async with running_appender(log, clock=clock) as (appender, _):
        await log.append([entry(1, of=(same := event("a", instance=1)))], after=0)
        (receipt,) = await appender.publish(submission(same))
        await log.append([entry(2, of=event("b", instance=2))], after=1)
        with pytest.raises(EventConflict):
            await appender.publish(submission(event("b", instance=2, content=b"other")))

    assert (1, True) == (receipt.sequence, receipt.duplicate)
    assert 2 == len(await all_entries(log))


async def test_race_lost_between_lookup_and_append_repeats_the_lookup(log: EventLog, clock: ManualClock) -> None:
    """Lookup and append use the same end offset, so an equal event that is appended in between is found."""
    same = event("a", instance=1)

    class RacingLog(FaultyLog):
        async def append(self, entries: Sequence[Entry], *, after: int) -> None:
            if not self.appends:
                self.appends.append((after, entries))
                await log.append([entry(1, of=same, write_id="other")], after=0)
            await super().append(entries, after=after)

    async with running_appender(RacingLog(log), clock=clock) as (appender, _):
        (receipt,) = await appender.publish(submission(same))

    assert (1, True) == (receipt.sequence, receipt.duplicate)
    assert 1 == len(await all_entries(log))


async def test_tail_refresh_between_lookup_and_append_does_not_hide_a_duplicate(
    log: EventLog, clock: ManualClock
) -> None:
    """The append uses the end offset of the lookup, not the tail's newer one. It fails, and the lookup is repeated."""
    same = event("a", instance=1)

    class OvertakenLog(FaultyLog):
        async def append(self, entries: Sequence[Entry], *, after: int) -> None:
            if not self.appends:
                await log.append([entry(1, of=same, write_id="other", time=clock.now)], after=0)
                await tail.refresh(past=1)
            await super().append(entries, after=after)

    async with running_appender(OvertakenLog(log), clock=clock) as (appender, tail):
        (receipt,) = await appender.publish(submission(same))

    assert (1, True) == (receipt.sequence, receipt.duplicate)


@pytest.mark.parametrize("fault", [Fault.RESPONSE_LOST, Fault.REQUEST_LOST, Fault.FIRST_ONLY])
async def test_append_with_an_unknown_outcome_writes_each_event_once(
    log: EventLog, clock: ManualClock, fault: Fault
) -> None:
    """The appender reads the positions. Every event is in the log once and in order, and no receipt says duplicate."""
    events = [event(), event(), event()]
    async with running_appender(FaultyLog(log, fault, fault), clock=clock) as (appender, _):
        receipts = await appender.publish(submission(*events))

    assert events == [each.event for each in await all_entries(log)]
    assert [(1, False), (2, False), (3, False)] == [(each.sequence, each.duplicate) for each in receipts]


async def test_late_request_after_its_retry_is_rejected(log: EventLog, clock: ManualClock) -> None:
    """The retry has the same entries at the same positions, so the late request finds the first position occupied."""
    faulty = FaultyLog(log, Fault.LATE)
    async with running_appender(faulty, clock=clock) as (appender, _):
        await appender.publish(submission(event(), event()))
        with pytest.raises(Unavailable):
            await faulty.deliver_late()

    assert faulty.appends[0] == faulty.appends[1]
    assert 2 == len(await all_entries(log))


async def test_retry_after_an_unknown_outcome_adds_no_submission(log: EventLog, clock: ManualClock) -> None:
    """The retry is unchanged, although more publishers wait by then."""
    faulty = FaultyLog(log, Fault.REQUEST_LOST, Fault.REQUEST_LOST)
    async with running_appender(faulty, clock=clock) as (appender, _):
        first = appender.publish(submission(event()))
        await faulty.append_started.wait()
        await asyncio.gather(first, *(appender.publish(submission(event())) for _ in range(5)))

    assert faulty.appends[0] == faulty.appends[1] == faulty.appends[2]


async def test_partly_written_batch_is_continued_after_the_winner(log: EventLog, clock: ManualClock) -> None:
    """Another writer takes a position in the middle. Entries before it keep theirs, and the rest follows the winner."""
    other_event = event()

    class PartlyWrittenLog(FaultyLog):
        async def append(self, entries: Sequence[Entry], *, after: int) -> None:
            if not self.appends:
                self.appends.append((after, entries))
                await log.append([*entries[:1], entry(2, of=other_event, time=entries[0].time)], after=0)
            await super().append(entries, after=after)

    events = [event(), event()]
    async with running_appender(PartlyWrittenLog(log), clock=clock) as (appender, _):
        receipts = await appender.publish(submission(*events))

    assert [events[0], other_event, events[1]] == [each.event for each in await all_entries(log)]
    assert [(1, False), (3, False)] == [(each.sequence, each.duplicate) for each in receipts]


async def test_publish_beyond_the_deadline_is_unavailable_and_can_be_repeated(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish with an unknown outcome gets no receipt. A repeat gets one as soon as the store responds."""
    monkeypatch.setattr(module, "WRITE_SECONDS_MAX", 0.0)
    faulty = FaultyLog(log, *[Fault.REQUEST_LOST] * 5)
    same = event()
    async with running_appender(faulty, clock=clock) as (appender, _):
        with pytest.raises(Unavailable):
            await appender.publish(submission(same))
        faulty.plan.clear()
        (receipt,) = await appender.publish(submission(same))

    assert (1, False) == (receipt.sequence, receipt.duplicate)


async def test_publish_to_a_full_queue_is_unavailable_at_once(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has a time to retry, and no event of the publish is written."""
    monkeypatch.setattr(module, "QUEUE_EVENTS_MAX", 3)
    async with running_appender(log, clock=clock) as (appender, _):
        waiting = asyncio.gather(*(appender.publish(submission(event())) for _ in range(3)))
        with pytest.raises(Unavailable) as error:
            await appender.publish(submission(event()))
        await waiting

    assert 1 == error.value.retry_seconds
    assert 3 == len(await all_entries(log))


async def test_publish_beyond_the_bytes_of_the_queue_is_unavailable(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit counts the bytes of the events as they are stored."""
    small, large = event(size=1), event(size=100)
    monkeypatch.setattr(module, "QUEUE_BYTES_MAX", len(small.body) + len(large.body))
    async with running_appender(log, clock=clock) as (appender, _):
        waiting = appender.publish(submission(small, large))
        with pytest.raises(Unavailable, match="waiting"):
            await appender.publish(submission(event()))
        await waiting
        await appender.publish(submission(event()))

    assert 3 == len(await all_entries(log))


async def test_event_with_a_receipt_is_in_the_tail(log: EventLog, clock: ManualClock) -> None:
    """This also holds for the receipt of a duplicate that another process appended."""
    async with running_appender(log, clock=clock) as (appender, tail):
        await log.append([*entries(1, 3), entry(4, of=(same := event()))], after=0)
        await appender.publish(submission(same))

    assert 4 == tail.head.end_offset


async def test_tail_reads_what_other_processes_wrote_before_an_append(log: EventLog, clock: ManualClock) -> None:
    """The tail passes no entry that it has not read, and readers get all of them from memory."""
    async with running_appender(log, clock=clock) as (appender, tail):
        await log.append(others := entries(1, 3), after=0)
        (receipt,) = await appender.publish(submission(new := event()))
        in_memory = tail.entries_after(0) or ()

    assert (4, 4, False) == (tail.head.end_offset, receipt.sequence, receipt.duplicate)
    assert [*(each.event for each in others), new] == [each.event for each in in_memory]


async def test_event_is_not_registered_before_an_entry_of_another_process(log: EventLog, clock: ManualClock) -> None:
    """Its time is at least that of the entry before it, which this process has not read when the publish arrives."""
    async with running_appender(log, clock=clock) as (appender, _):
        await log.append([entry(1, time=clock.now + 3_000_000)], after=0)
        (receipt,) = await appender.publish(submission(event()))

    assert (2, clock.now + 3_000_000) == (receipt.sequence, receipt.time)


@pytest.mark.parametrize("fault", [Fault.RESPONSE_LOST, Fault.REQUEST_LOST, Fault.FIRST_ONLY])
async def test_unknown_outcome_after_entries_of_another_process_writes_each_event_once(
    log: EventLog, clock: ManualClock, fault: Fault
) -> None:
    """The positions that are looked up follow the end that the batch was planned for, and the tail reads up to it."""
    events = [event(), event()]
    async with running_appender(FaultyLog(log, fault, fault), clock=clock) as (appender, tail):
        await log.append(others := entries(1, 3), after=0)
        receipts = await appender.publish(submission(*events))

    assert [*(each.event for each in others), *events] == [each.event for each in await all_entries(log)]
    assert [(4, False), (5, False)] == [(each.sequence, each.duplicate) for each in receipts]
    assert 5 == tail.head.end_offset


async def test_stop_fails_publishes_that_wait(log: EventLog, clock: ManualClock) -> None:
    """A publisher does not wait for a receipt from an appender that has stopped."""
    async with running_appender(FaultyLog(log, *[Fault.REQUEST_LOST] * 99), clock=clock) as (appender, _):
        waiting = appender.publish(submission(event()))
        await asyncio.sleep(0.02)

    with pytest.raises(Unavailable, match="stopping"):
        await waiting


async def test_gap_in_the_entries_is_damage(log: EventLog, clock: ManualClock) -> None:
    """The tail raises, and its end offset stays before the gap."""
    async with running_appender(log, clock=clock) as (_, tail):
        with pytest.raises(LogDamaged):
            tail.advance([entry(2)])

    assert 0 == tail.head.end_offset


@pytest.mark.parametrize(("step", "side"), [(60_000_000, "ahead of"), (-60_000_000, "behind")])
async def test_clock_skew_beyond_the_limit_is_unavailable(
    log: EventLog, clock: ManualClock, step: int, side: str
) -> None:
    """A registration time far ahead could not be corrected later. When the clock is right again, a repeat succeeds."""
    same, offset = event(), clock.offset
    clock.set_reference(earliest=offset, latest=offset)
    async with running_appender(log, clock=clock) as (appender, _):
        clock.now += step
        with pytest.raises(Unavailable, match=f"60 s {side}"):
            await appender.publish(submission(same))
        with pytest.raises(Unavailable, match="clock"):
            clock.require_accurate()
        clock.now -= step
        clock.require_accurate()
        (receipt,) = await appender.publish(submission(same))

    assert (1, False) == (receipt.sequence, receipt.duplicate)
