"""Cached decisions: each is requested once for each caller and level, and kept for a short time."""

import asyncio
from collections.abc import Set as AbstractSet

import pytest
from msgspec.structs import replace

from eventfeed.access import decisions as decisions_module
from eventfeed.access.decisions import CACHE_SECONDS, UNDECIDED_SECONDS_MAX, Decisions
from eventfeed.access.platform import PlatformDecisionPoint
from eventfeed.domain.decision import Question, Undecided
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.ports import DecisionPoint
from eventfeed.domain.principal import Method, Principal
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.decision_point import PlatformDouble
from tests.support.engines import ManualClock, StubDecisionPoint
from tests.support.events import caller

KARI = caller(user="20000001")
BOLIG = "urn:altinn:resource:app_ttd_bolig"
FIFTY = frozenset(Question(resource=BOLIG, party=str(50000000 + number)) for number in range(50))
ONE = Question(resource=BOLIG, party="50000001")


def decisions_of(point: DecisionPoint, clock: ManualClock | None = None) -> Decisions:
    """Return cached decisions of a point; `clock` counts seconds."""
    manual = clock or ManualClock(0)
    return Decisions(point, telemetry=Telemetry(), clock=lambda: manual.now)


class GatedDecisionPoint:
    """A decision point that responds when `gate` is set, with a failure if `is_failing`."""

    def __init__(self) -> None:
        self.gate, self.is_failing, self.requests = asyncio.Event(), False, 0

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        self.requests += 1
        await self.gate.wait()
        if self.is_failing:
            raise Unavailable(f"no decision for level {principal.level}")
        return questions


async def test_page_costs_one_platform_call_and_its_repeat_none() -> None:
    """Requests are counted at the wire, for 50 parties. An overlapping page requests only the new decision."""
    double = PlatformDouble()
    decisions = decisions_of(PlatformDecisionPoint(double.platform))
    first, repeat = await decisions.allowed(KARI, FIFTY), await decisions.allowed(KARI, FIFTY)
    calls = double.calls
    await decisions.allowed(KARI, FIFTY | {Question(resource=BOLIG, party="1")})

    assert (FIFTY, FIFTY, 1) == (first, repeat, calls)
    assert 2 == double.calls
    assert 1 == len(double.last_request()["Resource"])


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
async def test_decision_for_another_caller_is_requested_again(other: Principal) -> None:
    """The key of the cache has the caller, the method and the level."""
    point = StubDecisionPoint()
    decisions = decisions_of(point)
    await decisions.allowed(KARI, {ONE})
    await decisions.allowed(other, {ONE})

    assert 2 == len(point.requests)


@pytest.mark.parametrize("other", [replace(ONE, party="2"), replace(ONE, party=None), replace(ONE, resource="urn:x")])
async def test_decision_on_another_party_or_resource_is_separate(other: Question) -> None:
    """A permit for one question does not allow the other."""
    decisions = decisions_of(StubDecisionPoint(lambda question: question == ONE))

    assert {ONE} == await decisions.allowed(KARI, {ONE})
    assert set() == await decisions.allowed(KARI, {other})


async def test_decision_for_another_token_of_the_caller_is_cached() -> None:
    """A renewed token or other scopes request no new decision."""
    point = StubDecisionPoint()
    decisions = decisions_of(point)
    await decisions.allowed(KARI, {ONE})
    await decisions.allowed(replace(KARI, token=b"new", scopes=frozenset({"x"}), expires=1), {ONE})

    assert 1 == len(point.requests)


async def test_denial_is_cached_like_a_permit() -> None:
    """A denial costs as much as a permit."""
    point = StubDecisionPoint(lambda _: False)
    decisions = decisions_of(point)

    assert [set(), set()] == [await decisions.allowed(KARI, {ONE}) for _ in range(2)]
    assert 1 == len(point.requests)


async def test_concurrent_callers_share_one_request() -> None:
    """All callers wait for the same response."""
    point = GatedDecisionPoint()
    decisions = decisions_of(point)
    tasks = [asyncio.create_task(decisions.allowed(KARI, FIFTY)) for _ in range(20)]
    await asyncio.sleep(0)
    point.gate.set()

    assert [FIFTY] * 20 == await asyncio.gather(*tasks)
    assert 1 == point.requests


async def test_failure_reaches_all_callers_and_is_not_cached() -> None:
    """The next call requests the decision again."""
    point = GatedDecisionPoint()
    point.is_failing = True
    decisions = decisions_of(point)
    tasks = [asyncio.create_task(decisions.allowed(KARI, {ONE})) for _ in range(3)]
    await asyncio.sleep(0)
    point.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    point.is_failing = False

    assert [True] * 3 == [isinstance(each, Unavailable) for each in results]
    assert {ONE} == await decisions.allowed(KARI, {ONE})
    assert 2 == point.requests


async def test_cancelled_caller_does_not_cancel_the_request_of_others() -> None:
    """The second caller gets the response to the request that the first one started."""
    point = GatedDecisionPoint()
    decisions = decisions_of(point)
    first = asyncio.create_task(decisions.allowed(KARI, {ONE}))
    await asyncio.sleep(0)
    second = asyncio.create_task(decisions.allowed(KARI, {ONE}))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    point.gate.set()

    assert {ONE} == await second
    assert 1 == point.requests


