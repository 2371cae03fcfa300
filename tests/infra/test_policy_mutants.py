"""Mutants of the policies' input: each policy fails for a run in which one resource differs."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from tests.infra import test_policies as policies
from tests.infra.mock_run import MockRun, RegisteredResource


class ResourceMutation(NamedTuple):
    """A new value for an input, by its path, or for a field of the resources of a type, and of a name if one is set.

    An empty path removes the resource.
    """

    policy: Callable[[MockRun], None]
    stack: str
    token: str
    path: str
    value: Any
    name: str | None = None


MUTATIONS = (
    ResourceMutation(
        policies.test_store_registry_and_workspace_accept_no_key,
        "prod",
        "cosmosdb:DatabaseAccount",
        "disableLocalAuth",
        False,
    ),
    ResourceMutation(
        policies.test_store_registry_and_workspace_accept_no_key,
        "dev",
        "containerregistry:Registry",
        "adminUserEnabled",
        True,
    ),
    ResourceMutation(
        policies.test_service_roles_are_the_least_it_needs,
        "prod",
        "cosmosdb:SqlResourceSqlRoleAssignment",
        "scope",
        "/subscriptions/…/databaseAccounts/eventfeed",
    ),
    ResourceMutation(
        policies.test_service_roles_are_the_least_it_needs,
        "dev",
        "authorization:RoleAssignment",
        "roleDefinitionId",
        "…/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c",
        "vault",
    ),
    ResourceMutation(
        policies.test_gateway_roles_are_the_least_it_needs,
        "prod",
        "authorization:RoleAssignment",
        "scope",
        "/subscriptions/…/vaults/eventfeed",
        "gateway-telemetry",
    ),
    ResourceMutation(
        policies.test_role_assignment_names_are_derived_from_the_grant,
        "dev",
        "authorization:RoleAssignment",
        "principalType",
        "User",
        "registry",
    ),
    ResourceMutation(
        policies.test_only_the_gateway_has_public_network_access,
        "prod",
        "cosmosdb:DatabaseAccount",
        "publicNetworkAccess",
        "Enabled",
    ),
    ResourceMutation(
        policies.test_only_the_gateway_has_public_network_access,
        "prod",
        "app:ManagedEnvironment",
        "vnetConfiguration.internal",
        False,
    ),
    ResourceMutation(
        policies.test_only_the_gateway_has_public_network_access,
        "prod",
        "keyvault:Vault",
        "properties.publicNetworkAccess",
        "Enabled",
    ),
    ResourceMutation(
        policies.test_private_resources_have_an_endpoint_and_a_dns_zone,
        "prod",
        "network:PrivateDnsZoneGroup",
        "",
        None,
        "vault",
    ),
    ResourceMutation(
        policies.test_subnets_accept_only_listed_sources,
        "prod",
        "network:NetworkSecurityGroup",
        "securityRules.0.sourceAddressPrefix",
        "*",
        "endpoints",
    ),
    ResourceMutation(
        policies.test_subnets_are_created_one_after_another, "prod", "network:Subnet", "dependencies", frozenset()
    ),
    ResourceMutation(
        policies.test_gateway_secret_is_read_only_by_gateway_and_service,
        "dev",
        "keyvault:Secret",
        "properties.value",
        "another password",
        "gateway",
    ),
    ResourceMutation(
        policies.test_secret_values_are_marked_secret_everywhere,
        "prod",
        "keyvault:Secret",
        "properties.value",
        "open",
        "gateway",
    ),
    ResourceMutation(
        policies.test_secret_values_are_marked_secret_everywhere,
        "dev",
        "app:ContainerApp",
        "template.containers.0.env.0.value",
        "a password gateway-2026-12",
    ),
    ResourceMutation(
        policies.test_container_app_inputs_contain_no_secret,
        "dev",
        "app:ContainerApp",
        "configuration.secrets.0",
        {"name": "gateway", "value": "a password"},
    ),
    ResourceMutation(
        policies.test_production_data_is_protected_from_deletion,
        "prod",
        "cosmosdb:SqlResourceSqlContainer",
        "protect",
        False,
    ),
    ResourceMutation(
        policies.test_production_data_is_protected_from_deletion,
        "prod",
        "authorization:ManagementLockByScope",
        "level",
        "ReadOnly",
        "store",
    ),
    ResourceMutation(
        policies.test_resources_that_support_tags_have_all_tags,
        "prod",
        "app:ContainerApp",
        "tags.environment",
        "another",
    ),
    ResourceMutation(
        policies.test_resources_that_support_tags_have_all_tags, "dev", "keyvault:Secret", "tags", {}, "gateway"
    ),
    ResourceMutation(
        policies.test_container_app_depends_on_its_roles_and_names,
        "dev",
        "app:ContainerApp",
        "dependencies",
        frozenset(),
    ),
    ResourceMutation(
        policies.test_gateway_resources_depend_on_its_roles,
        "prod",
        "apimanagement:Logger",
        "dependencies",
        frozenset(),
    ),
    ResourceMutation(
        policies.test_serverless_account_has_no_throughput,
        "dev",
        "cosmosdb:SqlResourceSqlContainer",
        "options",
        {"throughput": 400},
        "commits",
    ),
    ResourceMutation(
        policies.test_production_containers_have_autoscale_throughput,
        "prod",
        "cosmosdb:SqlResourceSqlContainer",
        "options.autoscaleSettings.maxThroughput",
        4500,
        "commits",
    ),
    ResourceMutation(
        policies.test_each_partition_scales_alone_in_production_only,
        "prod",
        "cosmosdb:DatabaseAccount",
        "enablePerRegionPerPartitionAutoscale",
        False,
    ),
    ResourceMutation(
        policies.test_store_has_one_region_and_session_consistency,
        "prod",
        "cosmosdb:DatabaseAccount",
        "consistencyPolicy.defaultConsistencyLevel",
        "Eventual",
    ),
    ResourceMutation(
        policies.test_partition_keys_have_an_explicit_version,
        "dev",
        "cosmosdb:SqlResourceSqlContainer",
        "resource.partitionKey.version",
        1,
        "records",
    ),
    ResourceMutation(
        policies.test_image_reference_is_a_digest_in_the_registry,
        "prod",
        "app:ContainerApp",
        "template.containers.0.image",
        "eventfeed.azurecr.io/eventfeed:latest",
    ),
    ResourceMutation(
        policies.test_container_has_startup_liveness_and_readiness_probes,
        "prod",
        "app:ContainerApp",
        "template.containers.0.probes",
        [],
    ),
    ResourceMutation(
        policies.test_replicas_scale_by_one_rule_within_bounds,
        "prod",
        "app:ContainerApp",
        "template.scale.minReplicas",
        1,
    ),
    ResourceMutation(
        policies.test_traffic_weights_of_revisions_add_up,
        "prod",
        "app:ContainerApp",
        "configuration.ingress.traffic.0.weight",
        90,
    ),
    ResourceMutation(
        policies.test_logs_and_traces_go_to_the_workspace, "dev", "monitor:DiagnosticSetting", "", None, "store"
    ),
    ResourceMutation(
        policies.test_alerts_and_budget_notify_the_operator,
        "prod",
        "monitor:ScheduledQueryRule",
        "actions.actionGroups",
        [],
        "silence",
    ),
    ResourceMutation(policies.test_production_has_every_alert, "prod", "monitor:MetricAlert", "", None, "restarts"),
    ResourceMutation(
        policies.test_resources_belong_to_a_component, "dev", "keyvault:Secret", "parent", "urn:…:Stack::x"
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: f"{each.policy.__name__}-{each.token}.{each.path}")
def test_policy_fails_for_a_mutated_run(mutation: ResourceMutation, dev: MockRun, prod: MockRun) -> None:
    """The policy passes for the real run and fails for the mutated one."""
    run = {"dev": dev, "prod": prod}[mutation.stack]
    mutation.policy(run)

    with pytest.raises(AssertionError):
        mutation.policy(mutate(run, mutation))


def test_policy_fails_for_a_function_call(dev: MockRun) -> None:
    """A call that returns an account's keys is detected."""
    mutant = dataclasses.replace(dev, calls=["azure-native:cosmosdb:listDatabaseAccountKeys"])

    with pytest.raises(AssertionError):
        policies.test_program_calls_no_azure_function(mutant)


