"""The newest entries in memory: the same results as the store, and a bounded size."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Feed, app_feed
from eventfeed.log.memory import recent_entries as module
from eventfeed.log.memory.recent_entries import RecentEntries
from tests.support.conditions import conditions
from tests.support.events import TTD, entries, entry, event
from tests.support.populations import filtered_feeds, populations

FEED = app_feed(TTD)


def recent_entries_of(population: list[Entry]) -> RecentEntries:
    """Recent entries after the addition of this population."""
    recent = RecentEntries()
    for each in population:
        recent.add(each)
        recent.trim()
    return recent


@settings(max_examples=300, deadline=None)
@given(
    population=populations(),
    evictions=st.integers(0, 5),
    feed=filtered_feeds(),
    bounds=st.tuples(st.integers(0, 31), st.integers(0, 31)),
    limit=st.integers(1, 10),
)
def test_scan_in_memory_equals_the_filtered_list(
    population: list[Entry], evictions: int, feed: Feed, bounds: tuple[int, int], limit: int
) -> None:
    """A scan of any feed has the same entries as in the store. A scan from before the first entry in memory is None."""
    remaining_entries = population[evictions:]
    after, through = sorted(min(bound, len(population)) for bound in bounds)
    scan = recent_entries_of(remaining_entries).scan(feed, after=after, through=through, limit=limit)
    expectation = [each for each in remaining_entries if after < each.sequence <= through and feed.matches(each.event)]

    assert (scan is None) == (not remaining_entries or after < evictions)
    if scan is not None:
        assert expectation[:limit] == list(scan.entries)
        assert (expectation[limit - 1].sequence if len(expectation) >= limit else through) == scan.examined
        assert scan.positions in (None, array("Q", [each.sequence for each in scan.entries]).tobytes())
        assert scan.positions is not None or feed != FEED


def test_scan_without_matches_examines_a_bounded_number_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan ends early and returns the last position examined."""
    monkeypatch.setattr(module, "EXAMINED_MAX", 10)
    feed = FEED.where(*conditions(source="https://nowhere"))
    scan = recent_entries_of(entries(1, 35)).scan(feed, after=5, through=35, limit=3)

    assert scan is not None
    assert ([], 15) == (list(scan.entries), scan.examined)


def test_evicted_entries_leave_no_index_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evicted entry is found neither by its position nor by its index keys."""
    monkeypatch.setattr(module, "ENTRIES_MAX", 20)
    monkeypatch.setattr(module, "EVICTION_ENTRIES", 4)
    population = [
        entry(sequence, of=event(instance=sequence, type_=f"type-{sequence % 3}")) for sequence in range(1, 101)
    ]
    recent = recent_entries_of(population)
    scan = recent.scan(FEED, after=90, through=100, limit=100)

    assert recent.scan(FEED, after=79, through=100, limit=100) is None
    assert recent.after(79) is None
    assert list(range(91, 101)) == [each.sequence for each in scan.entries] if scan else False
    # Keys of the remaining instances, of three types in two indexes, and of one app, subject and resource.
    assert len(recent._runs) <= 20 + 3 * 2 + 3
