"""The lifecycle of each stack on Pulumi's own engine. `make engine` builds it; without it these tests are skipped."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.leaves import plain_leaves, secret_values
from tests.infra.pulumi_engine.lifecycle import ALERTS, Lifecycle
from tests.infra.test_custom_domain import FOLLOWERS

APP = "azure-native:app:ContainerApp"
STORE = "azure-native:cosmosdb:DatabaseAccount"


def urns_of_type(lifecycle: Lifecycle, token: str) -> set[str]:
    """Return the resources of a type."""
    return {urn for urn, each in lifecycle.resources.items() if each["type"] == token}


def test_preview_creates_no_resource(lifecycle: Lifecycle) -> None:
    """The cloud is empty after the first preview."""
    assert set() == lifecycle.ids_after_preview


def test_up_makes_what_the_preview_showed(lifecycle: Lifecycle) -> None:
    """Two runs were needed, since the first one was refused; together they make each resource once."""
    first = lifecycle.failed_up.urns("create") - lifecycle.failed_up.failures
    second = lifecycle.up.urns("create")

    assert lifecycle.preview.urns("create") == lifecycle.preview.changes == first | second
    assert set() == first & second


def test_refused_creation_ends_up_with_its_reason(lifecycle: Lifecycle) -> None:
    """The error names the resource and repeats what Azure said. The next run continues, and keeps what there is."""
    (failure,) = lifecycle.failed_up.failures

    assert failure.endswith("cosmosdb:SqlResourceSqlRoleAssignment::eventfeed")
    assert any("BadRequest: the principal" in each for each in lifecycle.failed_up.messages)
    assert lifecycle.up.changes == lifecycle.up.urns("create")
    assert failure in lifecycle.up.urns("create")


def test_second_up_and_refresh_change_no_resource(lifecycle: Lifecycle) -> None:
    """The program is deterministic, and the state equals the cloud."""
    assert set() == lifecycle.second_up.changes
    assert set() == lifecycle.refresh.changes
    assert lifecycle.preview.urns("create") == lifecycle.second_up.urns("same")


def test_new_image_updates_the_app_alone(lifecycle: Lifecycle) -> None:
    """All other resources stay the same."""
    assert urns_of_type(lifecycle, APP) == lifecycle.next_up.changes == lifecycle.next_up.urns("update")


def test_custom_domain_changes_only_what_has_the_address(lifecycle: Lifecycle) -> None:
    """The same as on the small engine. Without it again, only its identity and role are deleted."""
    followers = {f"azure-native:{each}" for each in FOLLOWERS} & {each["type"] for each in lifecycle.resources.values()}

    assert followers == types(lifecycle.domain_up.urns("update")) == types(lifecycle.domain_removal.urns("update"))
    assert lifecycle.domain_up.urns("create") == lifecycle.domain_removal.urns("delete")
    assert {} == lifecycle.domain_up.violations


def types(urns: set[str]) -> set[str]:
    """Return the types of resources."""
    return {urn.split("::")[2].rpartition("$")[2] for urn in urns}


def test_drift_is_found_and_repaired(lifecycle: Lifecycle) -> None:
    """A changed resource is updated, and a deleted one is created again, with the inputs of the program."""
    inputs = {urn: lifecycle.resources[urn]["inputs"] for urn in lifecycle.drifted_urns}
    repairs = {urn: lifecycle.repaired_resources[urn]["inputs"] for urn in lifecycle.drifted_urns}

    assert 2 == len(lifecycle.drifted_urns)
    assert lifecycle.drifted_urns == lifecycle.drift.urns("update", "create")
    assert lifecycle.drifted_urns == lifecycle.repair.urns("update", "create")
    assert without_generated_names(inputs) == without_generated_names(repairs)


def without_generated_names(inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the inputs without the names, of which a created resource has a new one."""
    return {urn: {key: each[key] for key in each if not key.endswith("Name")} for urn, each in inputs.items()}


