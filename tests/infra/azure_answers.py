"""A stand-in of `az` that answers the questions of `infra/deploy_check` as Azure documents it, and plays other answers.

Each answer has the words that begin its command line, the page that documents it, and the JSON or the error.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SUBSCRIPTION, ACCOUNT = "00000000-0000-4000-8000-000000000001", "drift@example.no"
_FILE = "AZURE_ANSWERS"
_LEARN = "https://learn.microsoft.com"
_ZONES = [{"logicalZone": "1", "physicalZone": "norwayeast-az1"}]
_NAMES = (
    *("App", "ContainerService", "ApiManagement", "DocumentDB", "KeyVault", "ContainerRegistry"),
    *("OperationalInsights", "Insights"),
)


class Answer(NamedTuple):
    """The answer to a command line that has these words, the page that documents it, and an error in its place."""

    words: str
    source: str
    output: Any = None
    error: str = ""


def provider(name: str, state: str = "Registered") -> Mapping[str, str]:
    """Return a resource provider in the list of them."""
    return {"namespace": f"Microsoft.{name}", "registrationState": state}


ANSWERS = {
    "account": Answer(
        "account show",
        f"{_LEARN}/cli/azure/account",
        {"id": SUBSCRIPTION, "state": "Enabled", "user": {"name": ACCOUNT, "type": "user"}},
    ),
    "providers": Answer(
        "provider list",
        f"{_LEARN}/azure/azure-resource-manager/management/resource-providers-and-types",
        [provider(name) for name in (*_NAMES, "Dashboard", "ManagedIdentity", "Network", "Storage", "Web")],
    ),
    "roles": Answer(
        "role assignment list",
        f"{_LEARN}/azure/role-based-access-control/role-assignments-list-cli",
        [{"principalName": ACCOUNT, "roleDefinitionName": "Owner", "scope": f"/subscriptions/{SUBSCRIPTION}"}],
    ),
    "regions": Answer(
        "account list-locations",
        f"{_LEARN}/rest/api/resources/subscriptions/list-locations",
        [
            {"name": "norwayeast", "displayName": "Norway East", "availabilityZoneMappings": _ZONES},
            {"name": "norwaywest", "displayName": "Norway West", "availabilityZoneMappings": None},
        ],
    ),
    "gateway": Answer(
        "Microsoft.ApiManagement/skus",
        f"{_LEARN}/rest/api/apimanagement/api-management-skus/list",
        {
            "value": [
                {"resourceType": "service", "name": name, "locations": ["Norway East"], "restrictions": []}
                for name in ("BasicV2", "StandardV2")
            ]
        },
    ),
    "environments": Answer(
        "Microsoft.App/locations/norwayeast/usages",
        f"{_LEARN}/rest/api/resource-manager/containerapps/usages/list",
        {"value": [{"name": {"value": "ManagedEnvironmentCount"}, "currentValue": 1, "limit": 15, "unit": "Count"}]},
    ),
    "store": Answer(
        "cosmosdb locations show",
        f"{_LEARN}/rest/api/cosmos-db-resource-provider/locations/get",
        {
            "properties": {
                "status": "Online",
                "isSubscriptionRegionAccessAllowedForAz": True,
                "isSubscriptionRegionAccessAllowedForRegular": True,
            }
        },
    ),
    "accounts": Answer("cosmosdb list", f"{_LEARN}/cli/azure/cosmosdb", [{"name": "another"}]),
    "vaults": Answer("keyvault list-deleted", f"{_LEARN}/cli/azure/keyvault", []),
}


def changed_answers(changes: Mapping[str, Any]) -> Sequence[Answer]:
    """Return the answers with some changed: to another output, or to an error if the change is a text."""
    answers = dict(ANSWERS)
    for name, change in changes.items():
        is_error = isinstance(change, str)
        answers[name] = answers[name]._replace(output=None if is_error else change, error=change if is_error else "")
    return list(answers.values())


def install(folder: Path, changes: Mapping[str, Any]) -> Mapping[str, str]:
    """Write the stand-in and its changed answers into a folder, and return the environment in which it is found."""
    (folder / "answers.json").write_text(json.dumps(changed_answers(changes)))
    command = folder / "az"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{__file__}" "$@"\n')
    command.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, _FILE: str(folder / "answers.json"), "ARM_SUBSCRIPTION_ID": SUBSCRIPTION}


def find_answer(answers: Sequence[Any], line: Sequence[str]) -> Answer:
    """Return the answer to a command line."""
    matches = [Answer(*each) for each in answers if each[0] in " ".join(line)]
    return matches[0] if matches else Answer("", "", error=f"no such command: {' '.join(line)}")


if __name__ == "__main__":
    answer = find_answer(json.loads(Path(os.environ[_FILE]).read_text()), sys.argv[1:])
    sys.exit(answer.error) if answer.error else sys.stdout.write(json.dumps(answer.output))
