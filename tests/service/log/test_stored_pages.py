"""Pages from the store, and from memory: the same as from a plain list of all entries, to the byte."""

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from eventfeed.domain.cloudevents import STORED_BYTES_MAX
from eventfeed.domain.cursor import BareSequence, cursor_at
from eventfeed.domain.decision import Question, question_of
from eventfeed.domain.event import Entry
from eventfeed.domain.feed import ByDecision, Feed, PageBounds, app_feed
from eventfeed.domain.page_entries import join_array
from eventfeed.domain.ports import EventLog
from eventfeed.http.reading.representation import whole_events
from eventfeed.http.reading.stream_pages import stream_page
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import scans as sqlite
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.conditions import conditions
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import TTD, entry, event, page_rows
from tests.support.populations import SUBJECTS, filtered_feeds, populations

SECOND = 1_000_000


@st.composite
def entry_lists(draw: st.DrawFn) -> list[Entry]:
    """Entries with events of different length, some of them longer than a page may be."""
    entries = draw(populations())
    data = [draw(st.sampled_from(["", "x" * 90, "\u00e6\u00f8\u00e5\n" * 40, "x" * 1_500])) for _ in entries]
    return [
        replace(each, event=replace(each.event, body=each.event.body[:-1] + b',"more":"%b"}' % text.encode()))
        for each, text in zip(entries, data, strict=True)
    ]


@st.composite
def page_bounds(draw: st.DrawFn) -> PageBounds:
    """The bounds of a page."""
    times = st.none() | st.integers(0, 32)
    return PageBounds(
        size=draw(st.sampled_from([1, 2, 5, 16, 50, 1_000])),
        since=draw(times),
        until=draw(times),
        bytes_max=draw(st.sampled_from([2, 700, 2_000, 8_000, 8 * 1024 * 1024])),
    )


class Case:
    """A page of a feed after some entries of a log, and what a plain list of its entries has."""

    def __init__(self, entries: Sequence[Entry], feed: Feed, *, after: int, bounds: PageBounds) -> None:
        self._entries, self._bounds, self._hides = entries, bounds, isinstance(feed.visibility, ByDecision)
        first, end = entries[0].sequence - 1 if entries else after, entries[-1].sequence if entries else after
        self._start = max(after, first if bounds.since is None else self._last_before(bounds.since, first))
        self.through = end if bounds.until is None else self._last_before(bounds.until, first)
        self.matches = [
            each
            for each in entries
            if self._start < each.sequence <= self.through and feed.matches(each.event) and is_visible(feed, each)
        ]

    def _last_before(self, time: int, first: int) -> int:
        return max((each.sequence for each in self._entries if each.time < time), default=first)

    def page(self) -> tuple[Sequence[Entry], int]:
        """The entries of the page, and the position of its cursor."""
        page, size = list[Entry](), len(b"[]")
        for each in self.matches:
            size += len(each.json) + len(b",")
            if page and size > self._bounds.bytes_max:
                return page, page[-1].sequence
            page.append(each)
            if len(page) == self._bounds.size:
                return page, each.sequence
        return page, max(self._start, self.through)

    def positions(self, first: int) -> range:
        """The positions that a cursor may have: only hidden entries may follow the first of them."""
        following = next(
            (each.sequence for each in self.matches if each.sequence > first), max(first, self.through) + 1
        )
        return range(first, following if self._hides else first + 1)


def allows(question: Question) -> bool:
    """Hide the events of the second party."""
    return question.party != SUBJECTS[1].rpartition("/")[2]


def is_visible(feed: Feed, each: Entry) -> bool:
    """True if the scope gives the right to the feed, or the decision point allows the event."""
    question = question_of(each.event)
    return not isinstance(feed.visibility, ByDecision) or (question is not None and allows(question))


def message(each: Entry, *, log: str) -> bytes:
    """An event in a stream: the cursor after it, and a line of data for each of its own."""
    data = b"".join(b"data: %b\n" % line for line in each.json.splitlines())
    return b"id: %b\n%b\n" % (str(cursor_at(each, log=log)).encode(), data)


def moved(entries: Sequence[Entry], bounds: PageBounds, *, start: int) -> tuple[list[Entry], PageBounds]:
    """The entries and bounds after this position of a log."""
    times = [None if each is None else (start + each) * SECOND for each in (bounds.since, bounds.until)]
    moved_entries = [replace(each, sequence=start + each.sequence, time=start * SECOND + each.time) for each in entries]
    return moved_entries, replace(bounds, since=times[0], until=times[1])


async def append(log: EventLog, entries: Sequence[Entry], *, in_memory: bool) -> Reader:
    """Append entries; return a reader with them in memory, or with none."""
    tail = Tail(log)
    if in_memory:
        await tail.start()
    if entries:
        await log.append(entries, after=entries[0].sequence - 1)
    if not in_memory:
        await tail.start()
    retention = Retention(log, clock=ManualClock(), keep=10**18)
    return Reader(log, tail, retention=retention, decisions=StubDecisionPoint(allows), telemetry=Telemetry())


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    population=entry_lists(),
    feed=st.tuples(filtered_feeds(), st.booleans()).map(lambda each: replace(each[0], is_audited=each[1])),
    bounds=page_bounds(),
    skip=st.integers(0, 31),
    in_memory=st.booleans(),
    stored_bytes=st.sampled_from([1, 3_000, STORED_BYTES_MAX]),
)
async def test_page_of_any_feed_equals_that_of_a_plain_list(
    log: EventLog,
    population: list[Entry],
    feed: Feed,
    *,
    bounds: PageBounds,
    skip: int,
    in_memory: bool,
    stored_bytes: int,
) -> None:
    """The same positions, bytes, cursors and messages, also if the store reads a page in several parts."""
    start = (await log.head()).end_offset
    entries, bounds = moved(population, bounds, start=start)
    after = start + min(skip, len(entries))
    case, reader = Case(entries, feed, after=after, bounds=bounds), await append(log, entries, in_memory=in_memory)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sqlite, "STORED_BYTES_MAX", stored_bytes)
        page = await reader.read(feed, after=BareSequence(position=after), bounds=bounds)
    expected, first_position = case.page()
    position = page.cursor.position

    assert page_rows(expected) == page_rows(page.entries)
    assert array("Q", [each.sequence for each in expected]).tobytes() == page.positions
    assert position in case.positions(first_position)
    assert page.more == (position < case.through)
    assert not expected or join_array(each.json for each in expected) == b"".join(page.entries.json_parts())
    assert b"".join(message(each, log=page.cursor.log) for each in expected) == stream_page(page, whole_events).messages
    assert position == start or cursor_at(entries[position - start - 1], log=page.cursor.log) == page.cursor


async def test_page_with_one_event_of_more_than_its_bytes_ends(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if so many events follow that do not match that one scan does not reach the next match."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 10)
    start = (await log.head()).end_offset
    types = ["a.first", *["b.other"] * 30, "a.last"]
    batch = [
        entry(start + number, of=event(type_=type_, size=70_000 if number == 1 else 500))
        for number, type_ in enumerate(types, start=1)
    ]
    reader = await append(log, batch, in_memory=False)
    feed = app_feed(TTD).where(*conditions(type_patterns=["a.*"]))
    page = await reader.read(feed, after=BareSequence(position=start), bounds=PageBounds(size=16, bytes_max=64 * 1024))

    assert page_rows(batch[:1]) == page_rows(page.entries)
    assert page.more
    assert start < page.cursor.position < start + len(batch)
