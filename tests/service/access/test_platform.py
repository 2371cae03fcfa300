"""The platform's decision point and register over HTTP: readable responses, and permits with their obligations."""

import asyncio
import gzip
import json
from collections.abc import Callable

import httpx
import msgspec
import pytest

from eventfeed.access import platform as platform_module
from eventfeed.access.platform import PlatformDecisionPoint, PlatformRegister
from eventfeed.access.xacml import AttributeId
from eventfeed.bounded_fetch import DOCUMENT_BYTES_MAX
from eventfeed.domain.decision import Question, Undecided
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.ports import Organisation, Person
from tests.support.decision_point import NAMES_URL, URL, Attributes, Json, PlatformDouble, result
from tests.support.events import caller

KARI, BANK = caller(user="20000001"), caller(organisation="310000033", level=3)
BOLIG = "urn:altinn:resource:app_ttd_bolig"
FIFTY = frozenset(Question(resource=BOLIG, party=str(50000000 + number)) for number in range(50))
PERSON, ORGANISATION = "urn:altinn:person:identifier-no:01838012345", "urn:altinn:organization:identifier-no:991825827"


@pytest.fixture
def double() -> PlatformDouble:
    """A platform that permits everything at level 3."""
    return PlatformDouble()


async def test_fifty_questions_are_sent_in_one_call(double: PlatformDouble) -> None:
    """Each question is a resource with a reference. Subject and action occur once."""
    permitted_questions = await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    request = double.last_request()
    references = [each["ReferenceId"] for each in request["MultiRequests"]["RequestReference"]]

    assert (FIFTY, 1) == (permitted_questions, double.calls)
    assert [("urn:altinn:userid", "20000001")] == [
        (each["AttributeId"], each["Value"]) for each in request["AccessSubject"][0]["Attribute"]
    ]
    assert [["s1", "a1", resource["Id"]] for resource in request["Resource"]] == references
    assert ["read"] == [each["Value"] for each in request["Action"][0]["Attribute"]]


async def test_each_action_has_a_call_of_its_own(double: PlatformDouble) -> None:
    """An action is permitted only where the response to its own call permits it, even for one resource and party."""
    questions = {
        Question(resource="urn:altinn:resource:dialog", party="1", action=action)
        for action in ("read", "subscribe", "publish")
    }
    double.decide = lambda each: result("Permit" if each[AttributeId.ACTION] == "publish" else "Deny")
    permits = await PlatformDecisionPoint(double.platform).allowed(BANK, questions)

    assert {Question(resource="urn:altinn:resource:dialog", party="1", action="publish")} == permits
    assert 3 == double.calls


async def test_owner_of_a_resource_is_unknown_to_the_platform(double: PlatformDouble) -> None:
    """So the decision point decides for every caller."""
    ttd = msgspec.structs.replace(BANK, org="ttd")

    assert not await PlatformDecisionPoint(double.platform).owns(ttd, "urn:altinn:resource:dialog")


async def test_system_user_is_the_only_attribute_of_the_subject(double: PlatformDouble) -> None:
    """The platform's decision point takes no other beside it. The level is that of organisations."""
    system_user = caller(system_user="7b2e0a4c-5d3f-4c66-9a51-9a0000000011", party="51000011", level=3)
    double.decide = lambda _: result("Permit", level="4", organisations="3")
    permitted_questions = await PlatformDecisionPoint(double.platform).allowed(system_user, FIFTY)

    assert FIFTY == permitted_questions
    assert [("urn:altinn:systemuser:uuid", "7b2e0a4c-5d3f-4c66-9a51-9a0000000011")] == [
        (each["AttributeId"], each["Value"]) for each in double.last_request()["AccessSubject"][0]["Attribute"]
    ]


