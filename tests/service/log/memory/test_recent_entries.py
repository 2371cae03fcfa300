"""The newest entries in memory give what the store would give, and are let go of when they are too many."""

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


def remembered(population: list[Entry]) -> RecentEntries:
    """A memory of these entries."""
    recent = RecentEntries()
    for each in population:
        recent.add(each)
        recent.trim()
    return recent


@settings(max_examples=300, deadline=None)
@given(
    population=populations(),
    evictions=st.integers(0, 5),
    query=filtered_feeds(),
    bounds=st.tuples(st.integers(0, 31), st.integers(0, 31)),
    limit=st.integers(1, 10),
)
def test_a_scan_in_memory_is_the_filtered_list(
    population: list[Entry], evictions: int, query: Feed, bounds: tuple[int, int], limit: int
) -> None:
    """Any feed gives the same entries as the store; memory gives none from before its first entry."""
    remaining_entries = population[evictions:]
    after, through = sorted(min(bound, len(population)) for bound in bounds)
    scan = remembered(remaining_entries).scan(query, after=after, through=through, limit=limit)
    expectation = [each for each in remaining_entries if after < each.sequence <= through and query.matches(each.event)]

    assert (scan is None) == (not remaining_entries or after < evictions)
    if scan is not None:
        assert expectation[:limit] == list(scan.entries)
        assert (expectation[limit - 1].sequence if len(expectation) >= limit else through) == scan.examined
        assert scan.positions in (None, array("Q", [each.sequence for each in scan.entries]).tobytes())
        assert scan.positions is not None or query != FEED


def test_what_is_looked_at_one_by_one_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that matches nothing ends a scan early, and it says how far it came."""
    monkeypatch.setattr(module, "EXAMINED_MAX", 10)
    nowhere = FEED.where(*conditions(source="https://nowhere"))
    scan = remembered(entries(1, 35)).scan(nowhere, after=5, through=35, limit=3)

    assert scan is not None
    assert ([], 15) == (list(scan.entries), scan.examined)


def test_what_is_let_go_of_is_found_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by its place nor by what it was looked up by, and nothing is left of it."""
    monkeypatch.setattr(module, "ENTRIES_MAX", 20)
    monkeypatch.setattr(module, "EVICTION_ENTRIES", 4)
    population = [entry(place, of=event(instance=place, type_=f"type-{place % 3}")) for place in range(1, 101)]
    recent = remembered(population)
    scan = recent.scan(FEED, after=90, through=100, limit=100)

    assert recent.scan(FEED, after=79, through=100, limit=100) is None
    assert recent.after(79) is None
    assert list(range(91, 101)) == [each.sequence for each in scan.entries] if scan else False
    # Instances of what is left, three types twice, one app, subject and resource.
    assert len(recent._runs) <= 20 + 3 * 2 + 3
