"""The platform's decision point and register over HTTP: what counts as an answer, and as a yes."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from eventfeed.access import platform as platform_module
from eventfeed.access.platform import PlatformDecisionPoint, PlatformRegister
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.feed import Question, Undecided
from eventfeed.domain.ports import Organisation, Person
from tests.support.decision_point import NAMES_URL, Attributes, Json, PlatformDouble, result
from tests.support.events import caller

KARI, BANK = caller(user="20000001"), caller(organisation="310000033", level=3)
BOLIG = "urn:altinn:resource:app_ttd_bolig"
FIFTY = frozenset(Question(resource=BOLIG, party=str(50000000 + number)) for number in range(50))
PERSON, ORGANISATION = "urn:altinn:person:identifier-no:01838012345", "urn:altinn:organization:identifier-no:991825827"


@pytest.fixture
def double() -> PlatformDouble:
    """A platform that permits everything at level 3."""
    return PlatformDouble()


async def test_fifty_questions_are_one_call(double: PlatformDouble) -> None:
    """Each a resource, and a reference to it; subject and action stand once."""
    allowed = await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    asked = double.asked()
    references = [each["ReferenceId"] for each in asked["MultiRequests"]["RequestReference"]]

    assert (FIFTY, 1) == (allowed, double.calls)
    assert [("urn:altinn:userid", "20000001")] == [
        (each["AttributeId"], each["Value"]) for each in asked["AccessSubject"][0]["Attribute"]
    ]
    assert [["s1", "a1", resource["Id"]] for resource in asked["Resource"]] == references
    assert ["read"] == [each["Value"] for each in asked["Action"][0]["Attribute"]]


async def test_very_many_questions_are_several_calls(double: PlatformDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """None holds more than the platform is asked at once."""
    monkeypatch.setattr(platform_module, "CALL_QUESTIONS_MAX", 20)

    assert FIFTY == await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    assert 3 == double.calls


async def test_answers_are_recognised_in_any_order(double: PlatformDouble) -> None:
    """By party and resource, not by place."""
    other = Question(resource="urn:altinn:resource:super-simple", party=None)
    parties = {question.party for question in FIFTY if int(question.party or 0) % 3 == 0}

    def decide(attributes: Attributes) -> Json:
        party = attributes.get("urn:altinn:partyid")
        named = attributes.get("urn:altinn:resource") == "super-simple" or attributes.get("urn:altinn:app") == "bolig"
        return result("Permit" if named and party in {*parties, None} else "Deny")

    double.decide = decide

    assert {other, *(question for question in FIFTY if question.party in parties)} == (
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY | {other})
    )


@pytest.mark.parametrize(
    ("decided", "user", "organisation"),
    [
        (result("Permit"), True, True),
        (result("Permit", level="3"), True, True),
        (result("Permit", level="4"), True, False),
        (result("Permit", level="4", organisations="3"), True, True),
        (result("Permit", level="2", organisations="4"), True, False),
        (result("Permit", level="5"), False, False),
        (result("Deny"), False, False),
        (result("Deny", level="0"), False, False),
        (result("NotApplicable"), False, False),
        (
            {**result("Permit"), "Obligations": [{"Id": "urn:altinn:obligation:log", "AttributeAssignment": []}]},
            False,
            False,
        ),
        (
            {
                **result("Permit"),
                "Obligations": [{"Id": "x", "AttributeAssignment": [{"Category": "y", "Value": "1"}]}],
            },
            False,
            False,
        ),
    ],
    ids=str,
)
async def test_permit_and_obligation_are_both_needed(
    double: PlatformDouble, decided: Json, *, user: bool, organisation: bool
) -> None:
    """Organisations have a level of their own where there is one; an obligation that is not known cannot be met."""
    double.decide = lambda _: decided
    point, question = PlatformDecisionPoint(double.platform), Question(resource=BOLIG, party="1")
    answers = [await point.allowed(who, {question}) for who in (KARI, BANK)]

    assert [user, organisation] == [question in answer for answer in answers]


@pytest.mark.parametrize(
    "decided",
    [
        result("Indeterminate"),
        result("indeterminate{DP}"),
        result("permit"),
        result(""),
        result("Permit", level="three"),
        result("Permit", level=""),
        None,
    ],
    ids=str,
)
async def test_what_decides_nothing_is_no_answer(double: PlatformDouble, decided: Json | None) -> None:
    """One of fifty is enough for all to be unknown: nothing is shown, nothing is passed."""
    double.decide = lambda each: decided if each["urn:altinn:partyid"] == "50000007" else result("Permit")

    with pytest.raises(Unavailable):
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


def bared(decided: Json) -> Json:
    """A no without its resource."""
    return decided if decided["Decision"] == "Permit" else {**decided, "Category": None}


def silence(request: httpx.Request, answer: Json) -> httpx.Response:
    """No answer in time."""
    raise httpx.ReadTimeout(str(answer), request=request)


def refusal(request: httpx.Request, answer: Json) -> httpx.Response:
    """Nobody there."""
    raise httpx.ConnectError(str(answer), request=request)


SPOILT = {
    "500": lambda _, answer: httpx.Response(500, json=answer),
    "401": lambda _, answer: httpx.Response(401, json=answer),
    "302": lambda _, answer: httpx.Response(302, json=answer, headers={"Location": "/"}),
    "204": lambda *_: httpx.Response(204),
    "garbage": lambda *_: httpx.Response(200, content=b"\xff<html>"),
    "empty object": lambda *_: httpx.Response(200, json={}),
    "no results": lambda *_: httpx.Response(200, json={"Response": []}),
    "null": lambda *_: httpx.Response(200, json={"Response": None}),
    "deep": lambda *_: httpx.Response(200, content=b'{"Response":' + b"[" * 100_000),
    "cut off": lambda _, answer: httpx.Response(200, content=json.dumps(answer).encode()[:-5]),
    "time-out": silence,
    "refused": refusal,
}


@pytest.mark.parametrize("name", SPOILT)
async def test_anything_but_an_answer_is_unavailable(double: PlatformDouble, name: str) -> None:
    """With a time to try again, and nothing of what was asked."""
    double.spoil = SPOILT[name]

    with pytest.raises(Unavailable) as failure:
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    assert failure.value.retry_seconds >= 1
    assert "5000" not in str(failure.value)


async def test_results_without_their_resource_are_no_answer(double: PlatformDouble) -> None:
    """Their order means nothing, so they could be anyone's."""
    double.spoil = lambda _, answer: httpx.Response(
        200, json={"Response": [{**each, "Category": None} for each in answer["Response"]]}
    )

    with pytest.raises(Unavailable):
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


