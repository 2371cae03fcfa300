"""The questions of `make deploy-check` about a second region and a custom domain, with answers of a stand-in."""

import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from deploy_check import __main__ as command
from deploy_check.finding import Ask, Deployment, Finding
from deploy_check.questions import domain, environments, record, region, store
from tests.infra.azure_answers import ANSWERS, SUBSCRIPTION
from tests.infra.simulation.stack_files import OPTIONS

ZONES = ANSWERS["regions"].output[0]["availabilityZoneMappings"]
REGIONS = [{"name": name, "availabilityZoneMappings": ZONES} for name in ("norwayeast", "swedencentral", "westeurope")]
ROOM = ANSWERS["environments"].output
NO_ROOM = {"value": [{**ROOM["value"][0], "currentValue": 15}]}
ONLINE = ANSWERS["store"].output
NO_ACCOUNTS = {"properties": {**ONLINE["properties"], "isSubscriptionRegionAccessAllowedForAz": False}}
CERTIFICATE = {"attributes": {"enabled": True, "expires": "2999-01-01T00:00:00+00:00"}}
ANSWERED = {
    "list-locations": REGIONS,
    "locations/norwayeast/usages": ROOM,
    "locations/swedencentral/usages": ROOM,
    "--location norwayeast": ONLINE,
    "--location swedencentral": ONLINE,
    "keyvault show --name agency": {"properties": {"publicNetworkAccess": "Enabled"}},
    "certificate show --vault-name agency --name events": CERTIFICATE,
}
Question = Callable[[Deployment, Ask], Any]


class Case(NamedTuple):
    """A question, an answer that differs, and a part of the finding and of its command."""

    question: Question
    words: str
    answer: Any
    text: str
    command: str


CASES = (
    Case(region, "list-locations", REGIONS[:1], "no region 'swedencentral'", "config set eventfeed:secondLocation"),
    Case(
        region,
        "list-locations",
        [REGIONS[0], {**REGIONS[1], "availabilityZoneMappings": None}, REGIONS[2]],
        "swedencentral has no availability zones",
        "eventfeed:secondLocation westeurope",
    ),
    Case(environments, "locations/swedencentral/usages", NO_ROOM, "in use in swedencentral", "az support"),
    Case(store, "--location swedencentral", NO_ACCOUNTS, "zone redundant accounts in swedencentral", "az support"),
    Case(
        domain,
        "keyvault show",
        {"properties": {"publicNetworkAccess": "Disabled"}},
        "the vault agency is closed",
        "az keyvault update --name agency",
    ),
    Case(
        domain,
        "certificate show",
        {"attributes": {**CERTIFICATE["attributes"], "expires": "2020-01-01T00:00:00+00:00"}},
        "has expired on 2020",
        "az keyvault certificate import --vault-name agency --name events",
    ),
    Case(
        domain,
        "certificate show",
        {"attributes": {**CERTIFICATE["attributes"], "enabled": False}},
        "disabled",
        "import",
    ),
)


@pytest.fixture(autouse=True)
def resolved_names(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names with a record. No test asks a name server."""
    names = {OPTIONS["customDomain"]}

    def resolve(name: str, _port: int) -> list[Any]:
        if name not in names:
            raise socket.gaierror(socket.EAI_NONAME, f"{name} is unknown")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The production stack with every option in its file."""
    settings = {f"eventfeed:{name}": value for name, value in OPTIONS.items()}
    monkeypatch.setattr(command, "read_settings", lambda _: settings)
    return command._deployment("prod", SUBSCRIPTION, "drift@example.no")


def ask_of(answers: Mapping[str, Any]) -> Ask:
    """Return a stand-in that answers a command line by the words that it contains."""
    return lambda *words: next(each for text, each in answers.items() if text in " ".join(words))


def findings(case: Case, deployment: Deployment, answers: Mapping[str, Any]) -> list[Finding]:
    """Return the findings of the question of a case."""
    return list(case.question(deployment, ask_of(answers)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_fault_of_an_option_is_found_with_a_command(deployment: Deployment, case: Case) -> None:
    """It is the only finding, and there is none without the fault."""
    answers = {words: answer for words, answer in ANSWERED.items() if words != case.words}
    (finding,) = findings(case, deployment, {case.words: case.answer, **answers})

    assert [] == findings(case, deployment, ANSWERED)
    assert case.text in finding.text
    assert case.command in finding.command


def test_domain_without_a_record_is_found(deployment: Deployment, resolved_names: set[str]) -> None:
    """The command prints the host to which the record points."""
    resolved_names.clear()
    (finding,) = record(deployment, ask_of(ANSWERED))

    assert "events.example.no has no public record" in finding.text
    assert "gatewayHost --stack prod" in finding.command


def test_fault_before_a_question_without_an_answer_is_reported(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first region has no room, and Azure does not answer for the second one."""
    monkeypatch.setattr(command, "QUESTIONS", [environments])
    monkeypatch.setattr(command, "_deployment", lambda *_: deployment)
    account = {"id": SUBSCRIPTION, "user": {"name": "drift@example.no"}, "state": "Enabled"}
    answers = {"account show": account, "locations/norwayeast/usages": NO_ROOM, "locations/swedencentral/usages": {}}

    found = list(command.account_findings("prod", ask_of(answers)))

    assert ["in use in norwayeast", "did not answer"] == [
        text for text, each in zip(("in use in norwayeast", "did not answer"), found, strict=True) if text in each.text
    ]


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_AGAIN, "no name server"), UnicodeError("label empty or too long")]
)
def test_name_that_cannot_be_resolved_here_is_no_fault(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is a question without an answer, like each other one."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(command, "QUESTIONS", [record])
    monkeypatch.setattr(command, "_deployment", lambda *_: deployment)
    account = {"id": SUBSCRIPTION, "user": {"name": "drift@example.no"}, "state": "Enabled"}
    (finding,) = command.account_findings("prod", ask_of({"account show": account}))

    assert "did not answer" in finding.text
