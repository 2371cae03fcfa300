"""Each way in which such a program is usually got wrong, planted in a copy of it: the check that guards it must notice.

A fault whose text is no longer in the program fails: it must move with the program.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra import arm_check, sdk_check, test_policies
from tests.infra.arm_check import Types
from tests.infra.planting import planted
from tests.infra.recording import Recording, record
from tests.infra.simulation.simulation import ProgramFailed, Simulation
from tests.infra.simulation.stack_files import EXAMPLE

STORE, SERVICE = "infra/components/store.py", "infra/components/service.py"


def simulated(project: Path) -> str:
    """What stops the project on its way up."""
    with Simulation("dev") as stack:
        try:
            stack.up(EXAMPLE, root=project)
        except ProgramFailed as failure:
            return str(failure)
    return ""


def by_sdk(project: Path) -> str:
    """What the SDK's classes say against its resources."""
    found = recorded(project).resources
    return "\n".join(fault for each in found if each.id for fault in sdk_check.faults(each.token, each.inputs))


def by_azure(project: Path) -> str:
    """What Azure's types say against them."""
    if not arm_check.DATA.is_file():
        pytest.skip("Azure's types are not beside the repository")
    types = Types.read()
    found = [each for each in recorded(project).azure if types.arm(each.token)]
    return "\n".join(fault for each in found for fault in types.faults(each.token, each.name, each.inputs))


def by_policy(policy: Callable[[Recording], None]) -> Callable[[Path], str]:
    """Whether a policy is broken, by its name."""

    def told(project: Path) -> str:
        try:
            policy(recorded(project))
        except AssertionError:
            return policy.__name__
        return ""

    return told


def recorded(project: Path) -> Recording:
    """The project's production stack under mocks."""
    return record("prod", program=project / "infra", files=project)


class Fault(NamedTuple):
    """One fault: in which file which text becomes which, what must notice, and a part of what it says."""

    file: str
    sound: str
    faulty: str
    noticed_by: Callable[[Path], str]
    said: str


WAITS = ", depends_on=args.after, delete_before_replace=True"
PRIVATE = 'public_network_access="Disabled" if production'
FAULTS = {
    "wrong enumerated value": Fault(
        STORE, 'minimal_tls_version="Tls12"', 'minimal_tls_version="Tls99"', by_sdk, "'Tls99' is none of"
    ),
    "wrong enumerated value, by Azure's types": Fault(
        STORE, 'minimal_tls_version="Tls12"', 'minimal_tls_version="Tls99"', by_azure, "'Tls99' is none of"
    ),
    "input that nobody knows": Fault(
        STORE, "cosmosdb.SqlDatabaseResourceArgs(id=SYSTEM)", '{"id": SYSTEM, "idd": ""}', by_sdk, "has no such input"
    ),
    "required input missing": Fault(
        STORE, "cosmosdb.SqlDatabaseResourceArgs(id=SYSTEM)", "{}", by_sdk, "resource.id: is required"
    ),
    "name that Azure refuses": Fault(
        "infra/components/registry.py",
        "containerregistry.Registry(\n            SYSTEM",
        'containerregistry.Registry(\n            "event-feed"',
        by_azure,
        "does not look like ^[a-zA-Z0-9]*$",
    ),
    "missing dependency": Fault(SERVICE, WAITS, "", simulated, "is too early"),
    "missing dependency, by policy": Fault(
        SERVICE, WAITS, "", by_policy(test_policies.test_the_app_waits_for_its_permissions), "waits"
    ),
    "dangling id": Fault(STORE, '"/dbs/", database.name', '"/dbs/", "events"', simulated, "which is not there"),
    "parent that is not there": Fault(
        STORE, "database_name=database.name", 'database_name="other"', simulated, "has no parent"
    ),
    "duplicate name": Fault(
        STORE, "            wanted.name,\n", '            "events",\n', simulated, "registered twice"
    ),
    "output in an f-string": Fault(
        SERVICE,
        'pulumi.Output.concat("https://", SYSTEM, ".", args.environment.domain)',
        'pulumi.Output.from_input(f"https://{SYSTEM}.{args.environment.domain}")',
        simulated,
        "Calling __str__ on an Output",
    ),
    "public access": Fault(
        STORE,
        PRIVATE,
        'public_network_access="Enabled" if production',
        by_policy(test_policies.test_nothing_but_the_gateway_is_reachable),
        "reachable",
    ),
    "keys on": Fault(
        STORE,
        "disable_local_auth=True",
        "disable_local_auth=False",
        by_policy(test_policies.test_no_key_opens_the_store),
        "key",
    ),
    "missing probe": Fault(
        SERVICE,
        '        _probe("Readiness", "/health/ready", period=5, failures=3),\n',
        "",
        by_policy(test_policies.test_the_service_is_looked_after),
        "looked_after",
    ),
    "missing tag": Fault(
        "infra/components/identity.py",
        "            tags=args.place.tags,\n",
        "",
        by_policy(test_policies.test_every_resource_is_tagged),
        "tagged",
    ),
    "secret in a plain setting": Fault(
        SERVICE,
        '"EVENTFEED_PORT": str(PORT)',
        '"EVENTFEED_PORT": pulumi.Output.secret("hush")',
        by_policy(test_policies.test_the_container_holds_no_secret_itself),
        "secret",
    ),
    "data without protection": Fault(
        STORE,
        "protect=args.site.stack.production",
        "protect=False",
        by_policy(test_policies.test_data_is_protected_from_deletion),
        "protected",
    ),
    "more rights than are needed": Fault(
        "infra/components/roles.py",
        'ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"',
        'ACR_PULL = "b24988ac-6180-42a0-ab88-20f7382dd24c"',
        by_policy(test_policies.test_the_service_may_read_and_write_data_and_nothing_more),
        "nothing_more",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_planted_fault_is_noticed(fault: Fault, tmp_path: Path) -> None:
    """By the very check that guards against it, in words that name it."""
    project = planted(tmp_path, file=fault.file, sound=fault.sound, faulty=fault.faulty)

    assert fault.said in fault.noticed_by(project)


def test_what_is_not_in_the_program_cannot_be_planted(tmp_path: Path) -> None:
    """A fault that has been overtaken is noticed, not passed."""
    with pytest.raises(LookupError, match="nothing can be planted"):
        planted(tmp_path, file=STORE, sound="no such text", faulty="")