def test_every_policy_has_a_mutation() -> None:
    """A policy that no mutation breaks may test nothing."""
    names = {name for name in vars(policies) if name.startswith("test_")}

    assert names == {each.policy.__name__ for each in MUTATIONS} | {"test_program_calls_no_azure_function"}


def mutate(run: MockRun, mutation: ResourceMutation) -> MockRun:
    """Return the run with the mutation applied."""
    urns = {each.urn for each in run.of(mutation.token) if mutation.name in (None, each.name)}
    assert urns
    resources = [mutate_resource(each, mutation) if each.urn in urns else each for each in run.resources]
    return dataclasses.replace(run, resources=[each for each in resources if mutation.path or each.urn not in urns])


def mutate_resource(resource: RegisteredResource, mutation: ResourceMutation) -> RegisteredResource:
    """Return the resource with a new value at the mutation's path."""
    if mutation.path in {field.name for field in dataclasses.fields(RegisteredResource)}:
        return dataclasses.replace(resource, **{mutation.path: mutation.value})
    keys = mutation.path.split(".") if mutation.path else []
    return dataclasses.replace(resource, inputs=with_value(resource.inputs, keys, mutation.value))


def with_value(properties: Any, keys: list[str], value: Any) -> Any:
    """Return a copy with `value` at the end of `keys`, which are names of properties and indexes of lists."""
    if not keys:
        return value if value is not None else properties
    key, *rest = keys
    if isinstance(properties, list):
        return [with_value(each, rest, value) if index == int(key) else each for index, each in enumerate(properties)]
    assert isinstance(properties, Mapping)
    return {**properties, key: with_value(properties.get(key, {}), rest, value)}
