"""Every resource of both stacks against the types of the SDK and of Azure, at the API versions that were reviewed."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.infra import sdk_check
from tests.infra.arm_check import ArmTypes
from tests.infra.mock_run import MockRun, RegisteredResource
from tests.infra.simulation.catalog import RESOURCE_TYPES

VERSIONS: dict[str, str] = json.loads(Path(__file__).with_name("api_versions.json").read_text())
# The newest types: Azure's descriptions lack their versions.
WITHOUT_DESCRIPTION = {"azure-native:dashboard:DashboardDefinition", "azure-native:privatedns:PrivateRecordSet"}
# Types whose descriptions are not in the cut yet.
NOT_IN_THE_CUT = {"azure-native:containerregistry:Replication", "azure-native:network:VirtualNetworkPeering"}


@pytest.fixture(scope="module")
def runs(dev: MockRun, prod: MockRun, options: MockRun) -> Mapping[str, MockRun]:
    """Both stacks, and the production stack with every optional part."""
    return {"dev": dev, "prod": prod, "options": options}


@pytest.fixture
def resources(any_run: MockRun) -> list[RegisteredResource]:
    """The resources of a stack without its components."""
    return [each for each in any_run.resources if each.id]


@pytest.fixture(scope="module")
def types() -> ArmTypes:
    """Azure's descriptions of its types."""
    return ArmTypes.read()


def test_inputs_match_the_classes_of_the_sdk(resources: list[RegisteredResource]) -> None:
    """Names, types and enumerated values are known, and every required input is present."""
    assert [] == [fault for each in resources for fault in sdk_check.input_faults(each.token, each.inputs)]


def test_inputs_match_the_types_of_azure(resources: list[RegisteredResource], types: ArmTypes) -> None:
    """The check includes nested names, discriminators, ranges and patterns, and the resource's name."""
    checkable = [each for each in resources if types.name_and_version(each.token)]

    assert [] == [fault for each in checkable for fault in types.input_faults(each.token, each.name, each.inputs)]


def test_api_versions_are_those_of_the_review(runs: Mapping[str, MockRun]) -> None:
    """A newer SDK may use other versions: then review the list and everything that was verified with it."""
    tokens = {each.token for run in runs.values() for each in run.azure}

    assert VERSIONS == {token: sdk_check.api_version(token) for token in sorted(tokens)}


def test_type_descriptions_have_the_same_api_versions(types: ArmTypes) -> None:
    """Azure's descriptions are those of the versions and ARM names that the program uses."""
    descriptions = {token: name for token in VERSIONS if (name := types.name_and_version(token))}
    arm_names = {token: RESOURCE_TYPES[token.removeprefix("azure-native:")].arm_name for token in descriptions}

    assert VERSIONS.keys() - descriptions.keys() == WITHOUT_DESCRIPTION | NOT_IN_THE_CUT
    assert {token: VERSIONS[token] for token in descriptions} == {
        token: version for token, (_, version) in descriptions.items()
    }
    assert arm_names == {token: name for token, (name, _) in descriptions.items()}
