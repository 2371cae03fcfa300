"""Decisions remembered: each asked once, for whom it was asked, and not for long."""

import asyncio
from collections.abc import Set as AbstractSet

import pytest
from msgspec.structs import replace

from eventfeed.access import decisions as decisions_module
from eventfeed.access.decisions import Decisions
from eventfeed.access.platform import PlatformDecisionPoint
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.feed import Question, Undecided
from eventfeed.domain.principal import Method, Principal
from tests.support.decision_point import PlatformDouble
from tests.support.engines import Allowing
from tests.support.events import caller

KARI = caller(user="20000001")
BOLIG = "urn:altinn:resource:app_ttd_bolig"
FIFTY = frozenset(Question(resource=BOLIG, party=str(50000000 + number)) for number in range(50))
ONE = Question(resource=BOLIG, party="50000001")


class Gated:
    """A point that answers when it is let to, and fails when it is told to."""

    def __init__(self) -> None:
        self.open_, self.failing, self.asked = asyncio.Event(), False, 0

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        self.asked += 1
        await self.open_.wait()
        if self.failing:
            raise Unavailable(f"nothing for level {principal.level}")
        return questions


async def test_a_page_costs_the_platform_one_call_and_then_none() -> None:
    """50 events over 50 parties, counted at the wire; a page that overlaps asks for the rest alone."""
    double = PlatformDouble()
    point = Decisions(PlatformDecisionPoint(double.platform))
    first, again = await point.allowed(KARI, FIFTY), await point.allowed(KARI, FIFTY)
    more = FIFTY | {Question(resource=BOLIG, party="1")}
    calls = double.calls
    await point.allowed(KARI, more)

    assert (FIFTY, FIFTY, 1) == (first, again, calls)
    assert 2 == double.calls
    assert 1 == len(double.asked()["Resource"])


@pytest.mark.parametrize(
    "other",
    [
        replace(KARI, user="20000002"),
        replace(KARI, level=3),
        replace(KARI, method=Method.MASKINPORTEN),
        replace(KARI, user=None, organisation="20000001"),
        replace(KARI, organisation="310000011"),
    ],
    ids=str,
)
async def test_another_caller_is_another_question(other: Principal) -> None:
    """Who asks, how they are known and how surely are all in the key."""
    inner = Allowing()
    point = Decisions(inner)
    await point.allowed(KARI, {ONE})
    await point.allowed(other, {ONE})

    assert 2 == len(inner.asked)


@pytest.mark.parametrize("other", [replace(ONE, party="2"), replace(ONE, party=None), replace(ONE, resource="urn:x")])
async def test_another_party_or_resource_is_another_question(other: Question) -> None:
    """What is allowed for one says nothing of the other."""
    inner = Allowing(lambda question: question == ONE)
    point = Decisions(inner)

    assert {ONE} == await point.allowed(KARI, {ONE})
    assert set() == await point.allowed(KARI, {other})


async def test_the_same_caller_with_another_token_is_the_same() -> None:
    """A renewed token, or other scopes, ask nothing anew."""
    inner = Allowing()
    point = Decisions(inner)
    await point.allowed(KARI, {ONE})
    await point.allowed(replace(KARI, token=b"new", scopes=frozenset({"x"}), expires=1), {ONE})

    assert 1 == len(inner.asked)


async def test_a_no_is_remembered_too() -> None:
    """It costs as much to ask."""
    inner = Allowing(lambda _: False)
    point = Decisions(inner)

    assert [set(), set()] == [await point.allowed(KARI, {ONE}) for _ in range(2)]
    assert 1 == len(inner.asked)


async def test_what_many_ask_at_once_is_asked_once() -> None:
    """All wait for the one answer."""
    gated = Gated()
    point = Decisions(gated)
    waiting = [asyncio.create_task(point.allowed(KARI, FIFTY)) for _ in range(20)]
    await asyncio.sleep(0)
    gated.open_.set()

    assert [FIFTY] * 20 == await asyncio.gather(*waiting)
    assert 1 == gated.asked


