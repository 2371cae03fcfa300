"""Every resource of both stacks is one that the SDK and Azure know, at the versions that were looked at."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.infra import arm_check, sdk_check
from tests.infra.arm_check import Types
from tests.infra.recording import Recorded, Recording, record, recorded
from tests.infra.simulation.catalog import KINDS

VERSIONS: dict[str, str] = json.loads(Path(__file__).with_name("api_versions.json").read_text())


BUILT = {"image": None, "source": f"https://example.no/eventfeed.git#{'1' * 40}"}


@pytest.fixture(scope="module")
def runs() -> Mapping[str, Recording]:
    """Both stacks, and the one whose registry builds the image."""
    return {"dev": recorded("dev"), "prod": recorded("prod"), "dev that builds": record("dev", BUILT)}


@pytest.fixture(params=["dev", "prod", "dev that builds"])
def resources(request: pytest.FixtureRequest, runs: Mapping[str, Recording]) -> list[Recorded]:
    """What a stack registers, without its components."""
    return [each for each in runs[request.param].resources if each.id]


@pytest.fixture
def types() -> Types:
    """Azure's own description of its types."""
    if not arm_check.DATA.is_file():
        pytest.skip(f"Azure's types are not beside the repository ({arm_check.DATA.name}): checked by the SDK alone")
    return Types.read()


def test_every_input_is_one_that_the_sdk_knows(resources: list[Recorded]) -> None:
    """By name, type and enumerated value, and none that is required is missing."""
    assert [] == [fault for each in resources for fault in sdk_check.faults(each.token, each.inputs)]


def test_every_resource_is_as_azure_describes_its_type(resources: list[Recorded], types: Types) -> None:
    """Nested names, discriminators, ranges and patterns too; and the name it has or will be given."""
    described = [each for each in resources if types.arm(each.token)]

    assert [] == [fault for each in described for fault in types.faults(each.token, each.name, each.inputs)]


def test_the_versions_of_azures_interface_are_those_that_were_looked_at(runs: Mapping[str, Recording]) -> None:
    """A newer SDK may silently use others: then the list, and what was verified with it, must be looked at again."""
    used = {each.token for run in runs.values() for each in run.azure}

    assert VERSIONS == {token: sdk_check.api_version(token) for token in sorted(used)}


def test_the_description_is_of_the_very_same_versions(types: Types) -> None:
    """What was checked is what will be asked for."""
    described = {token: arm for token in VERSIONS if (arm := types.arm(token))}

    assert {token: VERSIONS[token] for token in described} == {token: arm[1] for token, arm in described.items()}
    assert {} == {
        token: arm[0] for token, arm in described.items() if KINDS[token.removeprefix("azure-native:")].arm != arm[0]
    }