def test_imported_resource_is_the_forgotten_one(lifecycle: Lifecycle) -> None:
    """Its inputs and outputs are the same, and the next run does not change it."""
    keys = ("urn", "id", "inputs", "outputs", "parent")
    assert {key: lifecycle.forgotten_resource[key] for key in keys} == {
        key: lifecycle.imported_resource[key] for key in keys
    }
    assert lifecycle.forgotten_resource["urn"] in lifecycle.smaller_up.urns("same")


def test_removed_component_deletes_only_its_resources(lifecycle: Lifecycle) -> None:
    """Every resource of the component is deleted; all others stay the same."""
    component = {urn for urn in lifecycle.resources if ALERTS in urn}

    assert component
    assert component == lifecycle.smaller_up.urns("delete") == lifecycle.smaller_up.changes


def test_destroy_leaves_no_resource(lifecycle: Lifecycle) -> None:
    """The cloud is empty again."""
    assert lifecycle.ids_after_up
    assert set() == lifecycle.ids_after_destroy


def test_production_refuses_to_be_destroyed(prod_lifecycle: Lifecycle) -> None:
    """Its data is protected: the command names each protected resource, and deletes nothing."""
    assert prod_lifecycle.protected_destroy
    names = {urn.rpartition("::")[2] for urn, each in prod_lifecycle.resources.items() if each.get("protect")}

    assert 4 <= len(names)
    assert all(name in "\n".join(prod_lifecycle.protected_destroy.messages) for name in names)
    assert len(prod_lifecycle.ids_after_protected_destroy) > len(names)


def test_stack_keeps_every_policy(lifecycle: Lifecycle) -> None:
    """Preview and `up` run with the policy pack, which finds no fault."""
    assert {} == lifecycle.preview.violations == lifecycle.up.violations
    assert all("eventfeed" in each.output.partition("Policies:")[2] for each in (lifecycle.preview, lifecycle.up))


def test_second_region_of_an_existing_stack_replaces_nothing(prod_lifecycle: Lifecycle) -> None:
    """The store is updated. A protected database that seemed to be replaced would end the command."""
    preview = prod_lifecycle.region_preview
    assert preview is not None

    assert STORE in {urn.split("::")[2].rpartition("$")[2] for urn in preview.urns("update")}
    assert preview.urns("create")
    assert set() == preview.changes - preview.urns("create", "update")
    assert {} == preview.violations


def test_engine_gives_no_warning(lifecycle: Lifecycle) -> None:
    """It does not warn of versions, of outputs without a value, or of anything else."""
    results = (lifecycle.preview, lifecycle.up, lifecycle.second_up, lifecycle.refresh, lifecycle.next_up)

    assert [] == [message for each in (*results, lifecycle.destroy) for message in each.messages]
    assert not [each.output for each in results if "warning" in each.output]


def test_state_file_contains_no_secret_in_clear(lifecycle: Lifecycle) -> None:
    """Every text that is marked secret, and each of its parts, is in the file in encrypted form only."""
    properties = [[each.get("inputs"), each.get("outputs")] for each in lifecycle.resources.values()]
    values = set(secret_texts(properties))
    secrets = values | {part for text in values for part in parts(text)}

    assert any(each.startswith("-----BEGIN") for each in secrets)
    assert any(each.startswith("InstrumentationKey=") for each in secrets)
    assert len(values) >= 5
    assert [] == [each for each in secrets if json.dumps(each)[1:-1] in lifecycle.state_text]


def parts(text: str) -> Iterator[str]:
    """Yield the values of a connection string that are not addresses, and the words of other secrets."""
    for assignment in text.split(";"):
        name, separator, value = assignment.partition("=")
        if separator and "://" not in value and name.isalpha():
            yield value
    if "=" not in text and "\n" not in text:
        yield from text.split()


def secret_texts(value: Any) -> Iterator[str]:
    """Yield the texts that are marked secret in a value of an exported state."""
    for secret in secret_values(value):
        yield from (each for _, each in plain_leaves(json.loads(secret["plaintext"])) if isinstance(each, str))
