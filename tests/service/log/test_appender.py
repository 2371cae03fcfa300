"""The appender: receipts only for what is durably in, each event once, whatever the store answers."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from eventfeed.domain.errors import EventConflict, ForeignSource, LogDamaged, Unavailable
from eventfeed.domain.event import App, Entry, Event
from eventfeed.domain.ports import EventLog, Lookup
from eventfeed.log import appender as module
from tests.support.engines import ManualClock, running_appender
from tests.support.events import all_entries, entries, entry, event, submission
from tests.support.faulty_log import Fault, FaultyLog


async def test_a_receipt_tells_where_the_event_is(log: EventLog, watch: ManualClock) -> None:
    """Receipts come in the order of the events, with place and time of registration."""
    async with running_appender(log, clock=watch) as (appender, _):
        receipts = await appender.publish(submission(event("a"), event("b")))

    assert [("a", 1, watch.now, False), ("b", 2, watch.now, False)] == [
        (receipt.identity.id, receipt.sequence, receipt.time, receipt.duplicate) for receipt in receipts
    ]


async def test_the_same_event_again_gives_the_first_receipt(log: EventLog, watch: ManualClock) -> None:
    """A repeat adds nothing and names the first place and time."""
    async with running_appender(log, clock=watch) as (appender, _):
        (first,) = await appender.publish(submission(same := event()))
        watch.now += 5
        (again,) = await appender.publish(submission(same))

    assert (first.sequence, first.time, True) == (again.sequence, again.time, again.duplicate)
    assert 1 == len(await all_entries(log))


async def test_a_repeat_within_one_request_is_a_duplicate(log: EventLog, watch: ManualClock) -> None:
    """The second of two equal events in a request is the duplicate."""
    same = event()
    async with running_appender(log, clock=watch) as (appender, _):
        receipts = await appender.publish(submission(same, same))

    assert [(1, False), (1, True)] == [(receipt.sequence, receipt.duplicate) for receipt in receipts]


async def test_a_known_identity_with_other_content_is_a_conflict(log: EventLog, watch: ManualClock) -> None:
    """Nothing of a request with one changed event is written."""
    async with running_appender(log, clock=watch) as (appender, _):
        await appender.publish(submission(event("a", instance=1)))
        with pytest.raises(EventConflict) as refusal:
            await appender.publish(submission(event("b"), event("a", instance=1, content=b"other")))

    assert ["/1"] == [fault.pointer for fault in refusal.value.faults]
    assert 1 == len(await all_entries(log))


async def test_a_conflict_within_one_request_writes_nothing(log: EventLog, watch: ManualClock) -> None:
    """Two different contents of one identity in one request contradict each other."""
    async with running_appender(log, clock=watch) as (appender, _):
        with pytest.raises(EventConflict):
            await appender.publish(submission(event("a", instance=1), event("a", instance=1, content=b"other")))

    assert [] == list(await all_entries(log))


async def test_another_app_cannot_speak_of_an_instance(log: EventLog, watch: ManualClock) -> None:
    """An instance belongs to the app that published it first; only an admin may add to it."""
    thief = App(org="skd", name="tyveri")
    async with running_appender(log, clock=watch) as (appender, _):
        await appender.publish(submission(event(instance=1)))
        with pytest.raises(ForeignSource):
            await appender.publish(submission(event(instance=1, app=thief)))
        (receipt,) = await appender.publish(submission(event(instance=1, app=thief), admin=True))

    assert 2 == receipt.sequence


async def test_publishers_at_once_share_a_write_and_keep_their_own_order(log: EventLog, watch: ManualClock) -> None:
    """Many publishers get one dense run of numbers; each one's events stay in its order."""
    faulty = FaultyLog(log)
    async with running_appender(faulty, clock=watch) as (appender, _):
        every = await asyncio.gather(*(appender.publish(submission(event(), event())) for _ in range(50)))
    numbers = [[receipt.sequence for receipt in receipts] for receipts in every]

    assert all(first + 1 == second for first, second in numbers)
    assert list(range(1, 101)) == sorted(itertools.chain.from_iterable(numbers))
    assert len(faulty.appends) <= 3


async def test_one_publishers_conflict_is_not_anothers(log: EventLog, watch: ManualClock) -> None:
    """In a shared batch only the contradicting request is refused, and what came with it counts for nobody."""
    tainted = event("b")
    async with running_appender(log, clock=watch) as (appender, _):
        await appender.publish(submission(event("a", instance=1)))
        refusal, accepted = await asyncio.gather(
            appender.publish(submission(tainted, event("a", instance=1, content=b"other"))),
            appender.publish(submission(tainted)),
            return_exceptions=True,
        )

    assert isinstance(refusal, EventConflict)
    assert isinstance(accepted, list)
    assert [(2, False)] == [(receipt.sequence, receipt.duplicate) for receipt in accepted]


