"""Policies that the resources of every stack must satisfy. test_policy_mutants.py proves that each can fail."""

import importlib
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.leaves import plain_leaves, secret_values
from tests.infra.mock_run import AZURE, MockRun, RegisteredResource
from tests.infra.simulation.wire import is_secret, reveal

TAGS = {"system": "eventfeed", "managed-by": "pulumi"}
# The types that hold events or signing keys.
DATA_TYPES = (
    "cosmosdb:DatabaseAccount",
    "cosmosdb:SqlResourceSqlDatabase",
    "cosmosdb:SqlResourceSqlContainer",
    "keyvault:Vault",
)
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
DATA_CONTRIBUTOR = "00000000-0000-0000-0000-000000000002"
# Cosmos DB's data plane has role assignments of its own.
SQL_ASSIGNMENT = "cosmosdb:SqlResourceSqlRoleAssignment"


def sdk_parameters(token: str) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of an Azure type in the SDK."""
    module, name = token.removeprefix(AZURE).split(":")
    cls = getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name)
    return inspect.signature(cls._internal_init).parameters


def secrets(value: Any) -> Iterator[str]:
    """Yield every leaf that is marked secret, as a text."""
    for secret in secret_values(value):
        yield from (str(each) for _, each in plain_leaves(reveal(secret)))


def container_app(run: MockRun) -> RegisteredResource:
    """Return the service's container app."""
    return run.one("app:ContainerApp")


def container(run: MockRun) -> Mapping[str, Any]:
    """Return the service's only container."""
    (only,) = container_app(run).plain["template"]["containers"]
    assert isinstance(only, Mapping)
    return only


def service_principal(run: MockRun) -> str:
    """Return the principal id of the service, from its role assignment for the database."""
    return str(run.one(SQL_ASSIGNMENT).plain["principalId"])


def roles_of(run: MockRun, *, service: bool) -> set[tuple[str, str]]:
    """Return role and scope of each role assignment of the service, or of the other principal, the gateway."""
    return {
        (each.plain["roleDefinitionId"].rpartition("/")[2], each.plain["scope"])
        for each in run.of("authorization:RoleAssignment")
        if (each.plain["principalId"] == service_principal(run)) == service
    }


def environment_name(run: MockRun) -> str:
    """Return the name of the stack."""
    return run.resources[0].urn.split("::")[0].rpartition(":")[2]


def test_store_registry_and_workspace_accept_no_key(run: MockRun) -> None:
    """The account's keys, the registry's administrator and the workspace's key are disabled."""
    account = run.one("cosmosdb:DatabaseAccount").plain
    registry = run.one("containerregistry:Registry").plain
    workspace = run.one("operationalinsights:Workspace").plain

    assert (True, True) == (account["disableLocalAuth"], account["disableKeyBasedMetadataWriteAccess"])
    assert (False, False) == (registry["adminUserEnabled"], registry["anonymousPullEnabled"])
    assert workspace["features"]["disableLocalAuth"]
    assert "EVENTFEED_COSMOS_KEY" not in {each["name"] for each in container(run)["env"]}


def test_service_roles_are_the_least_it_needs(run: MockRun) -> None:
    """The service may use the data of one database, read its secrets, pull its image and publish metrics."""
    (assignment,) = run.of(SQL_ASSIGNMENT)
    account = run.one("cosmosdb:DatabaseAccount").id
    minimum = {
        (SECRETS_USER, run.one("keyvault:Vault").id),
        (ACR_PULL, run.one("containerregistry:Registry").id),
        (METRICS_PUBLISHER, run.one("applicationinsights:Component").id),
    }

    assert f"{account}/sqlRoleDefinitions/{DATA_CONTRIBUTOR}" == assignment.plain["roleDefinitionId"]
    assert f"{account}/dbs/eventfeed" == assignment.plain["scope"]
    assert minimum == roles_of(run, service=True)


def test_gateway_roles_are_the_least_it_needs(run: MockRun) -> None:
    """The gateway's own identity may publish metrics, and has no access to store and vault."""
    assert {(METRICS_PUBLISHER, run.one("applicationinsights:Component").id)} == roles_of(run, service=False)


