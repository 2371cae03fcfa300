"""Local policies: whom the development population lets read, and policies of one's own."""

from pathlib import Path

import pytest

from eventfeed.access import cedar
from eventfeed.access.cedar import CedarDecisionPoint, policies_file
from eventfeed.access.local import population_file
from eventfeed.domain.feed import Question
from eventfeed.domain.principal import Principal
from eventfeed.settings import SettingsError
from tests.support.events import caller

BOLIG = "urn:altinn:resource:app_ttd_bolig"
PARTIES = {"kari": "50000001", "ola": "50000002", "bakery": "51000011", "accountant": "51000022", "bank": "51000033"}
QUESTIONS = {Question(resource=BOLIG, party=party) for party in PARTIES.values()}


def point(policies: Path | None = None) -> CedarDecisionPoint:
    """The policies over the development population."""
    return CedarDecisionPoint(population_file(None), policies_file(policies))


@pytest.mark.parametrize(
    ("who", "reads"),
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
        (caller(), []),
    ],
    ids=str,
)
async def test_everybody_reads_their_own(who: Principal, reads: list[str]) -> None:
    """And whom they act for (contract section 8); who is not known reads nothing."""
    allowed = await point().allowed(who, QUESTIONS)

    assert {PARTIES[name] for name in reads} == {question.party for question in allowed}


@pytest.mark.parametrize(("level", "allowed"), [(0, False), (2, False), (3, True), (4, True)])
async def test_level_three_is_needed(level: int, *, allowed: bool) -> None:
    """For one's own as for others'."""
    question = Question(resource=BOLIG, party="50000001")

    assert allowed == (question in await point().allowed(caller(user="20000001", level=level), {question}))


async def test_without_a_party_nobody_reads() -> None:
    """Nor without questions."""
    assert set() == await point().allowed(caller(user="20000001"), {Question(resource=BOLIG, party=None)})
    assert set() == await point().allowed(caller(user="20000001"), set())


async def test_many_questions_are_decided_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are decided without a pause."""
    monkeypatch.setattr(cedar, "BATCH_QUESTIONS_MAX", 2)

    assert 2 == len(await point().allowed(caller(user="20000001"), QUESTIONS))


async def test_policies_of_ones_own_count(tmp_path: Path) -> None:
    """They may speak of apps, of their organisations, of resources and levels; odd names are only names."""
    file = tmp_path / "own.cedar"
    file.write_text(
        'permit (principal is Organisation, action == Action::"read", resource)\n'
        "when { principal has org && context has org && principal.org == context.org };\n"
        'permit (principal is User, action, resource == Resource::"urn:\\"odd\\"\\n");\n'
    )
    ttd, odd = caller(organisation="991825827"), Question(resource='urn:"odd"\n', party=None)

    assert QUESTIONS == await point(file).allowed(ttd, QUESTIONS | {odd})
    assert {odd} == await point(file).allowed(caller(user="20000001"), QUESTIONS | {odd})


@pytest.mark.parametrize(
    "policies",
    [
        "",
        "permit (principal, action, resource) when { context.nothing };",
        "permit (principal, action, resource) when { principal.org == 7 };",
        'permit (principal == Robot::"x", action, resource);',
        "permit (",
        "\xff",
    ],
)
def test_policies_that_cannot_be_meant_are_told(tmp_path: Path, policies: str) -> None:
    """At the start, with the file's name, and what is wrong; no policies at all let nobody read, and are fine."""
    file = tmp_path / "wrong.cedar"
    file.write_bytes(policies.encode("latin-1"))
    if not policies:
        policies_file(file)
        return

    with pytest.raises(SettingsError, match=r"EVENTFEED_POLICIES=.*wrong\.cedar"):
        policies_file(file)
