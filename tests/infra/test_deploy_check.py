"""The command `make deploy-check`, run against a stand-in of `az`: every fault is found, with a command."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deploy_check.__main__ import calendar_findings, main
from deploy_check.finding import AskError, Kind
from deploy_check.questions import PROVIDERS
from tests.infra.azure_answers import ACCOUNT, ANSWERS, SUBSCRIPTION, changed_answers, find_answer, install, provider
from tests.infra.mock_run import INFRA, ROOT, MockRun
from tests.infra.simulation.catalog import ResourceType, resource_type

SERVICES = [provider(name) for name in PROVIDERS]
USAGE = {"name": {"value": "ManagedEnvironmentCount"}, "currentValue": 15, "limit": 15}
TIER = {"resourceType": "service", "name": "StandardV2", "locations": ["West Europe"], "restrictions": []}
LIMIT = {"type": "Location", "reasonCode": "QuotaId", "restrictionInfo": {"locations": ["Norway East"]}}
NO_ZONES = {
    "status": "Online",
    "isSubscriptionRegionAccessAllowedForAz": False,
    "isSubscriptionRegionAccessAllowedForRegular": True,
}
OLD_VAULT = {"name": "eventfeed12ab34cd", "properties": {"scheduledPurgeDate": "2027-01-01T00:00:00+00:00"}}


# Runs the command with these changed answers for a stack.
Check = Callable[[Mapping[str, Any], str], "Result"]


class Case(NamedTuple):
    """Answers that differ, the exit code, and a part of the finding and of its command."""

    changes: Mapping[str, Any]
    exit_code: int
    text: str
    command: str
    stack: str = "prod"


def signed_in(**changes: Any) -> Mapping[str, Any]:
    """Return the answer about the account with some values changed."""
    return {**ANSWERS["account"].output, **changes}


def holding(*names: str) -> list[Mapping[str, str]]:
    """Return role assignments of these names."""
    return [{"roleDefinitionName": name} for name in names]


def regions(*with_zones: str) -> list[Mapping[str, Any]]:
    """Return the regions, of which these have availability zones."""
    zones = ANSWERS["regions"].output[0]["availabilityZoneMappings"]
    return [
        {**each, "availabilityZoneMappings": zones if each["name"] in with_zones else None}
        for each in ANSWERS["regions"].output
    ]


CASES = {
    "not signed in": Case(
        {"account": "Please run 'az login' to setup account."}, 1, "no account is signed in", "az login"
    ),
    "no network": Case({"account": "HTTPSConnectionPool: timed out"}, 2, "no question can be asked", "az account show"),
    "another subscription": Case(
        {"account": signed_in(id="00000000-0000-4000-8000-000000000002")},
        1,
        f"ARM_SUBSCRIPTION_ID is {SUBSCRIPTION}",
        f"az account set --subscription {SUBSCRIPTION}",
    ),
    "disabled subscription": Case({"account": signed_in(state="Disabled")}, 1, "is Disabled", "az account list"),
    "a provider is missing": Case(
        {"providers": SERVICES[1:]},
        1,
        "Microsoft.App is unknown",
        "az provider register --wait --namespace Microsoft.App",
    ),
    "a provider registers": Case(
        {"providers": [provider("Web", "Registering"), *SERVICES[:-1]]},
        1,
        "Microsoft.Web is Registering",
        "az provider register --wait --namespace Microsoft.Web",
    ),
    "no role": Case({"roles": []}, 1, f"{ACCOUNT} has no role", "az role assignment create"),
    "contributor": Case({"roles": holding("Contributor")}, 1, "has Contributor, and needs", "--role Owner --scope"),
    "two readers": Case(
        {"roles": holding("Reader", "User Access Administrator")}, 1, "has Reader, User Access", "--role Owner"
    ),
    "an unknown region": Case(
        {"regions": ANSWERS["regions"].output[1:]}, 1, "no region 'norwayeast'", "pulumi config set"
    ),
    "no zones": Case(
        {"regions": regions("norwaywest")},
        1,
        "norwayeast has no availability zones",
        "pulumi config set azure-native:location norwaywest",
    ),
    "no zones of any region": Case({"regions": regions()}, 2, "update it: az upgrade", "make deploy-check"),
    "other roles": Case(
        {"roles": holding("Contributor", "Lock and role writer")}, 0, "the same rights", "--role Owner"
    ),
    "no usage of environments": Case(
        {"environments": {"value": []}}, 2, "without 'ManagedEnvironmentCount'", "make deploy-check"
    ),
    "no tier": Case({"gateway": {"value": [TIER]}}, 1, "StandardV2 is not offered", "azure-native:location westeurope"),
    "a tier with a restriction": Case(
        {"gateway": {"value": [{**TIER, "locations": ["Norway East"], "restrictions": [LIMIT]}]}},
        1,
        "StandardV2 is not offered",
        "azure-native:location norwayeast",
    ),
    "no tier of the stack": Case(
        {"gateway": {"value": [{**TIER, "locations": ["Norway East"]}]}},
        2,
        "does not list API Management BasicV2",
        "make deploy-check",
        "dev",
    ),
    "no environment left": Case({"environments": {"value": [USAGE]}}, 1, "15 of 15 environments", "az support"),
    "no zonal accounts": Case(
        {"store": {"properties": NO_ZONES}}, 1, "no zone redundant accounts in norwayeast", "az support"
    ),
    "no accounts": Case(
        {"store": {"properties": {**NO_ZONES, "isSubscriptionRegionAccessAllowedForRegular": False}}},
        1,
        "no accounts in norwayeast",
        "az support",
        "dev",
    ),
    "an offline store": Case(
        {"store": {"properties": {**ANSWERS["store"].output["properties"], "status": "Creating"}}},
        1,
        "Cosmos DB is Creating",
        "az support",
    ),
    "too many accounts": Case({"accounts": [{"name": "x"}] * 250}, 1, "250 of 250 accounts", "az support"),
    "a deleted vault": Case(
        {"vaults": [OLD_VAULT]}, 0, "keeps its name until 2027-01-01", "az keyvault recover --name"
    ),
    "a refused question": Case(
        {"roles": "AuthorizationFailed"}, 2, "(roles): AuthorizationFailed", "make deploy-check"
    ),
    "an answer without its parts": Case({"environments": {}}, 2, "without 'value'", "make deploy-check"),
}


class Result(NamedTuple):
    """The exit code and the output of the command."""

    exit_code: int
    output: str


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """The command in this process, with changed answers."""
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", SUBSCRIPTION)

    def run(changes: Mapping[str, Any], stack: str) -> Result:
        answers = changed_answers(changes)

        def ask(*words: str) -> Any:
            answer = find_answer(answers, words)
            if answer.error:
                raise AskError(answer.error)
            return answer.output

        return Result(main([stack], ask), capsys.readouterr().out)

    return run


def run_command(folder: Path, changes: Mapping[str, Any], stack: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does, with a stand-in of `az`."""
    command = [sys.executable, str(INFRA / "deploy_check"), stack]
    environment = install(folder, changes)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def faults(output: str) -> list[str]:
    """Return the findings other than notes of the calendar, each with its command."""
    findings = re.findall(r"^(?:fault|unknown|note): .*\n    .*$", output, re.MULTILINE)
    return [each for each in findings if "make calendar" not in each]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_subscription_with_everything_is_accepted(tmp_path: Path, stack: str) -> None:
    """There is no finding, and the exit code is 0."""
    process = run_command(tmp_path, {}, stack)

    assert (0, []) == (process.returncode, faults(process.stdout)), process.stdout + process.stderr


