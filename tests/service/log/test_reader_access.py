"""Decisions of the reader: one call for a page, cursors past hidden entries, and a bounded number of steps."""

from collections.abc import Set as AbstractSet

import msgspec
import pytest

from eventfeed.domain.cursor import BareSequence, Cursor, EventId
from eventfeed.domain.decision import Question, Undecided
from eventfeed.domain.errors import InvalidCursor, Unavailable
from eventfeed.domain.event import App, Identity
from eventfeed.domain.feed import instance_feed, party_feed, resource_feed
from eventfeed.domain.ports import EventLog
from eventfeed.domain.principal import Principal
from eventfeed.log import reader as reader_module
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import scans as sqlite
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import TTD, caller, entries, entry, event, guid
from tests.support.reading import read_page

RESOURCE = "urn:altinn:resource:app_ttd_bolig"
KARI = caller(user="20000001")
OF_RESOURCE = resource_feed(RESOURCE, KARI)
OF_PARTY = party_feed("/party/50000001", KARI)
HIDDEN_APP = App(org="ttd", name="hidden")


async def new_reader(log: EventLog, point: StubDecisionPoint, clock: ManualClock) -> Reader:
    """A reader of this log that uses this decision point."""
    tail = Tail(log)
    await tail.start()
    return Reader(log, tail, retention=Retention(log, clock=clock, keep=10**17), decisions=point, telemetry=Telemetry())


def permitting(resources: set[str]) -> StubDecisionPoint:
    """A decision point that permits these resources."""
    return StubDecisionPoint(lambda question: question.resource in resources)


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_page_is_decided_in_one_call(log: EventLog, clock: ManualClock, size: int) -> None:
    """The call has one question for each party, 50 questions for 50 parties."""
    await log.append([entry(sequence, of=event(party=50000000 + sequence)) for sequence in range(1, 51)], after=0)
    point = StubDecisionPoint()
    page = await read_page(await new_reader(log, point, clock), OF_RESOURCE, size=size)

    assert size == len(page.entries)
    assert [
        {Question(resource=RESOURCE, party=str(50000000 + sequence)) for sequence in range(1, size + 1)}
    ] == point.requests


async def test_cursor_of_a_page_of_hidden_events_is_the_end(log: EventLog, clock: ManualClock) -> None:
    """The page is empty, and `more` is false."""
    await log.append(entries(1, 9), after=0)
    page = await read_page(await new_reader(log, permitting(set()), clock), OF_PARTY, size=5)

    assert ([], 9, False) == (list(page.entries), page.cursor.position, page.more)


async def test_page_is_filled_with_visible_events(log: EventLog, clock: ManualClock) -> None:
    """Hidden events do not count. The cursor is the last returned event, so the next page skips none."""
    batch = [entry(sequence, of=event(app=TTD if sequence % 3 == 0 else HIDDEN_APP)) for sequence in range(1, 31)]
    await log.append(batch, after=0)
    reader = await new_reader(log, permitting({RESOURCE}), clock)
    first = await read_page(reader, OF_PARTY, size=4)
    rest = await read_page(reader, OF_PARTY, size=99, after=first.cursor)

    assert [3, 6, 9, 12] == [each.sequence for each in first.entries]
    assert (12, True) == (first.cursor.position, first.more)
    assert [15, 18, 21, 24, 27, 30] == [each.sequence for each in rest.entries]