async def test_members_may_begin_with_a_small_letter(double: PlatformDouble) -> None:
    """As some deployments write them."""

    def uncapitalised(value: object) -> object:
        match value:
            case dict():
                return {name[0].lower() + name[1:]: uncapitalised(each) for name, each in value.items()}
            case list():
                return [uncapitalised(each) for each in value]
        return value

    double.decide = lambda each: result("Permit" if each["urn:altinn:partyid"] == "50000007" else "Deny", level="4")
    double.spoil = lambda _, answer: httpx.Response(200, json=uncapitalised(answer))

    assert {Question(resource=BOLIG, party="50000007")} == (
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    )


async def test_two_answers_to_one_question_must_agree(double: PlatformDouble) -> None:
    """A yes and a no are a no."""
    double.spoil = lambda _, answer: httpx.Response(
        200, json={"Response": [*answer["Response"], *({**each, "Decision": "Deny"} for each in answer["Response"])]}
    )

    assert set() == await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


async def test_people_and_organisations_are_found(double: PlatformDouble) -> None:
    """By numbers in the body, never in the URL; with key and token."""
    double.known = {
        PERSON: {"partyId": 50000001, "user": {"userId": 20000001, "username": "x"}, "personIdentifier": "01838012345"},
        ORGANISATION: {"partyId": 50002001, "organizationIdentifier": "991825827"},
    }
    register = PlatformRegister(double.platform, names_url=NAMES_URL)

    assert Person(user="20000001", party="50000001") == await register.person("01838012345")
    assert Organisation(number="991825827", party="50002001", org="ttd") == await register.organisation("991825827")
    assert [] == [str(request.url) for request in double.requests if "01838012345" in str(request.url)]
    assert {"Bearer a.b.c"} == {request.headers.get("authorization", "Bearer a.b.c") for request in double.requests}
    assert "key" == double.requests[0].headers["ocp-apim-subscription-key"]


async def test_who_is_not_there_is_nobody(double: PlatformDouble) -> None:
    """A person who never used the platform is a party, but no user; the list of names is fetched once."""
    double.known = {PERSON: {"partyId": 50000001, "user": None}, ORGANISATION: {"partyId": 7}}
    register = PlatformRegister(double.platform, names_url=NAMES_URL)
    found = [await register.organisation("991825827") for _ in range(2)]

    assert Person(user=None, party="50000001") == await register.person("01838012345")
    assert await register.person("02838012346") is None
    assert await register.organisation("999999999") is None
    assert ["ttd", "ttd"] == [each.org for each in found if each]
    assert 1 == sum(str(request.url) == NAMES_URL for request in double.requests)


