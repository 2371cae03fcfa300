"""Local policies over the development population, and policies in a file."""

from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from eventfeed.access import cedar
from eventfeed.access.cedar import CedarDecisionPoint
from eventfeed.access.local import population_file
from eventfeed.access.policies import policies_file
from eventfeed.domain.decision import Action, Question
from eventfeed.domain.principal import Principal
from tests.support.events import caller

BOLIG = "urn:altinn:resource:app_ttd_bolig"
PARTIES = {"kari": "50000001", "ola": "50000002", "bakery": "51000011", "accountant": "51000022", "bank": "51000033"}
QUESTIONS = {Question(resource=BOLIG, party=party) for party in PARTIES.values()}

ANYONE = caller(user="20000002")
SYSTEM_USER = "7b2e0a4c-5d3f-4c66-9a51-9a0000000011"


def point(policies: Path | None = None) -> CedarDecisionPoint:
    """Return the policies over the development population."""
    return CedarDecisionPoint(population_file(None), policies_file(policies))


@pytest.mark.parametrize(
    ("principal", "parties"),
    [
        (caller(user="20000001"), ["kari", "bakery"]),
        (caller(user="20000002"), ["ola"]),
        (caller(organisation="310000011"), ["bakery"]),
        (caller(organisation="310000022"), ["bakery", "accountant"]),
        (caller(organisation="310000033"), ["bank"]),
        (caller(organisation="310000044"), []),
        (caller(organisation="991825827"), []),
        (caller(user="20000003"), []),
        (caller(organisation="20000001"), []),
        (caller(system_user=SYSTEM_USER), ["bakery"]),
        (caller(system_user="7b2e0a4c-5d3f-4c66-9a51-9a0000000012"), []),
        (caller(system_user="310000022"), []),
        (caller(organisation=SYSTEM_USER), []),
        (caller(), []),
    ],
    ids=str,
)
async def test_caller_reads_its_own_party_and_those_it_acts_for(principal: Principal, parties: list[str]) -> None:
    """Contract section 8 has the rule. A caller outside the register reads nothing."""
    readable_questions = await point().allowed(principal, QUESTIONS)

    assert {PARTIES[name] for name in parties} == {question.party for question in readable_questions}


@pytest.mark.parametrize(
    ("resource", "action"), [(BOLIG, "read"), ("urn:altinn:resource:dialog", "subscribe")], ids=["app", "other"]
)
@pytest.mark.parametrize(("level", "is_allowed"), [(0, False), (2, False), (3, True), (4, True)])
async def test_reading_needs_authentication_level_three(
    level: int, resource: str, action: Action, *, is_allowed: bool
) -> None:
    """This also holds for the caller's own party, and for resources of no app."""
    question = Question(resource=resource, party="50000001", action=action)

    assert is_allowed == (question in await point().allowed(caller(user="20000001", level=level), {question}))


async def test_question_without_a_party_is_denied() -> None:
    """A call without questions has no decisions."""
    assert set() == await point().allowed(caller(user="20000001"), {Question(resource=BOLIG, party=None)})
    assert set() == await point().allowed(caller(user="20000001"), set())