async def test_registration_time_never_decreases(log: EventLog, watch: ManualClock) -> None:
    """A clock that is set back does not take the log with it."""
    async with running_appender(log, clock=watch) as (appender, _):
        await appender.publish(submission(event()))
        watch.now -= 60_000_000
        await appender.publish(submission(event()))
    times = [each.time for each in await all_entries(log)]

    assert [watch.now + 60_000_000] * 2 == times


async def test_a_lost_race_is_settled_against_the_winner(log: EventLog, watch: ManualClock) -> None:
    """An event of another process in between counts: the same event is a duplicate, a changed one a conflict."""
    async with running_appender(log, clock=watch) as (appender, _):
        await log.append([entry(1, of=(same := event("a", instance=1)))], after=0)
        (receipt,) = await appender.publish(submission(same))
        await log.append([entry(2, of=event("b", instance=2))], after=1)
        with pytest.raises(EventConflict):
            await appender.publish(submission(event("b", instance=2, content=b"other")))

    assert (1, True) == (receipt.sequence, receipt.duplicate)
    assert 2 == len(await all_entries(log))


async def test_a_race_lost_between_check_and_create_is_settled_again(log: EventLog, watch: ManualClock) -> None:
    """The identity check and the create use one pinned tail: a twin that slips in between is found."""
    twin = event("a", instance=1)

    class Racing(FaultyLog):
        async def append(self, entries: Sequence[Entry], *, after: int) -> None:
            if not self.appends:
                self.appends.append((after, entries))
                await log.append([entry(1, of=twin, write_id="rival")], after=0)
            await super().append(entries, after=after)

    async with running_appender(Racing(log), clock=watch) as (appender, _):
        (receipt,) = await appender.publish(submission(twin))

    assert (1, True) == (receipt.sequence, receipt.duplicate)
    assert 1 == len(await all_entries(log))


async def test_what_the_tail_learns_between_check_and_create_does_not_count(log: EventLog, watch: ManualClock) -> None:
    """A twin that the tail learns of after the check still makes the create fail: it goes after the pinned tail."""
    twin = event("a", instance=1)

    class Overtaken(FaultyLog):
        async def find(self, events: Sequence[Event]) -> Lookup:
            result = await super().find(events)
            if (await log.head()).end_offset == 0:
                await log.append([entry(1, of=twin, write_id="rival", time=watch.now)], after=0)
                await tail.refresh(past=1)
            return result

    async with running_appender(Overtaken(log), clock=watch) as (appender, tail):
        (receipt,) = await appender.publish(submission(twin))

    assert (1, True) == (receipt.sequence, receipt.duplicate)


@pytest.mark.parametrize("fault", [Fault.RESPONSE_LOST, Fault.REQUEST_LOST, Fault.FIRST_ONLY])
async def test_an_unknown_outcome_is_looked_up(log: EventLog, watch: ManualClock, fault: Fault) -> None:
    """After silence the positions tell: every event is in once, in order, and no receipt calls it a duplicate."""
    events = [event(), event(), event()]
    async with running_appender(FaultyLog(log, fault, fault), clock=watch) as (appender, _):
        receipts = await appender.publish(submission(*events))

    assert events == [each.event for each in await all_entries(log)]
    assert [(1, False), (2, False), (3, False)] == [(each.sequence, each.duplicate) for each in receipts]


async def test_a_late_request_and_its_retry_cannot_both_win(log: EventLog, watch: ManualClock) -> None:
    """While the first position is free the very same batch goes to it again: the late one then finds it taken."""
    faulty = FaultyLog(log, Fault.LATE)
    async with running_appender(faulty, clock=watch) as (appender, _):
        await appender.publish(submission(event(), event()))
        with pytest.raises(Unavailable):
            await faulty.deliver_late()

    assert faulty.appends[0] == faulty.appends[1]
    assert 2 == len(await all_entries(log))


async def test_a_retry_takes_nobody_new_along(log: EventLog, watch: ManualClock) -> None:
    """A batch whose outcome is unknown is tried again unchanged, though more publishers wait by then."""
    faulty = FaultyLog(log, Fault.REQUEST_LOST, Fault.REQUEST_LOST)
    async with running_appender(faulty, clock=watch) as (appender, _):
        first = appender.publish(submission(event()))
        await faulty.append_started.wait()
        await asyncio.gather(first, *(appender.publish(submission(event())) for _ in range(5)))

    assert faulty.appends[0] == faulty.appends[1] == faulty.appends[2]


