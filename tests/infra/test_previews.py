"""Previews of updates: a child of a resource that is updated in place is not reported as replaced."""

from pathlib import Path

import pytest

from tests.infra.mock_run import AZURE
from tests.infra.mutant_project import Mutation, create_mutant_project
from tests.infra.simulation.simulation import Simulation
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS

# Updates every resource with tags, among them every one with children.
OTHER_TAGS = Mutation("infra/stack.py", '"managed-by": "pulumi"', '"managed-by": "others"')

# Their names contain what Azure computes for an identity or an environment. None of them keeps data.
NAMED_BY_OUTPUTS = {
    *("authorization:RoleAssignment", "cosmosdb:SqlResourceSqlRoleAssignment"),
    *("privatedns:PrivateZone", "privatedns:VirtualNetworkLink", "privatedns:PrivateRecordSet"),
}


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_preview_of_an_update_replaces_no_child(name: str, tmp_path: Path) -> None:
    """The names of parents are known in it. In prod `up` would end: protected data would be replaced."""
    settings = {**EXAMPLE_SETTINGS, "operatorName": "Other"}
    with Simulation(name) as stack:
        stack.up(EXAMPLE_SETTINGS)
        preview = stack.preview(settings, root=create_mutant_project(tmp_path, OTHER_TAGS))

    replacements = preview.urns("replace", "create", "delete")

    assert preview.urns("update")
    assert (
        set() == {urn.split("::")[2].rpartition("$")[2].removeprefix(AZURE) for urn in replacements} - NAMED_BY_OUTPUTS
    )