async def test_event_after_thousands_of_hidden_ones_is_found_in_bounded_requests(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans exclude resources that are denied, so a request examines as many entries as its scans may."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 100)
    hidden_events = [entry(sequence, of=event(app=HIDDEN_APP)) for sequence in range(1, 5_001)]
    for start in range(0, 5_000, 1_000):
        await log.append(hidden_events[start : start + 1_000], after=start)
    await log.append([entry(5_001)], after=5_000)
    point = permitting({RESOURCE})
    reader, positions = await new_reader(log, point, clock), [0]
    sequences, after = list[int](), Cursor(log=(await log.head()).log, position=0)
    while not sequences:
        page = await read_page(reader, OF_PARTY, size=50, after=after)
        sequences, after = [each.sequence for each in page.entries], page.cursor
        positions.append(after.position)

    assert [5_001] == sequences
    assert len(positions) - 1 <= 5_001 // (100 * (reader_module.SCANS_MAX - 1)) + 1
    assert len(point.requests) <= 2 * len(positions)
    assert sorted(set(positions)) == positions


class UndecidedPoint(StubDecisionPoint):
    """A decision point that cannot decide on the events of one party."""

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        verdicts = {question: None if question.party == "51000011" else self.allows(question) for question in questions}
        if None in verdicts.values():
            raise Undecided(verdicts)
        return await super().allowed(principal, questions)


async def test_page_ends_before_an_undecided_event(log: EventLog, clock: ManualClock) -> None:
    """The page returns the events before it, and the next request fails: no event is skipped."""
    events = [event(party=party) for party in (50000001, 50000002, 51000011, 50000001)]
    await log.append([entry(sequence, of=each) for sequence, each in enumerate(events, 1)], after=0)
    reader = await new_reader(log, UndecidedPoint(lambda question: question.party == "50000001"), clock)
    page = await read_page(reader, OF_RESOURCE, size=5)

    assert ([1], 2, True) == ([each.sequence for each in page.entries], page.cursor.position, page.more)
    with pytest.raises(Unavailable):
        await read_page(reader, OF_RESOURCE, size=5, after=page.cursor)


async def test_event_id_beyond_the_scan_budget_is_unavailable(
    log: EventLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that ends before the log does not prove that the id is unknown."""
    monkeypatch.setattr(reader_module, "SCANS_MAX", 1)
    monkeypatch.setattr(reader_module, "CANDIDATES_MIN", 1)
    await log.append([entry(sequence, of=event("same", app=HIDDEN_APP)) for sequence in (1, 2, 3)], after=0)
    reader = await new_reader(log, permitting(set()), clock)

    with pytest.raises(Unavailable):
        await read_page(reader, OF_PARTY, size=9, after=EventId(id="same"))


async def test_page_without_a_decision_is_unavailable(log: EventLog, clock: ManualClock) -> None:
    """If the decision point does not respond, events are neither returned nor skipped."""

    def unavailable(question: Question) -> bool:
        raise Unavailable(f"no response for {question}")

    await log.append(entries(1, 3), after=0)
    reader = await new_reader(log, StubDecisionPoint(unavailable), clock)

    with pytest.raises(Unavailable):
        await read_page(reader, OF_PARTY, size=5)


@pytest.mark.parametrize("resource", [None, "nonsense", "urn:x", "urn::x", "urn:x:a b", "urn:x:" + "a" * 1_000])
async def test_event_without_a_valid_resource_is_hidden(
    log: EventLog, clock: ManualClock, resource: str | None
) -> None:
    """The decision point gets no question about it."""
    await log.append([entry(1, of=event(app=None, resource=resource)), entry(2)], after=0)
    point = StubDecisionPoint()
    page = await read_page(await new_reader(log, point, clock), OF_PARTY, size=5)

    assert [2] == [each.sequence for each in page.entries]
    assert [{Question(resource=RESOURCE, party="50000001")}] == point.requests


async def test_page_after_an_event_id_follows_the_first_visible_event(log: EventLog, clock: ManualClock) -> None:
    """If the reader may see no event with the id, the id is not a valid cursor."""
    batch = [entry(1, of=event("here", app=HIDDEN_APP)), entry(2, of=event("here")), entry(3)]
    await log.append(batch, after=0)
    after = EventId(id="here")
    page = await read_page(await new_reader(log, permitting({RESOURCE}), clock), OF_PARTY, size=9, after=after)

    assert [3] == [each.sequence for each in page.entries]
    with pytest.raises(InvalidCursor):
        await read_page(await new_reader(log, permitting(set()), clock), OF_PARTY, size=9, after=after)


@pytest.mark.parametrize(("party", "sequences"), [(None, [1, 2]), ("50000001", [1, 2]), ("50000002", [])])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_instance_feed_with_a_party_has_events_of_this_party_only(
    log: EventLog, clock: ManualClock, party: str | None, sequences: list[int], *, in_memory: bool
) -> None:
    """A feed of an instance needs no decision, with or without the party."""
    point, events = StubDecisionPoint(), [event(instance=7), event(instance=7), event(instance=8)]
    batch = [entry(sequence, of=each) for sequence, each in enumerate(events, 1)]
    reader = await new_reader(log, point, clock) if in_memory else None
    await log.append(batch, after=0)
    reader = reader or await new_reader(log, point, clock)
    query = instance_feed(guid(7), party)
    page = await read_page(reader, query, size=9, after=BareSequence(position=0))

    assert (sequences, []) == ([each.sequence for each in page.entries], point.requests)


async def test_owner_sees_every_event_of_a_resource_without_a_decision(log: EventLog, clock: ManualClock) -> None:
    """Events of other publishers, and those without a party, are among them. Others need a decision on each party."""
    ttd = msgspec.structs.replace(caller(organisation="991825827"), org="ttd")
    resource = "urn:altinn:resource:thing"
    own = msgspec.structs.replace(
        event(app=None, resource=resource), identity=Identity(source="https://x/ttd/thing", id="own"), subject=None
    )
    await log.append([entry(1, of=event(app=None, resource=resource)), entry(2, of=own)], after=0)
    point = permitting(set())
    reader = await new_reader(log, point, clock)
    pages = [
        await read_page(reader, resource_feed(resource, ttd, is_owner=is_owner), size=2) for is_owner in (True, False)
    ]

    assert [[1, 2], []] == [[each.sequence for each in page.entries] for page in pages]
    assert [
        {Question(resource=resource, party=party, action="subscribe") for party in ("50000001", None)}
    ] == point.requests