def test_role_assignment_names_are_derived_from_the_grant(run: MockRun) -> None:
    """Each name is a UUID of version 5, so that a changed grant is a new assignment; no principal is a person."""
    assignments = run.of("authorization:RoleAssignment")
    names = [each.plain["roleAssignmentName"] for each in assignments]

    assert {"ServicePrincipal"} == {each.plain["principalType"] for each in assignments}
    assert len(assignments) == len(set(names))
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", name) for name in names)


def test_only_the_gateway_has_public_network_access(prod: MockRun) -> None:
    """Every type that supports it has public network access disabled, except the gateway."""
    supporting_types = [each for each in prod.azure if "public_network_access" in sdk_parameters(each.token)]
    vault = prod.one("keyvault:Vault").plain["properties"]
    access = {each.token.removeprefix(AZURE): each.plain.get("publicNetworkAccess") for each in supporting_types}

    assert access == {
        "cosmosdb:DatabaseAccount": "Disabled",
        "containerregistry:Registry": "Disabled",
        "app:ManagedEnvironment": "Disabled",
        "apimanagement:ApiManagementService": "Enabled",
    }
    assert ("Disabled", "Deny") == (vault["publicNetworkAccess"], vault["networkAcls"]["defaultAction"])
    assert prod.one("app:ManagedEnvironment").plain["vnetConfiguration"]["internal"]


def test_private_resources_have_an_endpoint_and_a_dns_zone(prod: MockRun) -> None:
    """Store, vault and registry have a private endpoint, and a zone of the network that resolves their name to it."""
    private_ids = {
        prod.one(each).id for each in ("cosmosdb:DatabaseAccount", "keyvault:Vault", "containerregistry:Registry")
    }
    endpoints = {
        each.plain["privateLinkServiceConnections"][0]["privateLinkServiceId"]: each.id
        for each in prod.of("network:PrivateEndpoint")
    }
    zones = {
        each.id.rpartition("/privateDnsZoneGroups/")[0]: each.plain["privateDnsZoneConfigs"][0]["privateDnsZoneId"]
        for each in prod.of("network:PrivateDnsZoneGroup")
    }
    network_zones = {
        each.id.rpartition("/virtualNetworkLinks/")[0] for each in prod.of("privatedns:VirtualNetworkLink")
    }

    assert private_ids == endpoints.keys()
    assert set(endpoints.values()) == zones.keys()
    assert set(zones.values()) < network_zones
    assert {each.id for each in prod.of("privatedns:PrivateZone")} == network_zones


def test_subnets_accept_only_listed_sources(prod: MockRun) -> None:
    """Every subnet has a security group that allows listed sources, never the internet, and denies the rest."""
    groups = {each.id: each.plain["securityRules"] for each in prod.of("network:NetworkSecurityGroup")}
    subnets = {each.name: each.plain for each in prod.of("network:Subnet")}
    sources = {
        name: {rule["sourceAddressPrefix"] for rule in groups[each["networkSecurityGroup"]["id"]][:-1]}
        for name, each in subnets.items()
    }
    last_rules = [groups[each["networkSecurityGroup"]["id"]][-1] for each in subnets.values()]
    gateway, apps = subnets["gateway"]["addressPrefix"], subnets["apps"]["addressPrefix"]

    assert {"apps": {gateway, apps, "AzureLoadBalancer"}, "endpoints": {apps}, "gateway": set()} == sources
    assert {("Deny", "*", "0-65535", 4096)} == {
        (each["access"], each["sourceAddressPrefix"], *each["destinationPortRanges"], each["priority"])
        for each in last_rules
    }


def test_subnets_are_created_one_after_another(prod: MockRun) -> None:
    """Each is a resource of its own: listed in the network's inputs, they would be deleted by its next update."""
    subnets = prod.of("network:Subnet")

    assert "subnets" not in prod.one("network:VirtualNetwork").plain
    assert all(before.urn in after.dependencies for before, after in itertools.pairwise(subnets))