async def test_old_short_names_do_while_there_are_no_newer(
    double: PlatformDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their list is another service than the register; only who never had them cannot answer."""
    monkeypatch.setattr(platform_module, "NAMES_SECONDS", 0.0)
    double.known = {ORGANISATION: {"partyId": 7}}
    register, late = (PlatformRegister(double.platform, names_url=NAMES_URL) for _ in range(2))
    await register.organisation("991825827")
    double.names = httpx.Response(500)

    assert Organisation(number="991825827", party="7", org="ttd") == await register.organisation("991825827")
    with pytest.raises(Unavailable):
        await late.organisation("991825827")


@pytest.mark.parametrize("decision", ["NotApplicable", "Deny"])
async def test_a_no_may_come_without_its_resource(double: PlatformDouble, decision: str) -> None:
    """As the platform writes it where no rule applies: as many as are left are the answers to those."""
    without = {question.party for question in sorted(FIFTY, key=str)[:7]}
    double.decide = lambda each: result(decision if each["urn:altinn:partyid"] in without else "Permit")
    double.spoil = lambda _, answer: httpx.Response(200, json={"Response": [*map(bared, answer["Response"])]})

    assert {question for question in FIFTY if question.party not in without} == (
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    )


@pytest.mark.parametrize("bare", [["Permit"], ["Deny"], ["Deny", "Permit"], ["Deny", "Deny", "Deny"], ["Deny", "x"]])
async def test_nothing_else_is_taken_without_its_resource(double: PlatformDouble, bare: list[str]) -> None:
    """Two questions are left, and this is no answer to both."""
    left = {question.party for question in sorted(FIFTY, key=str)[:2]}
    double.decide = lambda each: None if each["urn:altinn:partyid"] in left else result("Permit")
    double.spoil = lambda _, answer: httpx.Response(200, json={"Response": [*answer["Response"], *map(result, bare)]})

    with pytest.raises(Undecided) as failure:
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    assert 48 == len(failure.value.verdicts)


def choking(party: str) -> Callable[[httpx.Request, Json], httpx.Response]:
    """A decision point that decides nothing of a request with this party in it, as the platform's answers then."""

    def spoil(request: httpx.Request, answer: Json) -> httpx.Response:
        spoilt = {"Response": [result("Indeterminate")]}
        return httpx.Response(200, json=spoilt if party in request.content.decode() else answer)

    return spoil


async def test_one_bad_question_does_not_spoil_the_others(double: PlatformDouble) -> None:
    """It is found in a few smaller calls; what is decided of the others counts."""
    double.spoil = choking("50000007")
    with pytest.raises(Undecided) as failure:
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)

    assert {Question(resource=BOLIG, party="50000007")} == {
        question for question, verdict in failure.value.verdicts.items() if verdict is None
    }
    assert FIFTY == set(failure.value.verdicts)
    assert double.calls <= 13


async def test_a_point_that_fails_is_not_asked_for_each(double: PlatformDouble) -> None:
    """When the first smaller calls say nothing either, it is not the questions."""
    double.spoil = choking("5000")
    with pytest.raises(Undecided):
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)

    assert platform_module.CALLS_IN_VAIN == double.calls


async def test_many_calls_go_out_together(double: PlatformDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large page takes no longer than the slowest of them."""
    monkeypatch.setattr(platform_module, "CALL_QUESTIONS_MAX", 10)
    together = asyncio.Barrier(5)

    async def wait_for_all(self: httpx.MockTransport, request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(5), together:
            return self.handler(request)  # type: ignore[return-value]  # it is no coroutine

    monkeypatch.setattr(httpx.MockTransport, "handle_async_request", wait_for_all)

    assert FIFTY == await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


async def test_a_resource_that_calls_itself_a_party_is_none(double: PlatformDouble) -> None:
    """The decision point is asked about a resource of that name, and not about another party."""
    await PlatformDecisionPoint(double.platform).allowed(
        KARI, {Question(resource="urn:altinn:partyid:51000011", party="50000001")}
    )

    assert [("urn:altinn:partyid", "50000001"), ("urn:altinn:resource", "urn:altinn:partyid:51000011")] == [
        (each["AttributeId"], each["Value"]) for each in double.asked()["Resource"][0]["Attribute"]
    ]


@pytest.mark.parametrize("name", [name for name in SPOILT if name not in {"no results", "null"}])
async def test_a_silent_register_is_unavailable(double: PlatformDouble, name: str) -> None:
    """Not an unknown person."""
    double.known, double.spoil = {PERSON: {"partyId": 1, "user": {"userId": 2}}}, SPOILT[name]

    with pytest.raises(Unavailable) as failure:
        await PlatformRegister(double.platform, names_url=NAMES_URL).person("01838012345")
    assert "01838012345" not in str(failure.value)