async def test_a_batch_lost_in_part_keeps_its_first_receipts(log: EventLog, watch: ManualClock) -> None:
    """When a rival takes a place in the middle, what is in stays, and the rest goes after the rival."""
    rival = event()

    class Torn(FaultyLog):
        async def append(self, entries: Sequence[Entry], *, after: int) -> None:
            if not self.appends:
                self.appends.append((after, entries))
                await log.append([*entries[:1], entry(2, of=rival, time=entries[0].time)], after=0)
            await super().append(entries, after=after)

    mine = [event(), event()]
    async with running_appender(Torn(log), clock=watch) as (appender, _):
        receipts = await appender.publish(submission(*mine))

    assert [mine[0], rival, mine[1]] == [each.event for each in await all_entries(log)]
    assert [(1, False), (3, False)] == [(each.sequence, each.duplicate) for each in receipts]


async def test_silence_for_too_long_is_told_and_the_log_goes_on(
    log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish is never acknowledged in doubt; after the store is back, repeating it gives its receipt."""
    monkeypatch.setattr(module, "WRITE_SECONDS_MAX", 0.0)
    faulty = FaultyLog(log, *[Fault.REQUEST_LOST] * 5)
    same = event()
    async with running_appender(faulty, clock=watch) as (appender, _):
        with pytest.raises(Unavailable):
            await appender.publish(submission(same))
        faulty.plan.clear()
        (receipt,) = await appender.publish(submission(same))

    assert (1, False) == (receipt.sequence, receipt.duplicate)


async def test_a_full_queue_refuses_at_once(log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish beyond the queue is refused before anything is written, with a time to retry."""
    monkeypatch.setattr(module, "QUEUE_EVENTS_MAX", 3)
    async with running_appender(log, clock=watch) as (appender, _):
        waiting = asyncio.gather(*(appender.publish(submission(event())) for _ in range(3)))
        with pytest.raises(Unavailable) as refusal:
            await appender.publish(submission(event()))
        await waiting

    assert 1 == refusal.value.retry_seconds
    assert 3 == len(await all_entries(log))


async def test_queue_over_its_bytes_refuses_a_publish(
    log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of the events count as they are stored."""
    small, large = event(size=1), event(size=100)
    monkeypatch.setattr(module, "QUEUE_BYTES_MAX", len(small.body) + len(large.body))
    async with running_appender(log, clock=watch) as (appender, _):
        waiting = appender.publish(submission(small, large))
        with pytest.raises(Unavailable, match="waiting"):
            await appender.publish(submission(event()))
        await waiting
        await appender.publish(submission(event()))

    assert 3 == len(await all_entries(log))


async def test_a_receipt_is_visible_at_once(log: EventLog, watch: ManualClock) -> None:
    """The process that gives a receipt shows the event, also one that another process wrote."""
    async with running_appender(log, clock=watch) as (appender, tail):
        await log.append([*entries(1, 3), entry(4, of=(same := event()))], after=0)
        await appender.publish(submission(same))

    assert 4 == tail.head.end_offset


async def test_a_stop_tells_those_who_wait(log: EventLog, watch: ManualClock) -> None:
    """Nobody is left waiting for a receipt that will never come."""
    async with running_appender(FaultyLog(log, *[Fault.REQUEST_LOST] * 99), clock=watch) as (appender, _):
        waiting = appender.publish(submission(event()))
        await asyncio.sleep(0.02)

    with pytest.raises(Unavailable, match="stopping"):
        await waiting


async def test_a_hole_is_never_papered_over(log: EventLog, watch: ManualClock) -> None:
    """A tail that would skip a number raises, and moves no further."""
    async with running_appender(log, clock=watch) as (_, tail):
        with pytest.raises(LogDamaged):
            tail.learn([entry(2)])

    assert 0 == tail.head.end_offset


async def test_a_clock_astray_appends_nothing(log: EventLog, watch: ManualClock) -> None:
    """A time far ahead would stay for good. Once the clock is right, the repeat is taken."""
    faulty, same = FaultyLog(log), event()
    async with running_appender(faulty, clock=watch) as (appender, _):
        faulty.clock_skew = module.CLOCK_SKEW_MAX + 1
        with pytest.raises(Unavailable, match="clock"):
            await appender.publish(submission(same))
        with pytest.raises(Unavailable, match="clock"):
            appender.require_clock()
        faulty.clock_skew = module.CLOCK_SKEW_MAX
        appender.require_clock()
        (receipt,) = await appender.publish(submission(same))

    assert (1, False) == (receipt.sequence, receipt.duplicate)
