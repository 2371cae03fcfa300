"""Each policy notices what it is there to notice: a run in which one thing was made otherwise."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from tests.infra import test_policies as policies
from tests.infra.recording import Recorded, Recording


class Fault(NamedTuple):
    """In the resources of a type (and name), a value at a path of inputs, or a field of the record, is another one."""

    rule: Callable[[Recording], None]
    stack: str
    token: str
    path: str
    value: Any
    name: str | None = None


FAULTS = (
    Fault(policies.test_no_key_opens_the_store, "prod", "cosmosdb:DatabaseAccount", "disableLocalAuth", False),
    Fault(policies.test_no_key_opens_the_store, "dev", "containerregistry:Registry", "adminUserEnabled", True),
    Fault(
        policies.test_the_service_may_read_and_write_data_and_nothing_more,
        "prod",
        "cosmosdb:SqlResourceSqlRoleAssignment",
        "scope",
        "/subscriptions/…/databaseAccounts/eventfeed",
    ),
    Fault(
        policies.test_the_service_may_read_and_write_data_and_nothing_more,
        "dev",
        "authorization:RoleAssignment",
        "roleDefinitionId",
        "…/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c",
        "vault",
    ),
    Fault(
        policies.test_the_gateway_may_read_one_secret_and_send_what_it_sees,
        "prod",
        "authorization:RoleAssignment",
        "scope",
        "/subscriptions/…/vaults/eventfeed",
        "gateway-secret",
    ),
    Fault(
        policies.test_roles_are_given_to_identities_under_names_that_follow_from_them,
        "dev",
        "authorization:RoleAssignment",
        "principalType",
        "User",
        "registry",
    ),
    Fault(
        policies.test_nothing_but_the_gateway_is_reachable,
        "prod",
        "cosmosdb:DatabaseAccount",
        "publicNetworkAccess",
        "Enabled",
    ),
    Fault(
        policies.test_nothing_but_the_gateway_is_reachable,
        "prod",
        "app:ManagedEnvironment",
        "vnetConfiguration.internal",
        False,
    ),
    Fault(
        policies.test_nothing_but_the_gateway_is_reachable,
        "prod",
        "keyvault:Vault",
        "properties.publicNetworkAccess",
        "Enabled",
    ),
    Fault(policies.test_what_is_closed_is_reached_privately, "prod", "network:PrivateDnsZoneGroup", "", None, "vault"),
    Fault(
        policies.test_within_the_network_only_who_must_comes_in,
        "prod",
        "network:NetworkSecurityGroup",
        "securityRules.0.sourceAddressPrefix",
        "*",
        "endpoints",
    ),
    Fault(policies.test_subnets_are_made_one_after_another, "prod", "network:Subnet", "dependencies", frozenset()),
    Fault(
        policies.test_only_the_gateway_knows_what_opens_the_service,
        "dev",
        "keyvault:Secret",
        "properties.value",
        "told to somebody",
        "gateway",
    ),
    Fault(
        policies.test_every_secret_is_marked_secret, "prod", "keyvault:Secret", "properties.value", "open", "gateway"
    ),
    Fault(
        policies.test_every_secret_is_marked_secret,
        "dev",
        "app:ContainerApp",
        "template.containers.0.env.0.value",
        "a password gateway-2026-12",
    ),
    Fault(
        policies.test_the_container_holds_no_secret_itself,
        "dev",
        "app:ContainerApp",
        "configuration.secrets.0",
        {"name": "gateway", "value": "a password"},
    ),
    Fault(policies.test_data_is_protected_from_deletion, "prod", "cosmosdb:SqlResourceSqlContainer", "protect", False),
    Fault(
        policies.test_data_is_protected_from_deletion,
        "prod",
        "authorization:ManagementLockByScope",
        "level",
        "ReadOnly",
        "store",
    ),
    Fault(policies.test_every_resource_is_tagged, "prod", "app:ContainerApp", "tags.environment", "another"),
    Fault(policies.test_every_resource_is_tagged, "dev", "keyvault:Secret", "tags", {}, "gateway"),
    Fault(policies.test_the_app_waits_for_its_permissions, "dev", "app:ContainerApp", "dependencies", frozenset()),
    Fault(
        policies.test_the_gateway_waits_for_its_permissions,
        "prod",
        "apimanagement:NamedValue",
        "dependencies",
        frozenset(),
    ),
    Fault(
        policies.test_without_servers_no_throughput_is_set,
        "dev",
        "cosmosdb:SqlResourceSqlContainer",
        "options",
        {"throughput": 400},
        "events",
    ),
    Fault(
        policies.test_throughput_grows_and_shrinks_by_itself,
        "prod",
        "cosmosdb:SqlResourceSqlContainer",
        "options.autoscaleSettings.maxThroughput",
        4500,
        "events",
    ),
    Fault(
        policies.test_the_store_is_one_region_with_session_consistency,
        "prod",
        "cosmosdb:DatabaseAccount",
        "consistencyPolicy.defaultConsistencyLevel",
        "Eventual",
    ),
    Fault(
        policies.test_partition_keys_state_their_version,
        "dev",
        "cosmosdb:SqlResourceSqlContainer",
        "resource.partitionKey.version",
        1,
        "control",
    ),
    Fault(
        policies.test_the_image_is_named_by_its_digest,
        "prod",
        "app:ContainerApp",
        "template.containers.0.image",
        "eventfeed.azurecr.io/eventfeed:latest",
    ),
    Fault(policies.test_the_service_is_looked_after, "prod", "app:ContainerApp", "template.containers.0.probes", []),
    Fault(
        policies.test_replicas_are_few_and_grow_by_load,
        "prod",
        "app:ContainerApp",
        "template.scale.minReplicas",
        1,
    ),
    Fault(
        policies.test_traffic_goes_to_revisions_by_weight,
        "prod",
        "app:ContainerApp",
        "configuration.ingress.traffic.0.weight",
        90,
    ),
    Fault(policies.test_what_happens_is_kept_in_the_workspace, "dev", "monitor:DiagnosticSetting", "", None, "store"),
    Fault(policies.test_somebody_is_told, "prod", "monitor:ScheduledQueryRule", "actions.actionGroups", [], "silence"),
    Fault(policies.test_production_notices_every_alert, "prod", "monitor:MetricAlert", "", None, "restarts"),
    Fault(policies.test_everything_is_part_of_a_component, "dev", "keyvault:Secret", "parent", "urn:…:Stack::x"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.rule.__name__}-{fault.token}.{fault.path}")
def test_a_policy_notices(fault: Fault, dev: Recording, prod: Recording) -> None:
    """It holds for what is made, and not for the same with one thing otherwise."""
    run = {"dev": dev, "prod": prod}[fault.stack]
    fault.rule(run)

    with pytest.raises(AssertionError):
        fault.rule(planted(run, fault))


def test_a_question_to_azure_is_noticed(dev: Recording) -> None:
    """Such as the one for an account's keys."""
    faulty = dataclasses.replace(dev, calls=["azure-native:cosmosdb:listDatabaseAccountKeys"])

    with pytest.raises(AssertionError):
        policies.test_no_call_anywhere_returns_a_key(faulty)


