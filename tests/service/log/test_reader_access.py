"""The reader's decisions: asked together, passed by the cursor, and in bounded steps however much is hidden."""

from collections.abc import Set as AbstractSet

import pytest

from eventfeed.domain.cursor import Bare, Cursor, EventId
from eventfeed.domain.decision import Question, Undecided
from eventfeed.domain.errors import InvalidCursor, Unavailable
from eventfeed.domain.event import App
from eventfeed.domain.feed import instance_feed, party_feed, resource_feed
from eventfeed.domain.ports import EventLog
from eventfeed.domain.principal import Principal
from eventfeed.log import reader as reader_module
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import log as sqlite
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import TTD, caller, entries, entry, event, guid
from tests.support.reading import read_page

RESOURCE = "urn:altinn:resource:app_ttd_bolig"
KARI = caller(user="20000001")
OF_RESOURCE = resource_feed(RESOURCE, KARI)
OF_PARTY = party_feed("/party/50000001", KARI)
HIDDEN = App(org="ttd", name="hidden")


async def reading(log: EventLog, point: StubDecisionPoint, watch: ManualClock) -> Reader:
    """A reader over what is in the log, that asks this point."""
    tail = Tail(log)
    await tail.start()
    return Reader(log, tail, retention=Retention(log, clock=watch, keep=10**17), decisions=point, telemetry=Telemetry())


def visible_for(allowed: set[str]) -> StubDecisionPoint:
    """A point that allows these resources."""
    return StubDecisionPoint(lambda question: question.resource in allowed)


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_a_page_is_decided_in_one_call(log: EventLog, watch: ManualClock, size: int) -> None:
    """50 events over 50 parties are 50 questions at once; the same again over any number of events is one."""
    await log.append([entry(place, of=event(party=50000000 + place)) for place in range(1, 51)], after=0)
    point = StubDecisionPoint()
    page = await read_page(await reading(log, point, watch), OF_RESOURCE, size=size)

    assert size == len(page.entries)
    assert [
        {Question(resource=RESOURCE, party=str(50000000 + place)) for place in range(1, size + 1)}
    ] == point.requests


async def test_what_is_hidden_is_passed_by_the_cursor(log: EventLog, watch: ManualClock) -> None:
    """An empty page moves to the end, and says that it has caught up."""
    await log.append(entries(1, 9), after=0)
    page = await read_page(await reading(log, visible_for(set()), watch), OF_PARTY, size=5)

    assert ([], 9, False) == (list(page.entries), page.cursor.position, page.more)


async def test_a_page_fills_with_what_may_be_seen(log: EventLog, watch: ManualClock) -> None:
    """Hidden ones in between do not count; the cursor stands at the last one given, so nothing is passed unseen."""
    mixed = [entry(place, of=event(app=TTD if place % 3 == 0 else HIDDEN)) for place in range(1, 31)]
    await log.append(mixed, after=0)
    reader = await reading(log, visible_for({RESOURCE}), watch)
    first = await read_page(reader, OF_PARTY, size=4)
    rest = await read_page(reader, OF_PARTY, size=99, after=first.cursor)

    assert [3, 6, 9, 12] == [each.sequence for each in first.entries]
    assert (12, True) == (first.cursor.position, first.more)
    assert [15, 18, 21, 24, 27, 30] == [each.sequence for each in rest.entries]