def test_gateway_secret_is_read_only_by_gateway_and_service(run: MockRun) -> None:
    """The password is generated. The service reads it from the vault; the gateway has it as a secret named value."""
    accepted_value = run.one("keyvault:Secret", "gateway").plain["properties"]["value"]
    (password,) = [each for each in run.resources if each.token.endswith(":RandomPassword")]
    named_value = run.one("apimanagement:NamedValue").plain
    env = {each["name"]: each for each in container(run)["env"]}
    app_secrets = {each["name"]: each for each in container_app(run).plain["configuration"]["secrets"]}

    assert "a password gateway-2026-12" == accepted_value == named_value["value"]
    assert password.plain["length"] >= 32
    assert {"name": "EVENTFEED_GATEWAY_SECRET", "secretRef": "gateway"} == env["EVENTFEED_GATEWAY_SECRET"]
    assert named_value["secret"]
    assert app_secrets["gateway"]["keyVaultUrl"].endswith("/secrets/gateway")


def test_secret_values_are_marked_secret_everywhere(run: MockRun) -> None:
    """A value that is secret in one place is secret in all inputs and in the stack's outputs."""
    values = {value for each in run.resources for value in secrets(each.inputs)} | {"a private key", "a password"}
    leaks = [
        f"{each.name}{path}"
        for each in run.resources
        for path, leaf in plain_leaves(each.inputs)
        if any(value in str(leaf) for value in values)
    ]
    leaks += [path for path, leaf in plain_leaves(run.outputs) if any(value in str(leaf) for value in values)]

    assert [] == leaks
    assert all(is_secret(each.inputs["properties"]["value"]) for each in run.of("keyvault:Secret"))
    assert len(values) >= 3


def test_container_app_inputs_contain_no_secret(run: MockRun) -> None:
    """The app refers to the vault's secrets by its identity, so no output of the app becomes secret."""
    identity = run.one("managedidentity:UserAssignedIdentity").id
    app_secrets = container_app(run).inputs["configuration"]["secrets"]
    keys = {"name", "keyVaultUrl", "identity"}

    assert [] == list(secrets(container_app(run).inputs))
    assert all(keys == each.keys() and each["identity"] == identity for each in app_secrets)
    assert {each["name"] for each in app_secrets} == {each.name for each in run.of("keyvault:Secret")}


def test_production_data_is_protected_from_deletion(prod: MockRun) -> None:
    """Pulumi and a lock in Azure refuse the deletion, and there are continuous backups."""
    not_protected = [each.urn for token in DATA_TYPES for each in prod.of(token) if not each.protect]
    locks = {each.plain["scope"]: each.plain["level"] for each in prod.of("authorization:ManagementLockByScope")}
    account, vault = prod.one("cosmosdb:DatabaseAccount"), prod.one("keyvault:Vault")
    backup = account.plain["backupPolicy"]

    assert [] == not_protected
    assert {account.id: "CanNotDelete", vault.id: "CanNotDelete"} == locks
    assert ("Continuous", "Continuous7Days") == (backup["type"], backup["continuousModeProperties"]["tier"])
    assert vault.plain["properties"]["enableSoftDelete"]
    assert vault.plain["properties"]["enablePurgeProtection"]


def test_resources_that_support_tags_have_all_tags(run: MockRun) -> None:
    """The tags name the system, the environment and the tool."""
    tags = {*TAGS.items(), ("environment", environment_name(run))}
    without_tags = [
        each.urn
        for each in run.azure
        if "tags" in sdk_parameters(each.token)
        and "Mapping" in str(sdk_parameters(each.token)["tags"].annotation)
        and not tags <= set(each.plain.get("tags", {}).items())
    ]

    assert [] == without_tags


def test_container_app_depends_on_its_roles_and_names(run: MockRun) -> None:
    """The app depends on its role assignments, DNS records, secrets and the containers of the log."""
    prerequisites = [
        each.urn
        for each in run.azure
        if each.token.removeprefix(AZURE)
        in {
            SQL_ASSIGNMENT,
            "cosmosdb:SqlResourceSqlContainer",
            "keyvault:Secret",
            "network:PrivateDnsZoneGroup",
            "privatedns:PrivateRecordSet",
        }
    ]
    prerequisites += [
        each.urn
        for each in run.of("authorization:RoleAssignment")
        if each.plain["principalId"] == service_principal(run)
    ]

    assert set() == set(prerequisites) - container_app(run).dependencies
    assert len(prerequisites) >= 9