async def test_a_failure_is_heard_by_all_and_not_remembered() -> None:
    """The next one asks again."""
    gated = Gated()
    gated.failing = True
    point = Decisions(gated)
    waiting = [asyncio.create_task(point.allowed(KARI, {ONE})) for _ in range(3)]
    await asyncio.sleep(0)
    gated.open_.set()
    heard = await asyncio.gather(*waiting, return_exceptions=True)
    gated.failing = False

    assert [True] * 3 == [isinstance(each, Unavailable) for each in heard]
    assert {ONE} == await point.allowed(KARI, {ONE})
    assert 2 == gated.asked


async def test_who_goes_takes_nobodys_answer_along() -> None:
    """A caller that gave up does not end what others wait for."""
    gated = Gated()
    point = Decisions(gated)
    first = asyncio.create_task(point.allowed(KARI, {ONE}))
    await asyncio.sleep(0)
    second = asyncio.create_task(point.allowed(KARI, {ONE}))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gated.open_.set()

    assert {ONE} == await second
    assert 1 == gated.asked


async def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A point that never answers is unavailable after a while."""
    monkeypatch.setattr(decisions_module, "ANSWER_SECONDS_MAX", 0.01)

    with pytest.raises(Unavailable, match="in time"):
        await Decisions(Gated()).allowed(KARI, {ONE})


async def test_an_answer_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts from the asking, and then the point is asked again."""
    inner = Allowing()
    point = Decisions(inner)
    await point.allowed(KARI, {ONE})
    monkeypatch.setattr(decisions_module, "REMEMBERED_SECONDS", 0.0)
    inner.allows = lambda _: False

    assert set() == await point.allowed(KARI, {ONE})
    assert 2 == len(inner.asked)


class Choking:
    """A point that cannot decide on some questions."""

    def __init__(self) -> None:
        self.chokes, self.asked = {ONE}, list[AbstractSet[Question]]()

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """Everything else is allowed."""
        assert principal.token
        self.asked.append(questions)
        if questions & self.chokes:
            raise Undecided({question: None if question in self.chokes else True for question in questions})
        return questions


async def test_the_others_of_a_call_are_remembered() -> None:
    """Only what was not decided is asked again."""
    inner = Choking()
    point = Decisions(inner)
    with pytest.raises(Undecided):
        await point.allowed(KARI, FIFTY)
    with pytest.raises(Undecided) as failure:
        await point.allowed(KARI, FIFTY)

    assert [FIFTY, {ONE}] == inner.asked
    assert dict.fromkeys(FIFTY, True) | {ONE: None} == failure.value.verdicts


async def test_what_nobody_can_decide_is_a_no_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """While others are decided: an event that makes a point choke does not hold up a feed for ever."""
    inner = Choking()
    point = Decisions(inner)
    with pytest.raises(Undecided):
        await point.allowed(KARI, FIFTY)
    monkeypatch.setattr(decisions_module, "IN_VAIN_SECONDS", 0.0)

    assert FIFTY - {ONE} == await point.allowed(KARI, FIFTY)
    assert FIFTY - {ONE} == await point.allowed(KARI, FIFTY)
    assert 2 == len(inner.asked)


async def test_a_point_that_decides_nothing_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it lasts; and what can be decided again is."""
    monkeypatch.setattr(decisions_module, "IN_VAIN_SECONDS", 0.0)
    inner = Choking()
    inner.chokes = set(FIFTY)
    point = Decisions(inner)
    for _ in range(3):
        with pytest.raises(Undecided):
            await point.allowed(KARI, FIFTY)
    inner.chokes = set()

    assert FIFTY == await point.allowed(KARI, FIFTY)


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers go; a page that is larger than memory is decided all the same."""
    monkeypatch.setattr(decisions_module, "REMEMBERED_MAX", 10)
    inner = Allowing()
    point = Decisions(inner)
    for question in sorted(FIFTY, key=str):
        await point.allowed(KARI, {question})

    assert 10 == len(point._asked)
    assert FIFTY == await point.allowed(KARI, FIFTY)


async def test_old_answers_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was decided for one caller after the other would add up."""
    point = Decisions(Allowing())
    await point.allowed(KARI, FIFTY)
    monkeypatch.setattr(decisions_module, "REMEMBERED_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await point.allowed(KARI, {ONE})

    assert [ONE] == [key.question for key in point._asked]
