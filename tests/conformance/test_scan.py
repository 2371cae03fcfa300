"""Scanning: the matches of a query in a stretch of the log, and how far it was examined."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventfeed.domain.event import EVENT_BYTES_MAX, App, Entry
from eventfeed.domain.feed import (
    PAGE_BYTES_MAX,
    AppFeed,
    Feed,
    Filter,
    InstanceFeed,
    PartyFeed,
    Query,
    ReporteeFeed,
    ResourceFeed,
)
from eventfeed.domain.ports import EventLog
from eventfeed.log.cosmos import log as cosmos
from eventfeed.log.sqlite import log as sqlite
from tests.support.events import TTD, caller, entries, entry, event, guid

FEED = AppFeed(app=TTD)
APPS = [TTD, App(org="ttd", name="b"), App(org="ttd-b", name="olig"), App(org="skd", name="bolig")]
TYPES = ["instance.created", "instance.process.completed", "instance.deleted"]
PARTIES = [50000001, 50000002]
SUBJECTS = [f"/party/{party}" for party in PARTIES]
RESOURCES = [f"urn:altinn:resource:app_{app.org}_{app.name}" for app in APPS]
OTHER = "urn:altinn:resource:other"


@st.composite
def populations(draw: st.DrawFn) -> list[Entry]:
    """A small log over several apps, resources, types, parties and instances."""
    count = draw(st.integers(0, 30))
    return [
        entry(
            place,
            of=event(
                type_=draw(st.sampled_from(TYPES)),
                app=draw(st.sampled_from([*APPS, None])),
                party=draw(st.sampled_from(PARTIES)),
                instance=draw(st.integers(1, 3)),
                resource=draw(st.sampled_from([None, OTHER])),
            ),
        )
        for place in range(1, count + 1)
    ]


FEEDS: list[Feed] = [
    *(AppFeed(app=app) for app in APPS),
    *(PartyFeed(subject=f"/party/{party}", reader=caller(user="1")) for party in [*PARTIES, 3]),
    *(ResourceFeed(resource=resource, reader=caller(user="1")) for resource in [*RESOURCES, OTHER]),
    ReporteeFeed(types=frozenset(TYPES[:1])),
    ReporteeFeed(types=frozenset(TYPES)),
    *(InstanceFeed(guid=guid(number), party=None) for number in (1, 2, 9)),
]


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Any feed with any filter that it takes."""
    feed = draw(st.sampled_from(FEEDS))
    named = isinstance(feed, PartyFeed | InstanceFeed)
    party = None if named else draw(st.none() | st.sampled_from(PARTIES))
    hidden = draw(st.sets(st.sampled_from(RESOURCES))) if isinstance(feed, PartyFeed) else ()
    subjects = draw(st.sets(st.sampled_from(SUBJECTS))) if isinstance(feed, ResourceFeed) else ()
    wanted = Filter(
        types=frozenset() if isinstance(feed, ReporteeFeed) else frozenset(draw(st.sets(st.sampled_from(TYPES)))),
        subject=None if party is None else f"/party/{party}",
        source=draw(st.none() | st.sampled_from(["https://ttd.", "https://ttd.apps.example.no/ttd/b", "https://s"])),
        but_resources=frozenset(hidden),
        but_subjects=frozenset(subjects),
    )
    return Query(feed=feed, filter=wanted)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    population=populations(),
    query=queries(),
    bounds=st.tuples(st.integers(0, 31), st.integers(0, 31)),
    limit=st.integers(1, 10),
)
async def test_a_scan_is_the_filtered_list(
    log: EventLog, population: list[Entry], query: Query, bounds: tuple[int, int], limit: int
) -> None:
    """Whatever the query, a scan gives what filtering the whole list by hand gives, up to where it examined."""
    start = (await log.head()).end_offset
    moved = [
        Entry(
            sequence=start + each.sequence, time=start * 1_000_000 + each.time, write_id=each.write_id, event=each.event
        )
        for each in population
    ]
    if moved:
        await log.append(moved, after=start)
    after, through = sorted(start + min(bound, len(moved)) for bound in bounds)
    scan = await log.scan(query, after=after, through=through, limit=limit)
    expected = [each for each in moved if after < each.sequence <= through and query.matches(each.event)]

    assert expected[:limit] == list(scan.entries)
    assert (expected[limit - 1].sequence if len(expected) >= limit else through) == scan.examined


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
@pytest.mark.parametrize(("after", "through"), [(0, 60), (4, 59), (5, 5), (5, 56)])
async def test_an_event_is_found_by_its_id(log: EventLog, limit: int, after: int, through: int) -> None:
    """Wherever it stands, and however many others of its feed and of other feeds have the same."""
    twins = {place: event("twin", instance=place, app=APPS[place % 3 == 0]) for place in (5, 6, 20, 33, 57, 60)}
    population = [entry(place, of=twins.get(place, event())) for place in range(1, 61)]
    await log.append(population, after=0)
    query = Query(feed=FEED, filter=Filter(id="twin"))
    scan = await log.scan(query, after=after, through=through, limit=limit)
    expected = [each for each in population if after < each.sequence <= through and query.matches(each.event)]

    assert expected[:limit] == list(scan.entries)
    assert (expected[limit - 1].sequence if len(expected) >= limit else through) == scan.examined


async def test_a_scan_stops_at_a_pages_bytes(log: EventLog) -> None:
    """Large entries end a scan early, and it says how far it came."""
    count = PAGE_BYTES_MAX // EVENT_BYTES_MAX + 9
    for place in range(1, count + 1):
        await log.append([entry(place, of=event(size=EVENT_BYTES_MAX))], after=place - 1)
    scan = await log.scan(Query(feed=FEED), after=0, through=count, limit=count)

    assert scan.examined == scan.entries[-1].sequence < count
    assert sum(len(each.event.body) for each in scan.entries) <= PAGE_BYTES_MAX


async def test_a_scan_without_matches_is_bounded_and_moves(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """What must be looked at one by one is examined up to the engine's budget, and never not at all."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 10)
    monkeypatch.setattr(cosmos, "SCAN_SEGMENTS_MAX", 2)
    await log.append(entries(1, 35), after=0)
    query = Query(feed=FEED, filter=Filter(source="https://nowhere"))
    examined = [0]
    while examined[-1] < 35:
        examined.append((await log.scan(query, after=examined[-1], through=35, limit=5)).examined)

    assert 3 < len(examined)
    assert examined == sorted(set(examined))


async def test_the_floor_comes_with_the_scan(log: EventLog) -> None:
    """A reader can tell that entries were taken away under its feet."""
    await log.append(entries(1, 5), after=0)
    await log.expire(before=3_000_000)

    assert 2 == (await log.scan(Query(feed=FEED), after=0, through=5, limit=9)).log_start


async def test_an_event_id_is_found_in_its_feed_alone(log: EventLog) -> None:
    """The same id in another app's feed is another event."""
    await log.append([entry(1, of=event("same", app=APPS[3])), entry(2, of=event("same"))], after=0)
    scan = await log.scan(Query(feed=FEED, filter=Filter(id="same")), after=0, through=2, limit=9)

    assert [2] == [each.sequence for each in scan.entries]
