"""The simulation itself, with small programs: it rejects the faults that Azure or Pulumi would, and follows Pulumi."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from tests.infra.simulation.cloud import RejectedError
from tests.infra.simulation.program_process import ROOT
from tests.infra.simulation.simulation import ProgramError, Run, Simulation
from tests.infra.simulation.wire import UNKNOWN, is_secret, reveal

HEADER = """
import pulumi
from pulumi import Output, ResourceOptions
from pulumi_azure_native import authorization, containerregistry, managedidentity, resources
config = pulumi.Config()
group = resources.ResourceGroup("group", location="norwayeast")
"""
IDENTITY = """
identity = managedidentity.UserAssignedIdentity("identity", resource_group_name=group.name, location=group.location)
"""
READER_ROLE = "/subscriptions/1/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"


class RunProgram(Protocol):
    """Runs a program of the header and these lines, in a stack that exists for one test."""

    def __call__(self, *lines: str, preview: bool = False) -> Run:
        """Return the result of `up`, or of a preview."""


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    """An empty stack."""
    with Simulation("toy") as stack:
        yield stack


@pytest.fixture
def run_program(simulation: Simulation, tmp_path: Path) -> RunProgram:
    """A project whose program differs from run to run."""
    (tmp_path / "Pulumi.yaml").write_text("name: toy\nmain: program/\n")
    (tmp_path / "Pulumi.toy.yaml").write_text("config: {}\n")
    (tmp_path / "program").mkdir()

    def run(*lines: str, preview: bool = False) -> Run:
        (tmp_path / "program" / "__main__.py").write_text("\n".join([HEADER, *lines]))
        return (simulation.preview if preview else simulation.up)({}, root=tmp_path)

    return run


def names(run: Run, verb: str) -> list[str]:
    """Return the names of the resources with this step, in order."""
    return [step.urn.rpartition("::")[2] for step in run.steps if step.verb == verb]


def verbs(run: Run) -> list[str]:
    """Return the steps that change something, in order."""
    return [step.verb for step in run.steps if step.verb != "same"]


INVALID_PROGRAMS = {
    "is registered twice": 'resources.ResourceGroup("group", location="norwayeast")',
    "has no parent": (
        'managedidentity.UserAssignedIdentity("other", resource_group_name="elsewhere", location="norwayeast")'
    ),
    "refers to /subscriptions/1/resourceGroups/none, which does not exist": (
        'authorization.RoleAssignment("role", scope=group.id, principal_id="p", '
        'role_definition_id="/subscriptions/1/resourceGroups/none")'
    ),
    "already exists": "\n".join(
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
        'resources.ResourceGroup("old", location="norwayeast", opts=ResourceOptions(import_="/subscriptions/1"))'
    ),
}


@pytest.mark.parametrize("message", INVALID_PROGRAMS)
def test_invalid_program_fails_with_a_message(run_program: RunProgram, message: str) -> None:
    """The program's error names the fault."""
    with pytest.raises(ProgramError) as error:
        run_program(INVALID_PROGRAMS[message])

    assert message in str(error.value)


def test_computed_values_are_unknown_in_a_preview(run_program: RunProgram, simulation: Simulation) -> None:
    """A preview creates nothing, and lacks a resource whose registration depends on an unknown value."""
    lines = [IDENTITY, 'identity.principal_id.apply(lambda _: resources.ResourceGroup("late", location="norwayeast"))']
    lines.append('pulumi.export("principal", identity.principal_id)')
    preview = run_program(*lines, preview=True)

    assert UNKNOWN == preview.outputs["principal"]
    assert not simulation.cloud.ids
    assert {"late"} == {goal.name for goal in run_program(*lines).goals.values()} - {
        goal.name for goal in preview.goals.values()
    }


def test_values_derived_from_a_secret_are_secret(run_program: RunProgram) -> None:
    """A secret mark is kept through outputs, and added to outputs that the program declares as secret."""
    secret_tag = (
        'identity = managedidentity.UserAssignedIdentity("i", resource_group_name=group.name, location="norwayeast", '
        'tags={"word": Output.secret("hush")}, opts=ResourceOptions(additional_secret_outputs=["clientId"]))'
    )
    exports = 'pulumi.export("word", identity.tags); pulumi.export("client", identity.client_id)'
    outputs = run_program(secret_tag, exports, 'pulumi.export("open", identity.principal_id)').outputs

    assert {"word": "hush"} == reveal(outputs["word"])
    assert [True, True, False] == [is_secret(outputs[key]) for key in ("word", "client", "open")]