def test_gateway_resources_depend_on_its_roles(run: MockRun) -> None:
    """The logger is created after the role assignment that it uses."""
    (assignment,) = [
        each for each in run.of("authorization:RoleAssignment") if each.plain["principalId"] != service_principal(run)
    ]

    assert assignment.urn in run.one("apimanagement:Logger", "insights").dependencies


def test_program_calls_no_azure_function(run: MockRun) -> None:
    """A function could return a key; the program only registers resources."""
    assert [] == list(run.calls)


def test_serverless_account_has_no_throughput(dev: MockRun) -> None:
    """Azure rejects a throughput there, on the database and on containers, and more than one region."""
    account = dev.one("cosmosdb:DatabaseAccount").plain
    with_options = [
        each.name
        for token in ("cosmosdb:SqlResourceSqlDatabase", "cosmosdb:SqlResourceSqlContainer")
        for each in dev.of(token)
        if each.plain.get("options")
    ]

    assert [{"name": "EnableServerless"}] == account["capabilities"]
    assert [] == with_options
    assert 1 == len(account["locations"])


def test_production_containers_have_autoscale_throughput(prod: MockRun) -> None:
    """Each container has its own: Azure does not allow a later change from shared or manual throughput."""
    options = [each.plain["options"] for each in prod.of("cosmosdb:SqlResourceSqlContainer")]
    maxima = [each["autoscaleSettings"]["maxThroughput"] for each in options]

    assert [] == prod.one("cosmosdb:DatabaseAccount").plain["capabilities"]
    assert not prod.one("cosmosdb:SqlResourceSqlDatabase").plain.get("options")
    assert [["autoscaleSettings"]] * 3 == [list(each) for each in options]
    # The owners of instances need a twentieth of the commits, and each container at least the step.
    assert [4000, 1000, 1000] == maxima


def test_each_partition_scales_alone_in_production_only(run: MockRun) -> None:
    """Otherwise every partition is paid as if it were the newest. A serverless account has no autoscale."""
    is_on = run.one("cosmosdb:DatabaseAccount").plain["enablePerRegionPerPartitionAutoscale"]

    assert is_on == (environment_name(run) == "prod")


def test_store_has_one_region_and_session_consistency(run: MockRun) -> None:
    """A failover to a second region could lose the newest events. TLS 1.2 is the minimum."""
    account = run.one("cosmosdb:DatabaseAccount").plain
    (region,) = account["locations"]

    assert 0 == region["failoverPriority"]
    assert (False, False) == (account["enableMultipleWriteLocations"], account["enableAutomaticFailover"])
    assert "Session" == account["consistencyPolicy"]["defaultConsistencyLevel"]
    assert "Tls12" == account["minimalTlsVersion"]
    assert "Continuous" == account["backupPolicy"]["type"]


def test_partition_keys_have_an_explicit_version(run: MockRun) -> None:
    """Without a version, Azure reports a conflict when the same container is written again."""
    keys = [each.plain["resource"]["partitionKey"] for each in run.of("cosmosdb:SqlResourceSqlContainer")]

    assert [("Hash", 2)] * 3 == [(each["kind"], each["version"]) for each in keys]


def test_image_reference_is_a_digest_in_the_registry(run: MockRun) -> None:
    """The image is in the stack's own registry and pulled by the service's identity, without a password."""
    (registry,) = container_app(run).plain["configuration"]["registries"]
    identity = run.one("managedidentity:UserAssignedIdentity").id
    image = container(run)["image"]

    assert re.fullmatch(r"[a-z0-9]+\.azurecr\.io/eventfeed@sha256:[0-9a-f]{64}", image)
    assert {"server": image.partition("/")[0], "identity": identity} == registry