async def test_questions_above_the_maximum_of_a_call_are_split(
    double: PlatformDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call has more than the maximum."""
    monkeypatch.setattr(platform_module, "CALL_QUESTIONS_MAX", 20)

    assert FIFTY == await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    assert 3 == double.calls


async def test_results_in_any_order_are_matched(double: PlatformDouble) -> None:
    """Party and resource identify a question, not the position."""
    other = Question(resource="urn:altinn:resource:super-simple", party=None)
    parties = {question.party for question in FIFTY if int(question.party or 0) % 3 == 0}

    def decide(attributes: Attributes) -> Json:
        party = attributes.get("urn:altinn:partyid")
        fits = attributes.get("urn:altinn:resource") == "super-simple" or attributes.get("urn:altinn:app") == "bolig"
        return result("Permit" if fits and party in {*parties, None} else "Deny")

    double.decide = decide

    assert {other, *(question for question in FIFTY if question.party in parties)} == (
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY | {other})
    )


@pytest.mark.parametrize(
    ("decision", "user", "organisation"),
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
async def test_permit_counts_only_with_its_obligations(
    double: PlatformDouble, decision: Json, *, user: bool, organisation: bool
) -> None:
    """An organisation may need a level of its own. A permit with an unknown obligation does not count."""
    double.decide = lambda _: decision
    point, question = PlatformDecisionPoint(double.platform), Question(resource=BOLIG, party="1")
    permitted_questions = [await point.allowed(principal, {question}) for principal in (KARI, BANK)]

    assert [user, organisation] == [question in each for each in permitted_questions]


@pytest.mark.parametrize(
    "decision",
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
async def test_result_without_a_decision_leaves_the_page_undecided(
    double: PlatformDouble, decision: Json | None
) -> None:
    """One such result of fifty is enough: events are neither returned nor skipped."""
    double.decide = lambda each: decision if each["urn:altinn:partyid"] == "50000007" else result("Permit")

    with pytest.raises(Unavailable):
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


def without_resource(decision: Json) -> Json:
    """Return a denial without its resource, and a permit as it is."""
    return decision if decision["Decision"] == "Permit" else {**decision, "Category": None}


def time_out(request: httpx.Request, body: Json) -> httpx.Response:
    """Fail without a response in time."""
    raise httpx.ReadTimeout(str(body), request=request)


def refuse_connection(request: httpx.Request, body: Json) -> httpx.Response:
    """Fail without a connection."""
    raise httpx.ConnectError(str(body), request=request)


BAD_RESPONSES = {
    "500": lambda _, body: httpx.Response(500, json=body),
    "401": lambda _, body: httpx.Response(401, json=body),
    "302": lambda _, body: httpx.Response(302, json=body, headers={"Location": "/"}),
    "204": lambda *_: httpx.Response(204),
    "garbage": lambda *_: httpx.Response(200, content=b"\xff<html>"),
    "empty object": lambda *_: httpx.Response(200, json={}),
    "no results": lambda *_: httpx.Response(200, json={"Response": []}),
    "null": lambda *_: httpx.Response(200, json={"Response": None}),
    "deep": lambda *_: httpx.Response(200, content=b'{"Response":' + b"[" * 100_000),
    "cut off": lambda _, body: httpx.Response(200, content=json.dumps(body).encode()[:-5]),
    "time-out": time_out,
    "refused": refuse_connection,
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
async def test_unreadable_response_is_unavailable(double: PlatformDouble, name: str) -> None:
    """The failure has a retry time and no data of the request."""
    double.respond = BAD_RESPONSES[name]

    with pytest.raises(Unavailable) as failure:
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    assert failure.value.retry_seconds >= 1
    assert "5000" not in str(failure.value)


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"Content-Encoding": "gzip"}, gzip.compress(b" " * 4_000_000)), ({}, b" " * (DOCUMENT_BYTES_MAX + 1))],
    ids=["gzip", "plain"],
)
async def test_huge_response_is_unavailable(double: PlatformDouble, headers: dict[str, str], body: bytes) -> None:
    """This holds for decisions, the register and the list of short names."""
    double.names = httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))
    double.respond = lambda *_: httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))
    register = PlatformRegister(double.platform, names_url=NAMES_URL)
    for request in (
        PlatformDecisionPoint(double.platform).allowed(KARI, {Question(resource=BOLIG, party="1")}),
        register.person("01838012345"),
        register._short_names(),
    ):
        with pytest.raises(Unavailable, match=r"compresses|too large"):
            await request

    assert {"identity"} == {request.headers["accept-encoding"] for request in double.requests}


@pytest.mark.parametrize("party", [0, -1, 2**63, 10**30, "1", None, 1.5])
async def test_party_that_is_no_id_is_unavailable(double: PlatformDouble, party: object) -> None:
    """A platform token cannot contain it."""
    double.parties[PERSON] = {"partyId": party, "user": {"userId": 20000001}}
    with pytest.raises(Unavailable):
        await PlatformRegister(double.platform, names_url=NAMES_URL).person("01838012345")


async def test_results_without_resource_do_not_count(double: PlatformDouble) -> None:
    """The order of results means nothing, so they could belong to any question."""
    double.respond = lambda _, body: httpx.Response(
        200, json={"Response": [{**each, "Category": None} for each in body["Response"]]}
    )

    with pytest.raises(Unavailable):
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


async def test_members_with_a_lower_case_initial_are_read(double: PlatformDouble) -> None:
    """Some deployments of the decision point write them in this form."""

    def with_lower_initials(value: object) -> object:
        match value:
            case dict():
                return {name[0].lower() + name[1:]: with_lower_initials(each) for name, each in value.items()}
            case list():
                return [with_lower_initials(each) for each in value]
        return value

    double.decide = lambda each: result("Permit" if each["urn:altinn:partyid"] == "50000007" else "Deny", level="4")
    double.respond = lambda _, body: httpx.Response(200, json=with_lower_initials(body))

    assert {Question(resource=BOLIG, party="50000007")} == (
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    )


async def test_contradicting_results_are_a_denial(double: PlatformDouble) -> None:
    """A permit and a denial for one resource are a denial."""
    double.respond = lambda _, body: httpx.Response(
        200, json={"Response": [*body["Response"], *({**each, "Decision": "Deny"} for each in body["Response"])]}
    )

    assert set() == await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


async def test_register_finds_people_and_organisations(double: PlatformDouble) -> None:
    """Numbers are sent in the body with key and token, and never in the URL."""
    double.parties = {
        PERSON: {"partyId": 50000001, "user": {"userId": 20000001, "username": "x"}, "personIdentifier": "01838012345"},
        ORGANISATION: {"partyId": 50002001, "organizationIdentifier": "991825827"},
    }
    register = PlatformRegister(double.platform, names_url=NAMES_URL)

    assert Person(user="20000001", party="50000001") == await register.person("01838012345")
    assert Organisation(number="991825827", party="50002001", org="ttd") == await register.organisation("991825827")
    assert [] == [str(request.url) for request in double.requests if "01838012345" in str(request.url)]
    assert {"Bearer a.b.c"} == {request.headers.get("authorization", "Bearer a.b.c") for request in double.requests}
    assert "key" == double.requests[0].headers["ocp-apim-subscription-key"]


async def test_register_finds_a_party_by_uuid(double: PlatformDouble) -> None:
    """An unknown one is none."""
    uuid = "7b2e0a4c-5d3f-4c66-9a51-310000000011"
    double.parties = {f"urn:altinn:party:uuid:{uuid}": {"partyId": 51000011, "user": None}}
    register = PlatformRegister(double.platform, names_url=NAMES_URL)

    assert ("51000011", None) == (await register.party(uuid), await register.party(uuid[::-1]))


async def test_register_finds_the_subunits_of_a_party(double: PlatformDouble) -> None:
    """The request has the shape that the platform's register documents: an array of party ids."""
    double.units = {7: [8, 9]}
    subunits = await PlatformRegister(double.platform, names_url=NAMES_URL).subunits("7")
    (request,) = double.requests

    assert {"8", "9"} == subunits
    assert "/register/api/v1/parties/partylist?fetchSubUnits=true" == str(request.url).removeprefix(URL)
    assert [7] == json.loads(request.content)


async def test_party_without_subunits_has_none(double: PlatformDouble) -> None:
    """The platform's register has a 404 for parties that it does not know."""
    double.units = {7: []}
    register = PlatformRegister(double.platform, names_url=NAMES_URL)

    assert (set(), set()) == (await register.subunits("7"), await register.subunits("8"))


@pytest.mark.parametrize("party", [None, "0", str(2**31), "9" * 18])
async def test_party_id_that_the_platform_cannot_have_is_not_sent(double: PlatformDouble, party: str | None) -> None:
    """It would refuse the request."""
    assert set() == await PlatformRegister(double.platform, names_url=NAMES_URL).subunits(party)
    assert [] == double.requests


async def test_register_returns_none_for_unknown_numbers(double: PlatformDouble) -> None:
    """A person who has never used the platform has a party but no user. The list of short names is requested once."""
    double.parties = {PERSON: {"partyId": 50000001, "user": None}, ORGANISATION: {"partyId": 7}}
    register = PlatformRegister(double.platform, names_url=NAMES_URL)
    organisations = [await register.organisation("991825827") for _ in range(2)]

    assert Person(user=None, party="50000001") == await register.person("01838012345")
    assert await register.person("02838012346") is None
    assert await register.organisation("999999999") is None
    assert ["ttd", "ttd"] == [each.org for each in organisations if each]
    assert 1 == sum(str(request.url) == NAMES_URL for request in double.requests)


async def test_short_names_in_memory_are_used_while_their_list_is_unavailable(
    double: PlatformDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another service than the register has the list. Only a process that never had a list fails."""
    monkeypatch.setattr(platform_module, "NAMES_SECONDS", 0.0)
    double.parties = {ORGANISATION: {"partyId": 7}}
    register, new_register = (PlatformRegister(double.platform, names_url=NAMES_URL) for _ in range(2))
    await register.organisation("991825827")
    double.names = httpx.Response(500)

    assert Organisation(number="991825827", party="7", org="ttd") == await register.organisation("991825827")
    with pytest.raises(Unavailable):
        await new_register.organisation("991825827")


@pytest.mark.parametrize("decision", ["NotApplicable", "Deny"])
async def test_denials_without_resource_count_for_the_remaining_questions(
    double: PlatformDouble, decision: str
) -> None:
    """The platform returns them if no rule applies. There must be one for each remaining question."""
    parties = {question.party for question in sorted(FIFTY, key=str)[:7]}
    double.decide = lambda each: result(decision if each["urn:altinn:partyid"] in parties else "Permit")
    double.respond = lambda _, body: httpx.Response(200, json={"Response": [*map(without_resource, body["Response"])]})

    assert {question for question in FIFTY if question.party not in parties} == (
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    )


@pytest.mark.parametrize(
    "decisions", [["Permit"], ["Deny"], ["Deny", "Permit"], ["Deny", "Deny", "Deny"], ["Deny", "x"]]
)
async def test_other_results_without_resource_do_not_count(double: PlatformDouble, decisions: list[str]) -> None:
    """Two questions remain, and these results are not a denial of each."""
    rest = {question.party for question in sorted(FIFTY, key=str)[:2]}
    double.decide = lambda each: None if each["urn:altinn:partyid"] in rest else result("Permit")
    double.respond = lambda _, body: httpx.Response(
        200, json={"Response": [*body["Response"], *map(result, decisions)]}
    )

    with pytest.raises(Undecided) as failure:
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)
    assert 48 == len(failure.value.verdicts)


def failing_for(party: str) -> Callable[[httpx.Request, Json], httpx.Response]:
    """Return responses without a decision for each request with this party, as the platform writes them."""

    def respond(request: httpx.Request, body: Json) -> httpx.Response:
        indeterminate = {"Response": [result("Indeterminate")]}
        return httpx.Response(200, json=indeterminate if party in request.content.decode() else body)

    return respond


async def test_question_without_a_decision_leaves_the_others_decided(double: PlatformDouble) -> None:
    """The question is found with a few smaller calls."""
    double.respond = failing_for("50000007")
    with pytest.raises(Undecided) as failure:
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)

    assert {Question(resource=BOLIG, party="50000007")} == {
        question for question, verdict in failure.value.verdicts.items() if verdict is None
    }
    assert FIFTY == set(failure.value.verdicts)
    assert double.calls <= 13


async def test_failing_decision_point_gets_a_bounded_number_of_calls(double: PlatformDouble) -> None:
    """If the first smaller calls have no decision either, the cause is not a single question."""
    double.respond = failing_for("5000")
    with pytest.raises(Undecided):
        await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)

    assert platform_module.CALLS_WITHOUT_DECISION_MAX == double.calls


async def test_calls_of_a_large_page_run_concurrently(double: PlatformDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page waits for the slowest call only."""
    monkeypatch.setattr(platform_module, "CALL_QUESTIONS_MAX", 10)
    barrier = asyncio.Barrier(5)

    async def wait_for_all(self: httpx.MockTransport, request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(120), barrier:
            return self.handler(request)  # type: ignore[return-value]  # it is no coroutine

    monkeypatch.setattr(httpx.MockTransport, "handle_async_request", wait_for_all)

    assert FIFTY == await PlatformDecisionPoint(double.platform).allowed(KARI, FIFTY)


async def test_resource_with_the_name_of_a_party_is_sent_as_a_resource(double: PlatformDouble) -> None:
    """The decision point is asked about a resource of that name, not about another party."""
    await PlatformDecisionPoint(double.platform).allowed(
        KARI, {Question(resource="urn:altinn:partyid:51000011", party="50000001")}
    )

    assert [("urn:altinn:partyid", "50000001"), ("urn:altinn:resource", "urn:altinn:partyid:51000011")] == [
        (each["AttributeId"], each["Value"]) for each in double.last_request()["Resource"][0]["Attribute"]
    ]


@pytest.mark.parametrize("name", [name for name in BAD_RESPONSES if name not in {"no results", "null"}])
async def test_unreadable_register_response_is_unavailable(double: PlatformDouble, name: str) -> None:
    """The person does not count as unknown."""
    double.parties, double.respond = {PERSON: {"partyId": 1, "user": {"userId": 2}}}, BAD_RESPONSES[name]

    double.units = {7: [8]}
    register = PlatformRegister(double.platform, names_url=NAMES_URL)
    with pytest.raises(Unavailable) as failure:
        await register.person("01838012345")
    assert "01838012345" not in str(failure.value)
    with pytest.raises(Unavailable):
        await register.subunits("7")