def test_every_policy_is_tripped_by_something() -> None:
    """A rule that nothing trips may be no rule."""
    rules = {name for name in vars(policies) if name.startswith("test_")}

    assert rules == {fault.rule.__name__ for fault in FAULTS} | {"test_no_call_anywhere_returns_a_key"}


def planted(run: Recording, fault: Fault) -> Recording:
    """The run with the fault in it; with no path the resource is left out."""
    chosen = {each.urn for each in run.of(fault.token) if fault.name in (None, each.name)}
    assert chosen
    resources = [faulty(each, fault) if each.urn in chosen else each for each in run.resources]
    return dataclasses.replace(run, resources=[each for each in resources if fault.path or each.urn not in chosen])


def faulty(resource: Recorded, fault: Fault) -> Recorded:
    """A resource with one thing otherwise."""
    if fault.path in {field.name for field in dataclasses.fields(Recorded)}:
        return dataclasses.replace(resource, **{fault.path: fault.value})
    keys = fault.path.split(".") if fault.path else []
    return dataclasses.replace(resource, inputs=with_value(resource.inputs, keys, fault.value))


def with_value(properties: Any, keys: list[str], value: Any) -> Any:
    """A copy in which the value at the end of `keys` is another one; numbers are places of lists."""
    if not keys:
        return value if value is not None else properties
    key, *rest = keys
    if isinstance(properties, list):
        place = int(key)
        return [with_value(each, rest, value) if at == place else each for at, each in enumerate(properties)]
    assert isinstance(properties, Mapping)
    return {**properties, key: with_value(properties.get(key, {}), rest, value)}
