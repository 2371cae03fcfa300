"""Waiters: each is woken by an entry of its feed alone."""

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
    "everybody": (reportee_feed(frozenset({"a", "b"})), event(type_="b")),
    "instance": (instance_feed(guid(7), "50000001"), event(instance=7)),
    "resource": (resource_feed("urn:x", caller(user="1")), event(app=None, resource="urn:x")),
}
OTHER = event(app=App(org="o", name="p"), type_="c", party=50000009)


def came(waiters: Waiters, *match: Entry) -> None:
    """These came, one after another."""
    for each in match:
        waiters.notify(each, event_keys(each.event))


@pytest.mark.parametrize("name", FEEDS)
async def test_an_entry_wakes_who_waits_for_it(name: str) -> None:
    """With the position before it; others pass unnoticed."""
    feed, filters = FEEDS[name]
    waiters = Waiters()
    with waiters.wait(feed, past=4) as match:
        came(waiters, entry(5, of=OTHER))
        asleep = not match.done()
        came(waiters, entry(6, of=OTHER), entry(7, of=filters), entry(8, of=filters))

        assert (True, 6) == (asleep, match.result())


async def test_a_filter_must_hold() -> None:
    """An event of the feed that the filter passes over wakes nobody."""
    waiters, query = Waiters(), app_feed(TTD).where(*conditions(types=frozenset({"b"})))
    with waiters.wait(query, past=0) as match:
        came(waiters, entry(1, of=event(type_="a")))

        assert not match.done()


async def test_everybody_is_woken_when_nobody_can_say_and_at_the_end() -> None:
    """They look for themselves; after the end nobody waits."""
    waiters, query = Waiters(), app_feed(TTD)
    with waiters.wait(query, past=3) as one, waiters.wait(query, past=5) as other:
        waiters.wake_all()
        positions = one.result(), other.result()
    waiters.close()
    with waiters.wait(query, past=9) as late:
        assert ((3, 5), 9, True) == (positions, late.result(), waiters.is_closed)


async def test_who_has_gone_leaves_nothing_behind() -> None:
    """However many wait in turn."""
    waiters = Waiters()
    for feed, _ in FEEDS.values():
        with waiters.wait(feed, past=0), waiters.wait(feed, past=0):
            pass

    assert {} == waiters._by_key


class Counting(FaultyLog):
    """Counts looks, and fails them while told to."""

    looks, failing = 0, False

    async def head(self) -> Head:
        """Count and pass on."""
        self.looks += 1
        if self.failing:
            raise OSError("gone")
        return await super().head()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


async def test_the_log_is_followed_while_somebody_waits(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when nobody does: what another process appends is seen, however many wait, by one look at a time."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.02)
    counting, query = Counting(log), app_feed(TTD)
    tail = Tail(counting)
    await tail.start()
    with tail.wait(query, past=0) as match, tail.wait(query, past=0) as other:
        await log.append(entries(1, 3), after=0)
        positions = await match, await other
    await _until(lambda: tail._follower is None)
    looks = counting.looks
    await asyncio.sleep(0.1)

    assert ((0, 0), looks) == (positions, counting.looks)


async def test_a_store_that_fails_is_followed_again(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any failure, waiters are woken when the store responds again."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.02)
    counting = Counting(log)
    tail = Tail(counting)
    await tail.start()
    counting.failing = True
    with tail.wait(app_feed(TTD), past=0) as match:
        await _until(lambda: counting.looks > 3)
        await log.append(entries(1, 1), after=0)
        counting.failing = False

        assert 0 == await asyncio.wait_for(match, 120)


async def test_an_own_append_wakes_at_once(log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look is waited for."""
    async with running_appender(log, clock=watch) as (appender, tail):
        with tail.wait(app_feed(TTD), past=0) as match:
            monkeypatch.setattr(module, "REFRESH_SECONDS", 1_000.0)
            await appender.publish(submission(event()))

            assert match.done()
        await tail.stop()