async def test_questions_above_the_batch_size_are_all_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop runs between the batches."""
    monkeypatch.setattr(cedar, "BATCH_QUESTIONS_MAX", 2)

    assert 2 == len(await point().allowed(caller(user="20000001"), QUESTIONS))


@pytest.mark.parametrize("action", ["subscribe", "publish"])
async def test_policy_for_one_action_permits_no_other(tmp_path: Path, action: Action) -> None:
    """A file that was written for `read` gives no right to other resources than apps."""
    file = tmp_path / "own.cedar"
    file.write_text('permit (principal, action == Action::"read", resource);')
    question = Question(resource="urn:altinn:resource:dialog", party="50000001", action=action)
    reading = Question(resource=BOLIG, party="50000001")

    assert {reading} == await point(file).allowed(caller(user="20000001"), {question, reading})


async def test_policies_in_a_file_replace_the_built_in_ones(tmp_path: Path) -> None:
    """Policies may use apps, organisations, resources and levels. Special characters in a name have no effect."""
    file = tmp_path / "own.cedar"
    file.write_text(
        'permit (principal is Organisation, action == Action::"read", resource)\n'
        "when { principal has org && context has org && principal.org == context.org };\n"
        'permit (principal is User, action, resource == Resource::"urn:\\"odd\\"\\n");\n'
    )
    ttd, unusual_question = caller(organisation="991825827"), Question(resource='urn:"odd"\n', party=None)

    assert QUESTIONS == await point(file).allowed(ttd, QUESTIONS | {unusual_question})
    assert {unusual_question} == await point(file).allowed(caller(user="20000001"), QUESTIONS | {unusual_question})


@pytest.mark.parametrize(
    ("resource", "party", "development", "is_allowed"),
    [
        ("urn:altinn:resource:thing", None, True, True),
        ("urn:altinn:resource:thing", "1", True, True),
        ("urn:altinn:resource:thing", "50000001", True, False),
        ("urn:altinn:resource:thing", None, False, False),
        ("urn:altinn:resource:owned", None, True, False),
        (BOLIG, None, True, False),
    ],
)
async def test_resource_without_an_owner_is_open_in_development(
    tmp_path: Path, resource: str, party: str | None, *, development: bool, is_allowed: bool
) -> None:
    """This holds for its events without a party that the register knows, and for callers that it does not know."""
    register = tmp_path / "register.json"
    builtin = files("eventfeed.access").joinpath("population.json").read_text().rstrip().removesuffix("}")
    owned = '{"resource": "urn:altinn:resource:owned", "owner": "skd"}'
    register.write_text(f'{builtin}, "resources": [{owned}]}}')
    decision_point = CedarDecisionPoint(population_file(register), policies_file(None), development=development)
    question = Question(resource=resource, party=party, action="read" if resource == BOLIG else "subscribe")

    for number in ("310000044", "310009999"):
        assert is_allowed == (question in await decision_point.allowed(caller(organisation=number), {question}))


@pytest.mark.parametrize("development", [True, False])
async def test_caller_outside_the_register_has_its_own_party_in_development(*, development: bool) -> None:
    """A system user of a token that the development issuer made reads the events of its organisation."""
    policies = CedarDecisionPoint(population_file(None), policies_file(None), development=development)
    principal = msgspec.structs.replace(caller(system_user="12345678-1234-4234-8234-123456789abc"), party="51000011")
    own = {question for question in QUESTIONS if question.party == "51000011"}

    assert own
    assert (own if development else set()) == await policies.allowed(principal, QUESTIONS)
    expected = {"51000011"} if development else set()
    assert expected == await policies.with_relation(principal, {*PARTIES.values(), "59999999", None})


@pytest.mark.parametrize("development", [True, False])
@pytest.mark.parametrize(
    ("org", "resource", "is_owner"),
    [
        ("skd", "urn:altinn:resource:owned", True),
        ("ttd", "urn:altinn:resource:owned", False),
        (None, "urn:altinn:resource:owned", False),
        ("ttd", "urn:altinn:resource:open", None),
        (None, "urn:altinn:resource:open", False),
    ],
)
async def test_owner_is_the_one_in_the_register(
    tmp_path: Path, org: str | None, resource: str, *, is_owner: bool | None, development: bool
) -> None:
    """In development each organisation with a short name counts as the owner of a resource without one."""
    register = tmp_path / "register.json"
    skd = {"number": "974761076", "party": "2", "name": "S", "org": "skd"}
    owned = {"resource": "urn:altinn:resource:owned", "owner": "skd"}
    register.write_bytes(msgspec.json.encode({"organisations": [skd], "people": [], "resources": [owned]}))
    decision_point = CedarDecisionPoint(population_file(register), policies_file(None), development=development)
    principal = msgspec.structs.replace(caller(organisation="1"), org=org)

    assert (development if is_owner is None else is_owner) == await decision_point.owns(principal, resource)


@pytest.mark.parametrize(
    "principal",
    [
        *(caller(user="20000001"), caller(organisation="310000022"), caller(), ANYONE),
        *(caller(system_user=SYSTEM_USER), caller(system_user="310000011")),
    ],
    ids=str,
)
async def test_relations_cover_every_party_that_the_default_policies_permit(principal: Principal) -> None:
    """Without a relation no decision would be yes. A party that does not exist has none."""
    policies = point()
    permits = await policies.allowed(principal, QUESTIONS)
    relations = await policies.with_relation(principal, {*PARTIES.values(), None})

    assert {question.party for question in permits} == relations


async def test_other_policies_may_permit_a_party_without_a_relation(tmp_path: Path) -> None:
    """There the events of every party are searched."""
    file = tmp_path / "policies.cedar"
    file.write_text('permit (principal, action == Action::"read", resource);')
    policies = point(file)

    assert QUESTIONS == await policies.allowed(ANYONE, QUESTIONS)
    assert {PARTIES["kari"], None} == await policies.with_relation(ANYONE, {PARTIES["kari"], None})


async def test_system_user_reads_its_customer_and_never_its_vendor(tmp_path: Path) -> None:
    """The vendor's other customers are hidden as well, and so are clients of its own organisation."""
    numbers = {"vendor": ("1", ["2", "3"]), "customer": ("2", ["4"]), "other": ("3", []), "client": ("4", [])}
    organisations = [
        {"number": party * 9, "party": party, "name": name, "acts_for": acts_for}
        for name, (party, acts_for) in numbers.items()
    ]
    entries = {"a": ("222222222", []), "b": ("333333333", []), "c": ("222222222", ["4"])}
    system_users = [
        {"uuid": uuid_of(name), "organisation": organisation, "name": name, "acts_for": acts_for}
        for name, (organisation, acts_for) in entries.items()
    ]
    file = tmp_path / "register.json"
    file.write_bytes(msgspec.json.encode({"organisations": organisations, "people": [], "system_users": system_users}))
    policies = CedarDecisionPoint(population_file(file), policies_file(None))
    questions = {Question(resource=BOLIG, party=party) for party in "1234"}
    readable = {
        name: {each.party for each in await policies.allowed(caller(system_user=uuid_of(name)), questions)}
        for name in entries
    }

    assert {"a": {"2"}, "b": {"3"}, "c": {"2", "4"}} == readable


def uuid_of(name: str) -> str:
    """Return the uuid of a system user."""
    return f"7b2e0a4c-5d3f-4c66-9a51-9a{ord(name):010}"


async def test_policies_may_name_system_users(tmp_path: Path) -> None:
    """They are a type of their own, so a policy for organisations does not apply to them."""
    file = tmp_path / "own.cedar"
    file.write_text('permit (principal is SystemUser, action == Action::"read", resource);')
    policies = point(file)

    assert QUESTIONS == await policies.allowed(caller(system_user=SYSTEM_USER), QUESTIONS)
    assert set() == await policies.allowed(caller(organisation="310000011"), QUESTIONS)