async def test_one_behind_very_many_is_found_in_bounded_steps(
    log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values with a decision are excluded: a request passes as many entries as its scans may examine."""
    monkeypatch.setattr(sqlite, "EXAMINE_ENTRIES_MAX", 100)
    hidden_events = [entry(place, of=event(app=HIDDEN)) for place in range(1, 5_001)]
    for start in range(0, 5_000, 1_000):
        await log.append(hidden_events[start : start + 1_000], after=start)
    await log.append([entry(5_001)], after=5_000)
    point = visible_for({RESOURCE})
    reader, places = await reading(log, point, watch), [0]
    sequences, after = list[int](), Cursor(log=(await log.head()).log, position=0)
    while not sequences:
        page = await read_page(reader, OF_PARTY, size=50, after=after)
        sequences, after = [each.sequence for each in page.entries], page.cursor
        places.append(after.position)

    assert [5_001] == sequences
    assert len(places) - 1 <= 5_001 // (100 * (reader_module.SCANS_MAX - 1)) + 1
    assert len(point.requests) <= 2 * len(places)
    assert sorted(set(places)) == places


class Choking(StubDecisionPoint):
    """A point that cannot decide on the bakery's events."""

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        verdicts = {question: None if question.party == "51000011" else self.allows(question) for question in questions}
        if None in verdicts.values():
            raise Undecided(verdicts)
        return await super().allowed(principal, questions)


async def test_a_page_ends_before_what_is_not_decided(log: EventLog, watch: ManualClock) -> None:
    """Entries before it are returned, and the next request fails: no entry is skipped."""
    of = [event(party=party) for party in (50000001, 50000002, 51000011, 50000001)]
    await log.append([entry(place, of=each) for place, each in enumerate(of, 1)], after=0)
    reader = await reading(log, Choking(lambda question: question.party == "50000001"), watch)
    page = await read_page(reader, OF_RESOURCE, size=5)

    assert ([1], 2, True) == ([each.sequence for each in page.entries], page.cursor.position, page.more)
    with pytest.raises(Unavailable):
        await read_page(reader, OF_RESOURCE, size=5, after=page.cursor)


async def test_an_event_id_is_not_unknown_for_want_of_time(
    log: EventLog, watch: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching ended before the log did: nobody can say."""
    monkeypatch.setattr(reader_module, "SCANS_MAX", 1)
    monkeypatch.setattr(reader_module, "CANDIDATES_MAX", 1)
    await log.append([entry(place, of=event("twin", app=HIDDEN)) for place in (1, 2, 3)], after=0)
    reader = await reading(log, visible_for(set()), watch)

    with pytest.raises(Unavailable):
        await read_page(reader, OF_PARTY, size=9, after=EventId(id="twin"))


async def test_no_answer_is_no_page(log: EventLog, watch: ManualClock) -> None:
    """A decision point that does not answer makes the read fail: neither shown nor passed."""

    def silent(question: Question) -> bool:
        raise Unavailable(f"no answer for {question}")

    await log.append(entries(1, 3), after=0)
    reader = await reading(log, StubDecisionPoint(silent), watch)

    with pytest.raises(Unavailable):
        await read_page(reader, OF_PARTY, size=5)


@pytest.mark.parametrize("resource", [None, "nonsense", "urn:x", "urn::x", "urn:x:a b", "urn:x:" + "a" * 1_000])
async def test_an_event_that_nobody_can_decide_on_is_hidden(
    log: EventLog, watch: ManualClock, resource: str | None
) -> None:
    """Without a resource, or one with a name that is none, there is no question to ask."""
    await log.append([entry(1, of=event(app=None, resource=resource)), entry(2)], after=0)
    point = StubDecisionPoint()
    page = await read_page(await reading(log, point, watch), OF_PARTY, size=5)

    assert [2] == [each.sequence for each in page.entries]
    assert [{Question(resource=RESOURCE, party="50000001")}] == point.requests


async def test_an_event_id_is_a_place_only_where_it_may_be_seen(log: EventLog, watch: ManualClock) -> None:
    """The first one with that id that the reader may see; when there is none, it is no cursor."""
    twins = [entry(1, of=event("here", app=HIDDEN)), entry(2, of=event("here")), entry(3)]
    await log.append(twins, after=0)
    after = EventId(id="here")
    sequences = await read_page(await reading(log, visible_for({RESOURCE}), watch), OF_PARTY, size=9, after=after)

    assert [3] == [each.sequence for each in sequences.entries]
    with pytest.raises(InvalidCursor):
        await read_page(await reading(log, visible_for(set()), watch), OF_PARTY, size=9, after=after)


@pytest.mark.parametrize(("party", "sequences"), [(None, [1, 2]), ("50000001", [1, 2]), ("50000002", [])])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_an_instance_is_of_its_party(
    log: EventLog, watch: ManualClock, party: str | None, sequences: list[int], *, in_memory: bool
) -> None:
    """Named with another party it has no events; nobody is asked about anything."""
    point, of = StubDecisionPoint(), [event(instance=7), event(instance=7), event(instance=8)]
    added = [entry(place, of=each) for place, each in enumerate(of, 1)]
    reader = await reading(log, point, watch) if in_memory else None
    await log.append(added, after=0)
    reader = reader or await reading(log, point, watch)
    query = instance_feed(guid(7), party)
    page = await read_page(reader, query, size=9, after=Bare(position=0))

    assert (sequences, []) == ([each.sequence for each in page.entries], point.requests)
