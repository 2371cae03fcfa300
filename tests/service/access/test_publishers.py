"""Rights to publish events of resources that belong to no app."""

from pathlib import Path

import msgspec
import pytest

from eventfeed.access.cedar import CedarDecisionPoint
from eventfeed.access.local import population_file
from eventfeed.access.policies import policies_file
from eventfeed.access.publishers import Publishers
from eventfeed.domain.decision import Question
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.event import Event
from eventfeed.domain.principal import SCOPE_PUBLISH_ADMIN, Principal
from tests.support.engines import StubDecisionPoint
from tests.support.events import caller, event

OWNED, OPEN = "urn:altinn:resource:owned", "urn:altinn:resource:open"
TTD = msgspec.structs.replace(caller(organisation="991825827"), org="ttd")
SKD = msgspec.structs.replace(caller(organisation="974761076"), org="skd")
BAKERY, STRANGER = caller(organisation="310000011"), caller(organisation="310009999")
REGISTER = {
    "organisations": [
        {"number": "991825827", "party": "1", "name": "T", "org": "ttd"},
        {"number": "974761076", "party": "2", "name": "S", "org": "skd"},
        {"number": "310000011", "party": "3", "name": "B"},
    ],
    "people": [],
    "resources": [{"resource": OWNED, "owner": "skd"}],
}
PERMIT_BAKERY = (
    'permit (principal == Organisation::"310000011", action == Action::"publish",'
    f' resource == Resource::"{OWNED}") when {{ context has party && context.party == Party::"3" }};'
)


def of(resource: str, *, party: int = 3) -> Event:
    """Return an event of a resource of no app."""
    return event(app=None, resource=resource, party=party)


def cedar(folder: Path, *, development: bool, policies: str = "") -> CedarDecisionPoint:
    """Return a decision point over this register, with these policies or the built-in ones."""
    register, file = folder / "register.json", folder / "own.cedar"
    register.write_bytes(msgspec.json.encode(REGISTER))
    file.write_text(policies)
    rules = policies_file(file if policies else None)
    return CedarDecisionPoint(population_file(register), rules, development=development)


@pytest.mark.parametrize("development", [True, False])
@pytest.mark.parametrize(
    ("publisher", "is_owned_permitted", "is_open_permitted"),
    [(SKD, True, True), (TTD, False, True), (BAKERY, False, True), (STRANGER, False, True)],
    ids=["owner", "other owner", "no owner", "stranger"],
)
async def test_built_in_policies_permit_the_owner(
    tmp_path: Path, publisher: Principal, *, is_owned_permitted: bool, is_open_permitted: bool, development: bool
) -> None:
    """A resource without owner is open to every organisation in development, elsewhere to none."""
    point = cedar(tmp_path, development=development)
    rights = await Publishers(point, point).may_publish(publisher, [of(OWNED), of(OPEN), of(OPEN, party=9)])

    assert [is_owned_permitted, *[is_open_permitted and development] * 2] == rights


@pytest.mark.parametrize(
    ("resource", "party", "development", "policies", "has_right"),
    [
        (OPEN, None, False, "", False),
        (OPEN, 9, False, "", False),
        (OPEN, 3, False, "", True),
        (OWNED, None, False, "", True),
        (OPEN, None, True, "", True),
        (OPEN, None, False, PERMIT_BAKERY, True),
    ],
)
async def test_administrator_sends_events_that_somebody_may_read(
    tmp_path: Path, resource: str, party: int | None, *, development: bool, policies: str, has_right: bool
) -> None:
    """Without an owner, a party or a policy nobody reads an event, so that it gets no receipt."""
    point = cedar(tmp_path, development=development, policies=policies)
    admin = msgspec.structs.replace(TTD, scopes=frozenset({SCOPE_PUBLISH_ADMIN}))
    sent = of(resource) if party is None else of(resource, party=party)
    sent = msgspec.structs.replace(sent, subject=None) if party is None else sent

    assert [has_right] == await Publishers(point, point).may_publish(admin, [sent])


async def test_policies_in_a_file_decide_on_publishing(tmp_path: Path) -> None:
    """They may name the party of the event. The owner needs no policy."""
    point = cedar(tmp_path, development=False, policies=PERMIT_BAKERY)
    publishers, events = Publishers(point, point), [of(OWNED), of(OWNED, party=2), of(OPEN)]

    assert [True, False, False] == await publishers.may_publish(BAKERY, events)
    assert [True, True, False] == await publishers.may_publish(SKD, events)
    assert [False, False, False] == await publishers.may_publish(TTD, events)


async def test_publishing_has_one_question_for_each_resource_and_party(tmp_path: Path) -> None:
    """An event of an owned resource has none. A party that the register does not know is none."""
    point = StubDecisionPoint(lambda question: question.party == "3")
    events = [of(OWNED), of(OPEN), of(OPEN), of(OPEN, party=2)]
    no_party = msgspec.structs.replace(of(OPEN), subject="/autotest/k6")
    rights = await Publishers(cedar(tmp_path, development=False), point).may_publish(SKD, [*events, no_party])

    assert [True, True, True, False, False] == rights
    assert [{Question(resource=OPEN, party=party, action="publish") for party in ("3", "2", None)}] == point.requests


async def test_missing_decision_is_unavailable(tmp_path: Path) -> None:
    """It is neither a permission nor a refusal."""

    def unavailable(question: Question) -> bool:
        raise Unavailable(f"no response for {question.action}")

    publishers = Publishers(cedar(tmp_path, development=True), StubDecisionPoint(unavailable))

    with pytest.raises(Unavailable):
        await publishers.may_publish(BAKERY, [of(OPEN)])