def test_container_has_startup_liveness_and_readiness_probes(run: MockRun) -> None:
    """Each probe requests the health endpoint of its purpose."""
    probes = {each["type"]: each["httpGet"]["path"] for each in container(run)["probes"]}

    assert {"Startup": "/health/live", "Liveness": "/health/live", "Readiness": "/health/ready"} == probes


def test_replicas_scale_by_one_rule_within_bounds(run: MockRun) -> None:
    """By CPU in production, since waiting polls are no load; by requests in development."""
    scale = container_app(run).plain["template"]["scale"]
    (rule,) = scale["rules"]
    bounds, kind = {"dev": ((1, 2), "http"), "prod": ((2, 6), "custom")}[environment_name(run)]

    assert bounds == (scale["minReplicas"], scale["maxReplicas"])
    assert kind in rule
    assert kind == "http" or "cpu" == rule["custom"]["type"]


def test_traffic_weights_of_revisions_add_up(run: MockRun) -> None:
    """The newest revision gets all traffic that a stable one does not get; plain HTTP is refused."""
    configuration = container_app(run).plain["configuration"]
    traffic = configuration["ingress"]["traffic"]

    assert "Multiple" == configuration["activeRevisionsMode"]
    assert 100 == sum(each["weight"] for each in traffic)
    assert traffic[0]["latestRevision"]
    assert not configuration["ingress"]["allowInsecure"]


def test_logs_and_traces_go_to_the_workspace(run: MockRun) -> None:
    """Logs of every service that has some; traces and logs by the agent, which accepts no metrics."""
    workspace = run.one("operationalinsights:Workspace").id
    targets = {each.plain["resourceUri"]: each.plain["workspaceId"] for each in run.of("monitor:DiagnosticSetting")}
    tokens = ["cosmosdb:DatabaseAccount", "keyvault:Vault", "containerregistry:Registry", "app:ManagedEnvironment"]
    tokens += ["apimanagement:ApiManagementService"]
    agent = run.one("app:ManagedEnvironment").plain["openTelemetryConfiguration"]

    assert {run.one(each).id: workspace for each in tokens} == targets
    assert {
        "tracesConfiguration": {"destinations": ["appInsights"]},
        "logsConfiguration": {"destinations": ["appInsights"]},
    } == agent


def test_alerts_and_budget_notify_the_operator(run: MockRun) -> None:
    """Every alert uses the action group with the operator's address, and the budget covers the resource group."""
    group = run.one("monitor:ActionGroup")
    query_actions = [each.plain["actions"]["actionGroups"] for each in run.of("monitor:ScheduledQueryRule")]
    metric_actions = [
        [action["actionGroupId"] for action in each.plain["actions"]] for each in run.of("monitor:MetricAlert")
    ]
    budget = run.one("consumption:Budget").plain

    assert [[group.id]] * len(query_actions + metric_actions) == query_actions + metric_actions
    assert len(query_actions) >= 2
    assert ["drift@example.no"] == [each["emailAddress"] for each in group.plain["emailReceivers"]]
    assert {"Actual", "Forecasted"} == {each["thresholdType"] for each in budget["notifications"].values()}
    assert run.one("resources:ResourceGroup").id == budget["scope"]


def test_production_has_every_alert(prod: MockRun) -> None:
    """All alerts of the service's telemetry, and alerts for availability from outside and for restarts."""
    gateway = prod.one("apimanagement:ApiManagementService")
    availability_test = prod.one("applicationinsights:WebTest").plain
    url = f"https://{gateway.id.rpartition('/')[2]}.azure-api.net/health/ready"

    assert 9 == len(prod.of("monitor:ScheduledQueryRule"))
    assert {"away", "restarts"} == {each.name for each in prod.of("monitor:MetricAlert")}
    assert url == availability_test["request"]["requestUrl"]
    assert len(availability_test["locations"]) >= 5


def test_resources_belong_to_a_component(run: MockRun) -> None:
    """The only exception is the resource group."""
    without_component = [each.token for each in run.azure if "eventfeed:infra:" not in each.parent]

    assert ["azure-native:resources:ResourceGroup"] == without_component
