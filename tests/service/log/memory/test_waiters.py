"""Waiters: only an entry of its feed wakes a waiter."""

import asyncio
from collections.abc import Callable

import pytest

from eventfeed.domain.event import App, Entry, Event
from eventfeed.domain.feed import Feed, app_feed, instance_feed, party_feed, reportee_feed, resource_feed
from eventfeed.domain.ports import EventLog, Head
from eventfeed.log.memory import tail as module
from eventfeed.log.memory.recent_entries import event_keys
from eventfeed.log.memory.tail import Tail
from eventfeed.log.memory.waiters import Waiters
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, running_appender
from tests.support.events import TTD, caller, entries, entry, event, guid, submission
from tests.support.faulty_log import FaultyLog

FEEDS: dict[str, tuple[Feed, Event]] = {
    "app": (app_feed(TTD), event()),
    "party": (party_feed("/party/50000001", caller(user="1")), event()),
    "reportees": (reportee_feed(frozenset({"a", "b"})), event(type_="b")),
    "instance": (instance_feed(guid(7), "50000001"), event(instance=7)),
    "resource": (resource_feed("urn:x", caller(user="1")), event(app=None, resource="urn:x")),
}
OTHER = event(app=App(org="o", name="p"), type_="c", party=50000009)


def notify(waiters: Waiters, *new_entries: Entry) -> None:
    """Notify the waiters of these entries, one after another."""
    for each in new_entries:
        waiters.notify(each, event_keys(each.event))


@pytest.mark.parametrize("name", FEEDS)
async def test_entry_of_a_feed_wakes_its_waiter(name: str) -> None:
    """The waiter gets the position before the entry. Entries of other feeds do not wake it."""
    feed, feed_event = FEEDS[name]
    waiters = Waiters()
    with waiters.wait(feed, past=4) as match:
        notify(waiters, entry(5, of=OTHER))
        asleep = not match.done()
        notify(waiters, entry(6, of=OTHER), entry(7, of=feed_event), entry(8, of=feed_event))

        assert (True, 6) == (asleep, match.result())


async def test_entry_that_a_filter_excludes_wakes_no_waiter() -> None:
    """The entry is in the feed, but its type does not match."""
    waiters, feed = Waiters(), app_feed(TTD).where(*conditions(types=frozenset({"b"})))
    with waiters.wait(feed, past=0) as match:
        notify(waiters, entry(1, of=event(type_="a")))

        assert not match.done()


async def test_wake_all_and_close_wake_every_waiter() -> None:
    """Each waiter gets the position it has examined. After `close`, a new waiter is woken at once."""
    waiters, feed = Waiters(), app_feed(TTD)
    with waiters.wait(feed, past=3) as one, waiters.wait(feed, past=5) as other:
        waiters.wake_all()
        positions = one.result(), other.result()
    waiters.close()
    with waiters.wait(feed, past=9) as late:
        assert ((3, 5), 9, True) == (positions, late.result(), waiters.is_closed)


async def test_waiters_that_left_use_no_memory() -> None:
    """Two waiters at a time wait for each feed."""
    waiters = Waiters()
    for feed, _ in FEEDS.values():
        with waiters.wait(feed, past=0), waiters.wait(feed, past=0):
            pass

    assert {} == waiters._by_key


class CountingLog(FaultyLog):
    """A log that counts the reads of its head, and fails them while `is_failing` is true."""

    head_reads, is_failing = 0, False

    async def head(self) -> Head:
        """Count the call, then see `EventLog.head`."""
        self.head_reads += 1
        if self.is_failing:
            raise OSError("the store does not respond")
        return await super().head()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)


async def test_tail_reads_the_log_only_while_a_waiter_waits(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """All waiters share one read at a time, and entries of another process wake them."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.02)
    counting_log, feed = CountingLog(log), app_feed(TTD)
    tail = Tail(counting_log)
    await tail.start()
    with tail.wait(feed, past=0) as match, tail.wait(feed, past=0) as other:
        await log.append(entries(1, 3), after=0)
        positions = await match, await other
    await _until(lambda: tail._follower is None)
    head_reads = counting_log.head_reads
    await asyncio.sleep(0.1)

    assert ((0, 0), head_reads) == (positions, counting_log.head_reads)


async def test_tail_continues_after_a_failure_of_the_store(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters are woken when the store responds again, after any error."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.02)
    counting_log = CountingLog(log)
    tail = Tail(counting_log)
    await tail.start()
    counting_log.is_failing = True
    with tail.wait(app_feed(TTD), past=0) as match:
        await _until(lambda: counting_log.head_reads > 3)
        await log.append(entries(1, 1), after=0)
        counting_log.is_failing = False

        assert 0 == await asyncio.wait_for(match, 120)


async def test_own_append_wakes_waiters_at_once(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiters do not wait for the next refresh."""
    async with running_appender(log, clock=clock) as (appender, tail):
        with tail.wait(app_feed(TTD), past=0) as match:
            monkeypatch.setattr(module, "REFRESH_SECONDS", 1_000.0)
            await appender.publish(submission(event()))

            assert match.done()
        await tail.stop()
