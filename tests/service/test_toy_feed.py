"""A feed is data: two feeds that the service does not have, read from memory and from each engine.

They are built as docs/contributing/add-a-feed.md says. No module below `log/` knows them.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from eventfeed.domain.conditions import AnyOf, Equal, Matches, NoneOf
from eventfeed.domain.event import App, Event
from eventfeed.domain.feed import Feed
from eventfeed.domain.page_entries import PageEntries
from eventfeed.domain.ports import EventLog
from eventfeed.http.problems import Problems
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.feed_request import AnonymousReader, FeedRequest, ReadingServices
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import parse_query
from eventfeed.http.response import BytesResponse
from eventfeed.log.cosmos.queries import term_filter
from eventfeed.log.memory.recent_entries import RecentEntries
from eventfeed.log.memory.tail import Tail
from eventfeed.log.memory.waiters import Waiter
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite.statements import plan_search, scan_statements
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.running import open_new_log
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, StubDecisionPoint, open_sqlite_log
from tests.support.events import TTD, entry, event
from tests.support.reading import keep_connection, read_page, reading_limits
from tests.support.requests import http_request

SKD = App(org="skd", name="bolig")
PREFIX = "https://ttd.apps.example.no/ttd/bolig/instances/50000001/"


def case_feed(app: App, source: str) -> Feed:
    """Return the feed of the beginnings and ends of cases: two types of one app, below one source."""
    types = AnyOf("type", frozenset({"instance.created", "instance.completed"}))
    return Feed(
        name="case",
        conditions=(
            Equal("org", app.org),
            Equal("app", app.name),
            types,
            Matches("source", prefixes=frozenset({source})),
        ),
    )


def owner_feed(org: str, subject: str) -> Feed:
    """Return the feed of one party's events from the apps of one organisation."""
    return Feed(name="owner", conditions=(Equal("subject", subject), Equal("org", org)))


CASES, OWNER = case_feed(TTD, PREFIX), owner_feed("ttd", "/party/50000001")
FEEDS = {
    "cases": CASES,
    "cases of one type": CASES.where(*conditions(types={"instance.created"})),
    "owner": OWNER,
    "owner without an app": OWNER.where(NoneOf("resource", frozenset({"urn:altinn:resource:app_ttd_skatt"}))),
    "owner of one type": OWNER.where(*conditions(types={"other"})),
    "owner with filters": OWNER.where(*conditions(types={"instance.created", "other"}, source=PREFIX)),
}
TYPES = ("instance.created", "instance.completed", "other")
EVENTS: Sequence[Event] = [
    event(type_=type_, app=app, party=party)
    for type_ in TYPES
    for app in (TTD, SKD, App(org="ttd", name="skatt"), None)
    for party in (50000001, 50000002)
]
ENTRIES = [entry(sequence, of=each) for sequence, each in enumerate(EVENTS, start=1)]


def matching(feed: Feed) -> list[int]:
    """The positions of the entries of a feed, by its own definition."""
    return [each.sequence for each in ENTRIES if feed.matches(each.event)]


def positions(entries: PageEntries) -> list[int]:
    """The positions of entries."""
    return [each.sequence for each in entries]


@pytest.fixture(params=["sqlite", "cosmos"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, emulator_url: str) -> AsyncIterator[EventLog]:
    """An empty log of each engine."""
    if request.param == "sqlite":
        async with open_sqlite_log(tmp_path / "log.db") as sqlite_log:
            yield sqlite_log
    else:
        async with open_new_log(emulator_url) as cosmos_log:
            yield cosmos_log


async def append_all(log: EventLog) -> None:
    """Append the entries, as many at once as the engine accepts."""
    while (after := (await log.head()).end_offset) < len(ENTRIES):
        await log.append(ENTRIES[after:], after=after)


def reader_of(log: EventLog, tail: Tail) -> Reader:
    """A reader of this log."""
    retention = Retention(log, clock=ManualClock(), keep=10**18)
    return Reader(log, tail, retention=retention, decisions=StubDecisionPoint(), telemetry=Telemetry())


def test_toy_feeds_match_some_events_and_not_others() -> None:
    """Feeds that match everything or nothing would prove little in the other tests."""
    counts = {name: len(matching(feed)) for name, feed in FEEDS.items()}

    assert {
        "cases": 2,
        "cases of one type": 1,
        "owner": 6,
        "owner without an app": 3,
        "owner of one type": 2,
        "owner with filters": 2,
    } == counts


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_memory_finds_exactly_the_events_of_a_toy_feed(feed: Feed) -> None:
    """The index of the newest entries has keys for its fields."""
    recent = RecentEntries()
    for each in ENTRIES:
        recent.add(each)
    scan = recent.scan(feed, after=0, through=len(ENTRIES), limit=1_000)

    assert scan is not None
    assert matching(feed) == positions(scan.entries)


async def test_each_engine_finds_exactly_the_events_of_a_toy_feed(log: EventLog) -> None:
    """The result equals that of the feed's definition, and every position is examined."""
    await append_all(log)
    scans = [await log.scan(feed, after=0, through=len(ENTRIES), limit=1_000) for feed in (CASES, OWNER)]

    assert [matching(CASES), matching(OWNER)] == [positions(scan.entries) for scan in scans]
    assert [len(ENTRIES)] * 2 == [scan.examined for scan in scans]


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
async def test_sqlite_finds_exactly_the_events_of_a_toy_feed_with_filters(tmp_path: Path, feed: Feed) -> None:
    """Filters narrow a toy feed as they narrow any other."""
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await append_all(log)
        scan = await log.scan(feed, after=0, through=len(ENTRIES), limit=1_000)

    assert (matching(feed), len(ENTRIES)) == (positions(scan.entries), scan.examined)


@pytest.mark.parametrize(
    ("feed", "index"), [(CASES, "entry_app_type"), (OWNER, "entry_subject")], ids=["cases", "owner"]
)
async def test_sqlite_searches_an_index_for_a_toy_feed(tmp_path: Path, feed: Feed, index: str) -> None:
    """No step of the plan reads the whole table."""
    statements = scan_statements(feed)
    async with open_sqlite_log(tmp_path / "log.db"):
        pass
    with closing(apsw.Connection(str(tmp_path / "log.db"))) as db:
        bindings = {**statements.values, "after": 0, "through": 9, "limit": 5}
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statements.part}", bindings)]

    assert index == plan_search(feed).index_name
    assert 1 == sum(index in step for step in plan)
    assert [] == [step for step in plan if step.startswith("SCAN entry")]