def test_restriction_of_zones_closes_no_region(check: Check) -> None:
    """The gateway can be created in the other zones."""
    offer = {**TIER, "locations": ["Norway East"], "restrictions": [{**LIMIT, "type": "Zone"}]}
    result = check({"gateway": {"value": [offer]}}, "prod")

    assert (0, []) == (result.exit_code, faults(result.output))


@pytest.mark.parametrize("name", CASES)
def test_planted_fault_is_found_with_a_command(check: Check, name: str) -> None:
    """It is the only finding. A question without an answer has another exit code than a fault."""
    case = CASES[name]
    result = check(case.changes, case.stack)
    (finding,) = faults(result.output)
    text, command = finding.split("\n")

    assert case.exit_code == result.exit_code
    assert case.text in text
    assert case.command in command


def test_all_findings_are_reported_together(tmp_path: Path) -> None:
    """A question that fails does not hide the others, and a fault counts more than a missing answer."""
    changes = {"providers": [], "roles": "AuthorizationFailed", "accounts": [{"name": "x"}] * 250}
    process = run_command(tmp_path, changes, "dev")

    assert 1 == process.returncode
    assert len(PROVIDERS) + 2 == len(faults(process.stdout))


def test_missing_command_line_is_no_answer(tmp_path: Path) -> None:
    """The finding names the page that installs it."""
    environment = {**install(tmp_path, {}), "PATH": str(tmp_path / "empty")}
    command = [sys.executable, str(INFRA / "deploy_check"), "dev"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert 2 == process.returncode
    assert "install-azure-cli" in process.stdout


def test_unknown_stack_is_refused(tmp_path: Path) -> None:
    """The message names the command that creates it."""
    process = run_command(tmp_path, {}, "tset")

    assert 2 == process.returncode
    assert "pulumi stack init tset" in process.stderr


def test_calendar_is_part_of_the_check() -> None:
    """An end that is near is a note; one that Azure announced and that has passed is a fault."""
    kinds = {
        today: {each.kind for each in calendar_findings(date.fromisoformat(today)) if "KeyVault" in each.text}
        for today in ("2026-11-28", "2027-01-15", "2027-02-28")
    }

    assert {"2026-11-28": set(), "2027-01-15": {Kind.NOTE}, "2027-02-28": {Kind.FAULT}} == kinds


def test_every_resource_provider_is_asked_for_and_documented(prod: MockRun) -> None:
    """Three are registered in each subscription. The list of docs/deploy.md is the same."""
    types = [resource_type(each.token) for each in prod.azure]
    namespaces = {each.arm_name.partition("/")[0] for each in types if isinstance(each, ResourceType)}
    page = (ROOT / "docs" / "deploy.md").read_text()
    (words,) = re.findall(r"for each in ([\w\s\\]+); do az provider register", page)

    assert set(PROVIDERS) == set(words.replace("\\", " ").split())
    assert namespaces - {f"Microsoft.{name}" for name in PROVIDERS} == {
        *("Microsoft.Authorization", "Microsoft.Consumption", "Microsoft.Resources"),
    }


def test_every_answer_has_a_source() -> None:
    """The stand-in answers as documented."""
    assert all(each.source.startswith("https://learn.microsoft.com/") for each in ANSWERS.values())