async def test_late_response_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision point that never responds fails the request after `RESPONSE_SECONDS_MAX`."""
    monkeypatch.setattr(decisions_module, "RESPONSE_SECONDS_MAX", 0.01)

    with pytest.raises(Unavailable, match="in time"):
        await decisions_of(GatedDecisionPoint()).allowed(KARI, {ONE})


async def test_expired_decision_is_requested_again() -> None:
    """A decision expires `CACHE_SECONDS` after its request."""
    point, clock = StubDecisionPoint(), ManualClock(0)
    decisions = decisions_of(point, clock)
    await decisions.allowed(KARI, {ONE})
    point.allows = lambda _: False
    clock.now += int(CACHE_SECONDS) - 1
    before = await decisions.allowed(KARI, {ONE})
    clock.now += 1

    assert {ONE} == before
    assert set() == await decisions.allowed(KARI, {ONE})
    assert 2 == len(point.requests)


class IncompleteDecisionPoint:
    """A decision point that cannot decide on the questions in `failures`, and permits all others."""

    def __init__(self) -> None:
        self.failures, self.requests = {ONE}, list[AbstractSet[Question]]()

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`."""
        assert principal.token
        self.requests.append(questions)
        if questions & self.failures:
            raise Undecided({question: None if question in self.failures else True for question in questions})
        return questions


async def test_decisions_of_an_incomplete_response_are_cached() -> None:
    """Only the undecided question is requested again."""
    point = IncompleteDecisionPoint()
    decisions = decisions_of(point)
    with pytest.raises(Undecided):
        await decisions.allowed(KARI, FIFTY)
    with pytest.raises(Undecided) as failure:
        await decisions.allowed(KARI, FIFTY)

    assert [FIFTY, {ONE}] == point.requests
    assert dict.fromkeys(FIFTY, True) | {ONE: None} == failure.value.verdicts


async def test_question_that_stays_undecided_is_denied_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other questions are decided meanwhile, so one event that has no decision does not stop a feed for ever."""
    monkeypatch.setattr(decisions_module, "CACHE_SECONDS", 2 * UNDECIDED_SECONDS_MAX)
    point, clock = IncompleteDecisionPoint(), ManualClock(0)
    decisions = decisions_of(point, clock)
    with pytest.raises(Undecided):
        await decisions.allowed(KARI, FIFTY)
    clock.now += 1
    with pytest.raises(Undecided):
        await decisions.allowed(KARI, {*FIFTY, Question(resource=BOLIG, party="1")})
    clock.now = int(UNDECIDED_SECONDS_MAX)

    assert FIFTY - {ONE} == await decisions.allowed(KARI, FIFTY)
    assert FIFTY - {ONE} == await decisions.allowed(KARI, FIFTY)
    assert 3 == len(point.requests)


async def test_decision_point_without_any_decision_denies_nothing() -> None:
    """The questions are decided when the decision point responds again, after any time."""
    point, clock = IncompleteDecisionPoint(), ManualClock(0)
    point.failures = set(FIFTY)
    decisions = decisions_of(point, clock)
    for _ in range(3):
        with pytest.raises(Undecided):
            await decisions.allowed(KARI, FIFTY)
        clock.now += int(UNDECIDED_SECONDS_MAX)
    point.failures = set()

    assert FIFTY == await decisions.allowed(KARI, FIFTY)


async def test_cache_above_its_maximum_evicts_the_oldest_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is larger than the cache is decided all the same."""
    monkeypatch.setattr(decisions_module, "CACHE_DECISIONS_MAX", 10)
    decisions = decisions_of(StubDecisionPoint())
    for question in sorted(FIFTY, key=str):
        await decisions.allowed(KARI, {question})

    assert sorted(FIFTY, key=str)[-10:] == [key.question for key in decisions._cache]
    assert FIFTY == await decisions.allowed(KARI, FIFTY)


async def test_expired_decisions_are_evicted() -> None:
    """Otherwise the decisions of many callers would add up."""
    clock = ManualClock(0)
    decisions = decisions_of(StubDecisionPoint(), clock)
    await decisions.allowed(KARI, FIFTY)
    clock.now += int(CACHE_SECONDS)
    await decisions.allowed(KARI, {ONE})

    assert 1 == len(decisions._cache)


async def test_decisions_are_counted_by_outcome_and_source() -> None:
    """The first call uses the decision point, the second one the cache."""
    telemetry = Telemetry()
    decisions = Decisions(StubDecisionPoint(lambda question: question == ONE), telemetry=telemetry)
    for _ in range(2):
        await decisions.allowed(KARI, FIFTY)

    assert {
        ("allowed", "asked"): 1,
        ("hidden", "asked"): 49,
        ("allowed", "memory"): 1,
        ("hidden", "memory"): 49,
    } == telemetry.counters["eventfeed.decisions"].series
