"""Waiters: only an entry of its feed wakes a waiter."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from eventfeed.domain.event import App, Entry, Event
from eventfeed.domain.feed import Feed, app_feed, instance_feed, party_feed, reportee_feed, resource_feed
from eventfeed.domain.ports import EventLog, Head
from eventfeed.log.memory import tail as module
from eventfeed.log.memory.recent_entries import event_keys
from eventfeed.log.memory.tail import Tail
from eventfeed.log.memory.waiters import WAKE_MAX, Waiter, Waiters
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
# A time of the event loop (s).
NEVER = 1e12
OTHER = event(app=App(org="o", name="p"), type_="c", party=50000009)


def notify(waiters: Waiters, *new_entries: Entry) -> None:
    """Notify the waiters of these entries, one after another."""
    for each in new_entries:
        waiters.notify(each, event_keys(each.event))


def start_wait(waiters: Waiters, feed: Feed, *, past: int, until: float = NEVER) -> asyncio.Task[int | None]:
    """Wait for an entry of a feed in a task."""
    return asyncio.create_task(waiters.wait(feed, Waiter(), past=past, until=until))


@pytest.mark.parametrize("name", FEEDS)
async def test_entry_of_a_feed_wakes_its_waiter(name: str) -> None:
    """The waiter gets the position before the entry. Entries of other feeds do not wake it."""
    feed, feed_event = FEEDS[name]
    waiters = Waiters()
    wait = start_wait(waiters, feed, past=4)
    await asyncio.sleep(0)
    notify(waiters, entry(5, of=OTHER))
    for _ in range(5):
        await asyncio.sleep(0)
    is_asleep = not wait.done()
    notify(waiters, entry(6, of=OTHER), entry(7, of=feed_event), entry(8, of=feed_event))

    assert (True, 6) == (is_asleep, await wait)


async def test_entry_that_a_filter_excludes_wakes_no_waiter() -> None:
    """The entry is in the feed, but its type does not match."""
    waiters, feed = Waiters(), app_feed(TTD).where(*conditions(types=frozenset({"b"})))
    wait = start_wait(waiters, feed, past=0)
    await asyncio.sleep(0)
    notify(waiters, entry(1, of=event(type_="a")), entry(2, of=event(type_="b")))

    assert 1 == await wait


async def test_wait_ends_at_its_time_or_with_its_client() -> None:
    """There is no entry then. A client that is gone does not wait again."""
    waiters, feed, waiter = Waiters(), app_feed(TTD), Waiter()
    at_its_time = await waiters.wait(feed, waiter, past=3, until=asyncio.get_running_loop().time() + 0.01)
    wait = asyncio.create_task(waiters.wait(feed, waiter, past=3, until=NEVER))
    await asyncio.sleep(0)
    waiter.end()

    assert [None, None, 3] == [at_its_time, await wait, await waiters.wait(feed, waiter, past=3, until=NEVER)]
    assert 0 == waiters.count


async def test_entry_that_comes_at_the_end_of_a_wait_is_not_passed_by() -> None:
    """The waiter has been woken for another reason, and an entry of its feed comes before it runs."""
    waiters, feed, waiter = Waiters(), app_feed(TTD), Waiter()
    wait = asyncio.create_task(waiters.wait(feed, waiter, past=3, until=NEVER))
    await asyncio.sleep(0)
    waiter.wake()
    notify(waiters, entry(4, of=event()))

    assert 3 == await wait


async def test_wake_all_and_close_wake_every_waiter() -> None:
    """Each waiter gets the position it has examined. After `close`, a new waiter does not wait."""
    waiters, feed = Waiters(), app_feed(TTD)
    waits = [start_wait(waiters, feed, past=3), start_wait(waiters, feed, past=5)]
    await asyncio.sleep(0)
    waiters.wake_all()
    positions = await asyncio.gather(*waits)
    waiters.close()

    assert ([3, 5], 9, True) == (positions, await start_wait(waiters, feed, past=9), waiters.is_closed)


async def test_waiters_that_left_use_no_memory() -> None:
    """Two waiters at a time wait for each feed; one of them is cancelled, the other one woken."""
    waiters = Waiters()
    for feed, feed_event in FEEDS.values():
        waits = [start_wait(waiters, feed, past=0), start_wait(waiters, feed, past=0)]
        await asyncio.sleep(0)
        waits[0].cancel()
        notify(waiters, entry(1, of=feed_event))
        await asyncio.gather(*waits, return_exceptions=True)

    assert ({}, {}, 0) == (waiters._by_key, waiters._places, waiters.count)


async def test_waiters_are_woken_a_few_at_a_time_and_in_turn() -> None:
    """Other work is done between. A waiter of one feed does not wait for all those of another."""
    waiters, feeds = Waiters(), (app_feed(TTD), reportee_feed(frozenset({event().type})))
    order, steps = list[tuple[str, int]](), 0

    async def wait(feed: Feed) -> None:
        await waiters.wait(feed, Waiter(), past=0, until=NEVER)
        order.append((feed.name, steps))

    waits = [asyncio.create_task(wait(feed)) for feed in [feeds[0]] * (3 * WAKE_MAX) + [feeds[1]]]
    await asyncio.sleep(0)
    notify(waiters, entry(1, of=event()))
    while not all(each.done() for each in waits):
        steps += 1
        await asyncio.sleep(0)
    counts = Counter(step for _, step in order)

    assert max(counts.values()) == WAKE_MAX
    assert "reportees" in [name for name, _ in order[:WAKE_MAX]]


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
    waits = [asyncio.ensure_future(tail.wait(feed, Waiter(), past=0, until=NEVER)) for _ in range(2)]
    await asyncio.sleep(0)
    await log.append(entries(1, 3), after=0)
    positions = await asyncio.gather(*waits)
    await _until(lambda: tail._follower is None)
    head_reads = counting_log.head_reads
    await asyncio.sleep(0.1)

    assert ([0, 0], head_reads) == (positions, counting_log.head_reads)


async def test_tail_continues_after_a_failure_of_the_store(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters are woken when the store responds again, after any error."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.02)
    counting_log = CountingLog(log)
    tail = Tail(counting_log)
    await tail.start()
    counting_log.is_failing = True
    wait = asyncio.ensure_future(tail.wait(app_feed(TTD), Waiter(), past=0, until=NEVER))
    await _until(lambda: counting_log.head_reads > 3)
    await log.append(entries(1, 1), after=0)
    counting_log.is_failing = False

    assert 0 == await asyncio.wait_for(wait, 120)


async def test_own_append_wakes_waiters_at_once_after_its_receipt(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiters do not wait for the next refresh."""
    order = list[str]()
    async with running_appender(log, clock=clock) as (appender, tail):

        async def wait() -> None:
            await tail.wait(app_feed(TTD), Waiter(), past=0, until=NEVER)
            order.append("entry")

        waits = [asyncio.create_task(wait()) for _ in range(2 * WAKE_MAX)]
        await asyncio.sleep(0)
        monkeypatch.setattr(module, "REFRESH_SECONDS", 1_000.0)
        await appender.publish(submission(event()))
        order.append("receipt")
        await asyncio.gather(*waits)
        await tail.stop()

    assert ["receipt", *["entry"] * len(waits)] == order
