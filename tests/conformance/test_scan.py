"""`EventLog.scan`: the matches of a feed in a range of the log, and the last position examined."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventfeed.domain.cloudevents import EVENT_BYTES_MAX
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import PAGE_BYTES_MAX, SUBJECTS_MAX, Feed, app_feed, unit_feed
from eventfeed.domain.page_entries import PageEntry, join_array
from eventfeed.domain.ports import EventLog
from eventfeed.log.cosmos import scans as cosmos
from eventfeed.log.sqlite import scans as sqlite
from tests.support.conditions import conditions
from tests.support.events import TTD, caller, entries, entry, event, page_rows
from tests.support.populations import APPS, filtered_feeds, populations

FEED = app_feed(TTD)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    population=populations(),
    feed=filtered_feeds(),
    bounds=st.tuples(st.integers(0, 31), st.integers(0, 31)),
    limit=st.integers(1, 10),
)
async def test_scan_of_any_feed_equals_the_filtered_list(
    log: EventLog, population: list[Entry], feed: Feed, bounds: tuple[int, int], limit: int
) -> None:
    """A scan returns the same entries as a filter over the whole list, up to the last position examined."""
    start = (await log.head()).end_offset
    batch = [
        Entry(
            sequence=start + each.sequence, time=start * 1_000_000 + each.time, write_id=each.write_id, event=each.event
        )
        for each in population
    ]
    if batch:
        await log.append(batch, after=start)
    after, through = sorted(start + min(bound, len(batch)) for bound in bounds)
    scan = await log.scan(feed, after=after, through=through, limit=limit)
    matches = [each for each in batch if after < each.sequence <= through and feed.matches(each.event)]

    assert page_rows(matches[:limit]) == page_rows(scan.entries)
    assert (matches[limit - 1].sequence if len(matches) >= limit else through) == scan.examined


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
@pytest.mark.parametrize(("after", "through"), [(0, 60), (4, 59), (5, 5), (5, 56)])
async def test_scan_for_an_id_finds_every_event_with_it(log: EventLog, limit: int, after: int, through: int) -> None:
    """The events are in several segments, and other feeds have events with the same id."""
    events_with_the_id = {
        sequence: event("same", instance=sequence, app=APPS[sequence % 3 == 0]) for sequence in (5, 6, 20, 33, 57, 60)
    }
    population = [entry(sequence, of=events_with_the_id.get(sequence, event())) for sequence in range(1, 61)]
    await log.append(population, after=0)
    feed = FEED.where(*conditions(id="same"))
    scan = await log.scan(feed, after=after, through=through, limit=limit)
    matches = [each for each in population if after < each.sequence <= through and feed.matches(each.event)]

    assert page_rows(matches[:limit]) == page_rows(scan.entries)
    assert (matches[limit - 1].sequence if len(matches) >= limit else through) == scan.examined


async def test_scan_of_the_most_parties_finds_the_events_of_each(log: EventLog) -> None:
    """The events come in the order of the log, whatever the party."""
    batch = [entry(sequence, of=event(party=60000000 - sequence * 7 % 40)) for sequence in range(1, 61)]
    await log.append(batch, after=0)
    subjects = frozenset(f"/party/{60000000 - 2 * number}" for number in range(SUBJECTS_MAX))
    feed = unit_feed(subjects, caller(user="1"))
    matches = [each for each in batch[3:58] if each.event.subject in subjects]
    results, position = list[PageEntry](), 3
    while position < 58:
        scan = await log.scan(feed, after=position, through=58, limit=20)
        results += scan.entries
        position = scan.examined

    assert page_rows(matches) == page_rows(results)


async def test_scan_of_large_events_ends_at_the_bytes_of_a_page(log: EventLog) -> None:
    """Large entries end a scan early, at the last position examined."""
    count = PAGE_BYTES_MAX // EVENT_BYTES_MAX + 9
    for sequence in range(1, count + 1):
        await log.append([entry(sequence, of=event(size=EVENT_BYTES_MAX))], after=sequence - 1)
    scan = await log.scan(FEED, after=0, through=count, limit=count)

    assert scan.examined == scan.entries[-1].sequence < count
    assert scan.is_full
    assert len(join_array(each.json for each in scan.entries)) <= PAGE_BYTES_MAX


async def test_scan_without_matches_is_bounded_and_advances(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that must examine each entry ends at the engine's budget, and examines at least one."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 10)
    monkeypatch.setattr(cosmos, "SCAN_COMMITS_MAX", 2)
    await log.append(entries(1, 35), after=0)
    feed = FEED.where(*conditions(source="https://nowhere"))
    positions = [0]
    while positions[-1] < 35:
        positions.append((await log.scan(feed, after=positions[-1], through=35, limit=5)).examined)

    assert 3 < len(positions)
    assert positions == sorted(set(positions))


async def test_scan_after_expiry_returns_the_log_start(log: EventLog) -> None:
    """By the log start, a reader notices that entries were deleted."""
    await log.append(entries(1, 5), after=0)
    await log.expire(before=3_000_000)

    assert 2 == (await log.scan(FEED, after=0, through=5, limit=9)).log_start


async def test_scan_for_an_id_skips_other_feeds(log: EventLog) -> None:
    """The same id in another app's feed is another event."""
    await log.append([entry(1, of=event("same", app=APPS[3])), entry(2, of=event("same"))], after=0)
    scan = await log.scan(FEED.where(*conditions(id="same")), after=0, through=2, limit=9)

    assert [2] == [each.sequence for each in scan.entries]