def test_unregistered_resources_are_deleted_dependents_first(run_program: RunProgram, simulation: Simulation) -> None:
    """Resources that the program no longer registers are deleted, and no others."""
    role = f'principal_id="p", role_definition_id="{READER_ROLE}"'
    run_program(IDENTITY, f'authorization.RoleAssignment("role", scope=identity.id, {role})')
    second = run_program()

    assert ["role", "identity"] == names(second, "delete")
    assert 1 == len(simulation.cloud.ids)


def test_lock_prevents_deletion_under_its_scope(run_program: RunProgram, simulation: Simulation) -> None:
    """A lock that depends on the resources under its scope is deleted before them."""
    lock = 'authorization.ManagementLockByScope("lock", scope=group.id, level="CanNotDelete", opts=ResourceOptions({}))'
    run_program(IDENTITY, lock.format("depends_on=[identity]"))
    second = run_program()
    run_program(IDENTITY, lock.format(""))
    before = simulation.cloud.ids

    assert ["lock", "identity"] == names(second, "delete")
    with pytest.raises((RejectedError, ProgramError), match="ScopeLocked"):
        run_program(lock.format(""))
    assert before == simulation.cloud.ids


def test_protected_resource_is_neither_deleted_nor_replaced(run_program: RunProgram, simulation: Simulation) -> None:
    """Both runs are rejected and change nothing."""
    program = IDENTITY.replace("location=group.location", "location='{}', opts=ResourceOptions(protect=True)")
    run_program(program.format("norwayeast"))
    before = simulation.cloud.ids
    for lines in ([], [program.format("westeurope")]):
        with pytest.raises((RejectedError, ProgramError), match="is protected"):
            run_program(*lines)

    assert before == simulation.cloud.ids


def test_retained_resource_stays_in_the_cloud(run_program: RunProgram, simulation: Simulation) -> None:
    """The stack forgets an unregistered resource with `retain_on_delete`; the cloud keeps it."""
    run_program(IDENTITY.replace("group.location", "group.location, opts=ResourceOptions(retain_on_delete=True)"))
    second = run_program()

    assert ["retain"] == verbs(second)
    assert any("identity" in each for each in simulation.cloud.ids)


def test_ignored_change_causes_no_step(run_program: RunProgram) -> None:
    """An input in `ignore_changes` keeps its old value."""
    program = IDENTITY.replace(
        "group.location", "'norwayeast', tags={{'at': '{}'}}, opts=ResourceOptions(ignore_changes=['tags'])"
    )
    run_program(program.format("first"))

    assert set() == run_program(program.format("second")).changes


def test_replacement_is_created_before_the_deletion(run_program: RunProgram, simulation: Simulation) -> None:
    """The new resource has a name of its own, so dependents always have one of the two."""
    program = IDENTITY.replace("group.location", "'{}'")
    run_program(program.format("norwayeast"))
    before = simulation.cloud.ids
    second = run_program(program.format("westeurope"))

    assert ["replace", "delete"] == verbs(second)
    assert 1 == len(simulation.cloud.ids - before)


COMMAND = [sys.executable, "-m", "tests.infra.simulation"]


def test_command_line_prints_every_step() -> None:
    """The first line says that this is a simulation."""
    process = subprocess.run([*COMMAND, "preview"], cwd=ROOT, capture_output=True, text=True, check=True)
    first, *steps = process.stdout.splitlines()

    assert "simulation of preview in memory, not Pulumi's own engine and not Azure" in first
    assert any(step.startswith("create") and "azure-native:app:ContainerApp::eventfeed" in step for step in steps)


def test_provider_command_serves_every_package() -> None:
    """It prints the packages with their ports. Each provider has the version of its SDK, so that no engine warns."""
    with subprocess.Popen([*COMMAND, "provider"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline().strip() if process.stdout else ""
        ports = dict(each.split(":") for each in line.split(","))
        versions = {package: provider_version(port) for package, port in ports.items()}
        process.terminate()

    assert {each: version(f"pulumi-{each}") for each in ("azure-native", "tls", "random")} == versions


def provider_version(port: str) -> str:
    """Return the version that the provider at a port of this machine reports."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return str(ResourceProviderStub(channel).GetPluginInfo(Empty()).version)