def test_cosmos_translates_the_fields_of_a_toy_feed() -> None:
    """Each condition on whole values becomes a clause, and each value a parameter; events are checked for the rest."""
    terms = term_filter(CASES.where(NoneOf("subject", frozenset({"", "/party/1"}))))

    assert (
        "(ARRAY_CONTAINS(c.types, @f0_0) OR ARRAY_CONTAINS(c.types, @f0_1)) AND ARRAY_CONTAINS(c.apps, @f1_0)"
    ) == terms.clause
    assert {"f0_0": "instance.completed", "f0_1": "instance.created", "f1_0": "ttd/bolig"} == dict(terms.values)
    assert not terms.is_selective


async def test_reader_pages_through_a_toy_feed_from_store_and_memory(log: EventLog) -> None:
    """Pages of any size give the same events, whether memory holds them or not."""
    await append_all(log)
    tail = Tail(log)
    await tail.start()
    reader = reader_of(log, tail)
    from_store = [await all_positions(reader, OWNER, size=size) for size in (1, 4, 100)]
    filling = asyncio.create_task(tail.fill_memory())
    while tail.entries_after(0) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    from_memory = [await all_positions(reader, OWNER, size=size) for size in (1, 4, 100)]
    filling.cancel()

    assert [matching(OWNER)] * 3 == from_store == from_memory


async def all_positions(reader: Reader, feed: Feed, *, size: int) -> list[int]:
    """The positions on all pages of a feed."""
    page = await read_page(reader, feed, size=size)
    result = positions(page.entries)
    while page.more:
        page = await read_page(reader, feed, size=size, after=page.cursor)
        result += positions(page.entries)
    return result


async def test_reader_of_a_toy_feed_wakes_at_its_first_event(log: EventLog) -> None:
    """Entries of other feeds do not wake it."""
    tail = Tail(log)
    await tail.start()
    first = matching(CASES)[0]
    wait = asyncio.ensure_future(tail.wait(CASES, Waiter(), past=0, until=1e12))
    await asyncio.sleep(0)
    tail.advance(ENTRIES[: first - 1])
    for _ in range(5):
        await asyncio.sleep(0)
    is_early = wait.done()
    tail.advance(ENTRIES[first - 1 :])
    position = await wait
    await tail.stop()

    assert (False, first - 1) == (is_early, position)


async def test_page_of_a_toy_feed_is_served_like_any_other(tmp_path: Path) -> None:
    """A route passes on only a `FeedRequest`: JSON, cursor and telemetry follow from it."""
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await append_all(log)
        tail, telemetry = Tail(log), Telemetry()
        await tail.start()
        public_url = PublicUrl(public_url="https://x.example.no", own_url="")
        limits = reading_limits(telemetry)
        services = ReadingServices(
            reader_of(log, tail), ManualClock(), Problems(public_url, telemetry), limits, telemetry, keep_connection
        )
        request, parameters = http_request("/toy"), parse_query(b"after=0&type=other")
        feed_request = FeedRequest(
            request, OWNER.where(*parameters.conditions), parameters, AnonymousReader("192.0.2.1")
        )
        response = await Pages(services, public_url, secret=b"secret").respond(feed_request)

    assert isinstance(response, BytesResponse)
    events = msgspec.json.decode(response.body, type=list[dict[str, object]])
    assert (200, matching(FEEDS["owner of one type"])) == (
        response.status,
        [int(str(each["sequence"])) for each in events],
    )
