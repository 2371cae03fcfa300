"""Mutants of the program: each common mistake is detected by the check that guards against it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra import sdk_check, test_policies
from tests.infra.arm_check import ArmTypes
from tests.infra.mock_run import MockRun
from tests.infra.mutant_project import Mutation, create_mutant_project
from tests.infra.session_runs import SessionRuns
from tests.infra.simulation.simulation import ProgramError, Simulation
from tests.infra.simulation.stack_files import EXAMPLE_SETTINGS

# Returns the message of the check for a mutant, "" when it detects nothing.
Check = Callable[[Mutation, SessionRuns, Path], str]


def by_simulation(mutation: Mutation, _: SessionRuns, folder: Path) -> str:
    """Return the error of the mutant in the simulation."""
    project = create_mutant_project(folder, mutation)
    with Simulation("dev") as stack:
        try:
            stack.up(EXAMPLE_SETTINGS, root=project)
        except ProgramError as error:
            return str(error)
    return ""


def by_sdk(mutation: Mutation, runs: SessionRuns, _: Path) -> str:
    """Return the faults in the mutant's resources by the SDK's classes."""
    resources = [each for each in runs.get_mutant(mutation).resources if each.id]
    return "\n".join(fault for each in resources for fault in sdk_check.input_faults(each.token, each.inputs))


def by_azure_types(mutation: Mutation, runs: SessionRuns, _: Path) -> str:
    """Return the faults in the mutant's resources by Azure's type descriptions."""
    types = ArmTypes.read()
    resources = [each for each in runs.get_mutant(mutation).azure if types.name_and_version(each.token)]
    return "\n".join(fault for each in resources for fault in types.input_faults(each.token, each.name, each.inputs))


def by_policy(policy: Callable[[MockRun], None]) -> Check:
    """Return a check whose message is the policy's name when it fails."""

    def check(mutation: Mutation, runs: SessionRuns, _: Path) -> str:
        try:
            policy(runs.get_mutant(mutation))
        except AssertionError:
            return policy.__name__
        return ""

    return check


class ProgramMutant(NamedTuple):
    """A mutation of the program, the check that must detect it, and a part of the check's message."""

    mutation: Mutation
    check: Check
    message: str


STORE, SERVICE = "infra/components/store.py", "infra/components/service.py"
TLS_VERSION = Mutation(STORE, 'minimal_tls_version="Tls12"', 'minimal_tls_version="Tls99"')
NO_DEPENDENCY = Mutation(SERVICE, ", depends_on=args.after, delete_before_replace=True", "")
DATABASE_RESOURCE = "cosmosdb.SqlDatabaseResourceArgs(id=SYSTEM)"
MUTANTS = {
    "unknown enumerated value": ProgramMutant(TLS_VERSION, by_sdk, "'Tls99' is not one of"),
    "unknown enumerated value, by Azure's types": ProgramMutant(TLS_VERSION, by_azure_types, "'Tls99' is not one of"),
    "unknown input": ProgramMutant(
        Mutation(STORE, DATABASE_RESOURCE, '{"id": SYSTEM, "idd": ""}'), by_sdk, "has no such input"
    ),
    "required input missing": ProgramMutant(
        Mutation(STORE, DATABASE_RESOURCE, "{}"), by_sdk, "resource.id: is required"
    ),
    "invalid name": ProgramMutant(
        Mutation(
            "infra/components/registry.py",
            "containerregistry.Registry(\n            SYSTEM",
            'containerregistry.Registry(\n            "event-feed"',
        ),
        by_azure_types,
        "does not match ^[a-zA-Z0-9]*$",
    ),
    "missing dependency": ProgramMutant(NO_DEPENDENCY, by_simulation, "is too early"),
    "missing dependency, by policy": ProgramMutant(
        NO_DEPENDENCY, by_policy(test_policies.test_container_app_depends_on_its_roles_and_names), "depends"
    ),
    "reference to nothing": ProgramMutant(
        Mutation(STORE, '"/dbs/", known_name(database)', '"/dbs/", "events"'), by_simulation, "which does not exist"
    ),
    "parent that does not exist": ProgramMutant(
        Mutation(STORE, "database_name=known_name(database)", 'database_name="other"'), by_simulation, "has no parent"
    ),
    "duplicate name": ProgramMutant(
        Mutation(STORE, '            container["name"],\n', '            "commits",\n'),
        by_simulation,
        "registered twice",
    ),
    "output in an f-string": ProgramMutant(
        Mutation(
            SERVICE,
            'pulumi.Output.concat("https://", SYSTEM, ".", args.environment.domain)',
            'pulumi.Output.from_input(f"https://{SYSTEM}.{args.environment.domain}")',
        ),
        by_simulation,
        "Calling __str__ on an Output",
    ),
    "public network access": ProgramMutant(
        Mutation(
            STORE, 'public_network_access="Disabled" if production', 'public_network_access="Enabled" if production'
        ),
        by_policy(test_policies.test_only_the_gateway_has_public_network_access),
        "public_network_access",
    ),
    "keys enabled": ProgramMutant(
        Mutation(STORE, "disable_local_auth=True", "disable_local_auth=False"),
        by_policy(test_policies.test_store_registry_and_workspace_accept_no_key),
        "no_key",
    ),
    "missing probe": ProgramMutant(
        Mutation(SERVICE, '        _probe("Readiness", "/health/ready", period=5, failures=3),\n', ""),
        by_policy(test_policies.test_container_has_startup_liveness_and_readiness_probes),
        "probes",
    ),
    "missing tag": ProgramMutant(
        Mutation("infra/components/identity.py", "            tags=args.group.tags,\n", ""),
        by_policy(test_policies.test_resources_that_support_tags_have_all_tags),
        "tags",
    ),
    "secret in a plain setting": ProgramMutant(
        Mutation(SERVICE, '"EVENTFEED_PORT": str(PORT)', '"EVENTFEED_PORT": pulumi.Output.secret("hush")'),
        by_policy(test_policies.test_container_app_inputs_contain_no_secret),
        "no_secret",
    ),
    "data without protection": ProgramMutant(
        Mutation(STORE, "protect=args.context.stack.production", "protect=False"),
        by_policy(test_policies.test_production_data_is_protected_from_deletion),
        "protected",
    ),
    "role with more rights": ProgramMutant(
        Mutation(
            "infra/components/roles.py",
            'ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"',
            'ACR_PULL = "b24988ac-6180-42a0-ab88-20f7382dd24c"',
        ),
        by_policy(test_policies.test_service_roles_are_the_least_it_needs),
        "least",
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
def test_program_mutant_is_detected_by_its_check(
    mutant: ProgramMutant, session_runs: SessionRuns, tmp_path: Path
) -> None:
    """The check's message names the fault."""
    assert mutant.message in mutant.check(mutant.mutation, session_runs, tmp_path)


def test_mutation_of_an_absent_text_is_an_error(tmp_path: Path) -> None:
    """A mutation that no longer fits the program fails instead of testing the program itself."""
    with pytest.raises(LookupError, match="occurs 0 times"):
        create_mutant_project(tmp_path, Mutation(STORE, "no such text", ""))
