"""The simulation itself: what it refuses, and that it does with small programs what Pulumi says it does."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from tests.infra.simulation.cloud import Refused
from tests.infra.simulation.simulation import ROOT, ProgramFailed, Run, Simulation
from tests.infra.simulation.wire import UNKNOWN, is_secret, reveal

START = """
import pulumi
from pulumi import Output, ResourceOptions
from pulumi_azure_native import authorization, containerregistry, managedidentity, resources
config = pulumi.Config()
group = resources.ResourceGroup("group", location="norwayeast")
"""
IDENTITY = """
identity = managedidentity.UserAssignedIdentity("identity", resource_group_name=group.name, location=group.location)
"""


class Program(Protocol):
    """Runs a program of these lines in a stack that lives for a test."""

    def __call__(self, *lines: str, preview: bool = False) -> Run:
        """What it does, or in a preview would do."""


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    """A stack, empty at first."""
    with Simulation("toy") as opened:
        yield opened


@pytest.fixture
def run(simulation: Simulation, tmp_path: Path) -> Program:
    """A project whose program changes from run to run."""
    (tmp_path / "Pulumi.yaml").write_text("name: toy\nmain: program/\n")
    (tmp_path / "Pulumi.toy.yaml").write_text("config: {}\n")
    (tmp_path / "program").mkdir()

    def once(*lines: str, preview: bool = False) -> Run:
        (tmp_path / "program" / "__main__.py").write_text("\n".join([START, *lines]))
        return (simulation.preview if preview else simulation.up)({}, root=tmp_path)

    return once


REFUSED = {
    "is registered twice": 'resources.ResourceGroup("group", location="norwayeast")',
    "has no parent": 'managedidentity.UserAssignedIdentity("other", resource_group_name="elsewhere", location="x")',
    "names /subscriptions/1/resourceGroups/none, which is not there": (
        'authorization.RoleAssignment("role", scope=group.id, principal_id="p", '
        'role_definition_id="/subscriptions/1/resourceGroups/none")'
    ),
    "is there already": "\n".join(
        f'managedidentity.UserAssignedIdentity("{name}", resource_name_="one", resource_group_name=group.name)'
        for name in ("first", "second")
    ),
    "listRegistryCredentials": (
        'pulumi.export("key", containerregistry.list_registry_credentials_output('
        'registry_name="r", resource_group_name="g").username)'
    ),
    "Calling __str__ on an Output": 'managedidentity.UserAssignedIdentity("i", resource_group_name=f"{group.name}")',
    "is not in the simulation's catalog": 'containerregistry.Webhook("w", registry_name="r", resource_group_name="g", '
    'actions=["push"], service_uri="https://example.no")',
    "importId is not simulated": (
        'resources.ResourceGroup("old", location="x", opts=ResourceOptions(import_="/subscriptions/1"))'
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_azure_or_pulumi_would_refuse_is_refused(run: Program, said: str) -> None:
    """The program fails, and what it says names the fault."""
    with pytest.raises(ProgramFailed) as failed:
        run(REFUSED[said])

    assert said in str(failed.value)


def test_what_is_known_only_afterwards_is_unknown_in_a_preview(run: Program, simulation: Simulation) -> None:
    """Nothing is made, and a resource that hangs on an unknown value is not seen: the graphs differ."""
    lines = [IDENTITY, 'identity.principal_id.apply(lambda _: resources.ResourceGroup("late", location="x"))']
    lines.append('pulumi.export("principal", identity.principal_id)')
    preview = run(*lines, preview=True)

    assert UNKNOWN == preview.outputs["principal"]
    assert not simulation.cloud.ids
    assert {"late"} == {goal.name for goal in run(*lines).goals.values()} - {
        goal.name for goal in preview.goals.values()
    }


def test_what_is_made_of_a_secret_is_secret(run: Program) -> None:
    """The mark stays with the value through outputs, and is put on outputs that are named as secret."""
    secret = (
        'identity = managedidentity.UserAssignedIdentity("i", resource_group_name=group.name, location="x", '
        'tags={"word": Output.secret("hush")}, opts=ResourceOptions(additional_secret_outputs=["clientId"]))'
    )
    exports = 'pulumi.export("word", identity.tags); pulumi.export("client", identity.client_id)'
    outputs = run(secret, exports, 'pulumi.export("open", identity.principal_id)').outputs

    assert {"word": "hush"} == reveal(outputs["word"])
    assert [True, True, False] == [is_secret(outputs[key]) for key in ("word", "client", "open")]


def test_a_resource_that_is_left_out_is_deleted_after_what_depends_on_it(run: Program, simulation: Simulation) -> None:
    """Children first, and nothing else."""
    role = f"{'/subscriptions/1/providers/Microsoft.Authorization/roleDefinitions/'}{'0' * 8}-0000-0000-0000-{'0' * 12}"
    run(
        IDENTITY,
        f'authorization.RoleAssignment("role", scope=identity.id, principal_id="p", role_definition_id="{role}")',
    )
    removed = run()

    assert ["role", "identity"] == [step.urn.rpartition("::")[2] for step in removed.steps if step.verb == "delete"]
    assert 1 == len(simulation.cloud.ids)


def test_a_lock_holds_what_lies_under_it(run: Program, simulation: Simulation) -> None:
    """Until it goes, which it does first when it depends on what it holds."""
    lock = 'authorization.ManagementLockByScope("lock", scope=group.id, level="CanNotDelete", opts=ResourceOptions({}))'
    run(IDENTITY, lock.format("depends_on=[identity]"))
    removed = run()
    run(IDENTITY, lock.format(""))
    before = simulation.cloud.ids

    assert ["lock", "identity"] == [step.urn.rpartition("::")[2] for step in removed.steps if step.verb == "delete"]
    with pytest.raises((Refused, ProgramFailed), match="ScopeLocked"):
        run(lock.format(""))
    assert before == simulation.cloud.ids


def test_what_is_protected_is_neither_deleted_nor_replaced(run: Program, simulation: Simulation) -> None:
    """Until its protection is taken away."""
    protected = IDENTITY.replace("location=group.location", "location='{}', opts=ResourceOptions(protect=True)")
    run(protected.format("norwayeast"))
    before = simulation.cloud.ids
    for lines in ([], [protected.format("westeurope")]):
        with pytest.raises((Refused, ProgramFailed), match="is protected"):
            run(*lines)

    assert before == simulation.cloud.ids


def test_what_is_to_be_retained_stays_when_it_is_left_out(run: Program, simulation: Simulation) -> None:
    """The stack forgets it; the cloud does not."""
    run(IDENTITY.replace("group.location", "group.location, opts=ResourceOptions(retain_on_delete=True)"))
    left_out = run()

    assert ["retain"] == [step.verb for step in left_out.steps if step.verb != "same"]
    assert any("identity" in each for each in simulation.cloud.ids)


def test_a_change_that_is_ignored_changes_nothing(run: Program) -> None:
    """The value that was there is used."""
    tagged = IDENTITY.replace(
        "group.location", "'x', tags={{'at': '{}'}}, opts=ResourceOptions(ignore_changes=['tags'])"
    )
    run(tagged.format("first"))

    assert set() == run(tagged.format("second")).changes


def test_a_replacement_is_made_before_the_old_one_goes(run: Program, simulation: Simulation) -> None:
    """Under a name of its own: nothing that needs it is ever without it."""
    made = IDENTITY.replace("group.location", "'{}'")
    run(made.format("norwayeast"))
    before = simulation.cloud.ids
    replaced = run(made.format("westeurope"))

    assert ["replace", "delete"] == [step.verb for step in replaced.steps if step.verb != "same"]
    assert 1 == len(simulation.cloud.ids - before)


COMMAND = [sys.executable, "-m", "tests.infra.simulation"]


def test_the_command_line_says_what_it_is() -> None:
    """A simulation, and each step."""
    asked = subprocess.run([*COMMAND, "preview"], cwd=ROOT, capture_output=True, text=True, check=True)
    first, *steps = asked.stdout.splitlines()

    assert "simulation of preview in memory, not Pulumi's own engine and not Azure" in first
    assert any(step.startswith("create") and "azure-native:app:ContainerApp::eventfeed" in step for step in steps)


def test_the_fake_provider_serves_alone() -> None:
    """It prints its port, for an engine that attaches to it."""
    with subprocess.Popen([*COMMAND, "provider"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as serving:
        port = serving.stdout.readline().strip() if serving.stdout else ""
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            told = ResourceProviderStub(channel).GetPluginInfo(Empty())
        serving.terminate()

    assert "0.0.0" == told.version
