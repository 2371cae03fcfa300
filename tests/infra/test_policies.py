"""What must be true of all that is made, whatever the program looks like. Each rule is tripped in test_planted."""

import importlib
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.recording import AZURE, Recorded, Recording
from tests.infra.simulation.wire import is_secret, reveal

TAGS = {"system": "eventfeed", "managed-by": "pulumi"}
# What holds events or the keys that sign for them.
DATA = (
    "cosmosdb:DatabaseAccount",
    "cosmosdb:SqlResourceSqlDatabase",
    "cosmosdb:SqlResourceSqlContainer",
    "keyvault:Vault",
)
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
DATA_CONTRIBUTOR = "00000000-0000-0000-0000-000000000002"
# Cosmos DB's own assignments are no resources of Azure's access control.
SQL_ASSIGNMENT = "cosmosdb:SqlResourceSqlRoleAssignment"


def inputs_of(token: str) -> Mapping[str, inspect.Parameter]:
    """What a type of Azure's can be given, by the SDK."""
    module, name = token.removeprefix(AZURE).split(":")
    made = getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name)
    return inspect.signature(made._internal_init).parameters


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in inputs that is not marked secret, with its path."""
    if is_secret(value):
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, f"{path}[]")
    else:
        yield path, value


def secrets(value: Any) -> Iterator[str]:
    """Every value in inputs that is marked secret."""
    if is_secret(value):
        yield from (str(each) for _, each in leaves(reveal(value)))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from secrets(each)
    elif isinstance(value, list):
        for each in value:
            yield from secrets(each)


def app(recording: Recording) -> Recorded:
    """The service."""
    return recording.one("app:ContainerApp")


def container(recording: Recording) -> Mapping[str, Any]:
    """The service's only container."""
    (found,) = app(recording).plain["template"]["containers"]
    assert isinstance(found, Mapping)
    return found


def principal(recording: Recording) -> str:
    """Who the service is, as its role for the database says."""
    return str(recording.one(SQL_ASSIGNMENT).plain["principalId"])


def test_no_key_opens_the_store(recording: Recording) -> None:
    """Neither a key of the account, nor the registry's administrator, nor the workspace's key."""
    account = recording.one("cosmosdb:DatabaseAccount").plain
    registry = recording.one("containerregistry:Registry").plain
    workspace = recording.one("operationalinsights:Workspace").plain

    assert (True, True) == (account["disableLocalAuth"], account["disableKeyBasedMetadataWriteAccess"])
    assert (False, False) == (registry["adminUserEnabled"], registry["anonymousPullEnabled"])
    assert workspace["features"]["disableLocalAuth"]
    assert "EVENTFEED_COSMOS_KEY" not in {each["name"] for each in container(recording)["env"]}


def test_the_service_may_read_and_write_data_and_nothing_more(recording: Recording) -> None:
    """In this one database; besides, it reads its secrets, pulls its image and sends measurements."""
    (granted,) = recording.of(SQL_ASSIGNMENT)
    roles = {
        (each.plain["roleDefinitionId"].rpartition("/")[2], each.plain["scope"])
        for each in recording.of("authorization:RoleAssignment")
        if each.plain["principalId"] == principal(recording)
    }
    wanted = {
        (SECRETS_USER, recording.one("keyvault:Vault").id),
        (ACR_PULL, recording.one("containerregistry:Registry").id),
        (METRICS_PUBLISHER, recording.one("applicationinsights:Component").id),
    }
    account = recording.one("cosmosdb:DatabaseAccount").id

    assert f"{account}/sqlRoleDefinitions/{DATA_CONTRIBUTOR}" == granted.plain["roleDefinitionId"]
    assert f"{account}/dbs/eventfeed" == granted.plain["scope"]
    assert wanted == roles


def test_the_gateway_may_read_one_secret_and_send_what_it_sees(recording: Recording) -> None:
    """It has an identity of its own, without a word of the store."""
    gateway = {
        (each.plain["roleDefinitionId"].rpartition("/")[2], each.plain["scope"])
        for each in recording.of("authorization:RoleAssignment")
        if each.plain["principalId"] != principal(recording)
    }
    wanted = {
        (SECRETS_USER, recording.one("keyvault:Secret", "gateway-says").id),
        (METRICS_PUBLISHER, recording.one("applicationinsights:Component").id),
    }

    assert wanted == gateway


def test_roles_are_given_to_identities_under_names_that_follow_from_them(recording: Recording) -> None:
    """So that one that changes is another one; and none is given to a person."""
    given = recording.of("authorization:RoleAssignment")
    names = [each.plain["roleAssignmentName"] for each in given]

    assert {"ServicePrincipal"} == {each.plain["principalType"] for each in given}
    assert len(given) == len(set(names))
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", name) for name in names)


def test_nothing_but_the_gateway_is_reachable(prod: Recording) -> None:
    """Whatever can be closed to the world is, and is reached by a private endpoint under its own name."""
    closable = [each for each in prod.azure if "public_network_access" in inputs_of(each.token)]
    vault = prod.one("keyvault:Vault").plain["properties"]
    closed = {each.token.removeprefix(AZURE): each.plain.get("publicNetworkAccess") for each in closable}

    assert closed == {
        "cosmosdb:DatabaseAccount": "Disabled",
        "containerregistry:Registry": "Disabled",
        "app:ManagedEnvironment": "Disabled",
        "apimanagement:ApiManagementService": "Enabled",
    }
    assert ("Disabled", "Deny") == (vault["publicNetworkAccess"], vault["networkAcls"]["defaultAction"])
    assert prod.one("app:ManagedEnvironment").plain["vnetConfiguration"]["internal"]


def test_what_is_closed_is_reached_privately(prod: Recording) -> None:
    """Store, vault and registry each have an endpoint in the network, and a zone in which its name leads there."""
    closed = {
        prod.one(each).id for each in ("cosmosdb:DatabaseAccount", "keyvault:Vault", "containerregistry:Registry")
    }
    ways = {
        each.plain["privateLinkServiceConnections"][0]["privateLinkServiceId"]: each.id
        for each in prod.of("network:PrivateEndpoint")
    }
    named = {
        each.id.rpartition("/privateDnsZoneGroups/")[0]: each.plain["privateDnsZoneConfigs"][0]["privateDnsZoneId"]
        for each in prod.of("network:PrivateDnsZoneGroup")
    }
    linked = {each.id.rpartition("/virtualNetworkLinks/")[0] for each in prod.of("privatedns:VirtualNetworkLink")}

    assert closed == ways.keys()
    assert set(ways.values()) == named.keys()
    assert set(named.values()) < linked
    assert {each.id for each in prod.of("privatedns:PrivateZone")} == linked


def test_within_the_network_only_who_must_comes_in(prod: Recording) -> None:
    """Every subnet has a guard that lets in who is listed, never the internet, and nobody else."""
    guards = {each.id: each.plain["securityRules"] for each in prod.of("network:NetworkSecurityGroup")}
    subnets = {each.name: each.plain for each in prod.of("network:Subnet")}
    comers = {
        name: {rule["sourceAddressPrefix"] for rule in guards[each["networkSecurityGroup"]["id"]][:-1]}
        for name, each in subnets.items()
    }
    last = [guards[each["networkSecurityGroup"]["id"]][-1] for each in subnets.values()]
    gateway, apps = subnets["gateway"]["addressPrefix"], subnets["apps"]["addressPrefix"]

    assert {"apps": {gateway, apps, "AzureLoadBalancer"}, "endpoints": {apps, gateway}, "gateway": set()} == comers
    assert {("Deny", "*", "0-65535", 4096)} == {
        (each["access"], each["sourceAddressPrefix"], *each["destinationPortRanges"], each["priority"]) for each in last
    }


def test_subnets_are_made_one_after_another(prod: Recording) -> None:
    """Each for itself and none in the network's own inputs, which would take the others away."""
    subnets = prod.of("network:Subnet")

    assert "subnets" not in prod.one("network:VirtualNetwork").plain
    assert all(before.urn in after.dependencies for before, after in itertools.pairwise(subnets))


def test_only_the_gateway_knows_what_opens_the_service(recording: Recording) -> None:
    """A secret that is made here, kept in the vault, taken from there by both, and told to nobody else."""
    kept, said = (recording.one("keyvault:Secret", each).plain["properties"] for each in ("gateway", "gateway-says"))
    (password,) = [each for each in recording.resources if each.token.endswith(":RandomPassword")]
    value = recording.one("apimanagement:NamedValue").plain
    env = {each["name"]: each for each in container(recording)["env"]}
    read = {each["name"]: each for each in app(recording).plain["configuration"]["secrets"]}

    assert "a password gateway-2026-12" == kept["value"] == said["value"]
    assert password.plain["length"] >= 32
    assert {"name": "EVENTFEED_GATEWAY_SECRET", "secretRef": "gateway"} == env["EVENTFEED_GATEWAY_SECRET"]
    assert value["secret"]
    assert value["keyVault"]["secretIdentifier"].endswith("/secrets/gateway-says")
    assert read["gateway"]["keyVaultUrl"].endswith("/secrets/gateway")


def test_every_secret_is_marked_secret(recording: Recording) -> None:
    """Wherever a value is that is secret in one place, it is secret in all, the outputs included."""
    told = {value for each in recording.resources for value in secrets(each.inputs)}
    told |= {"a private key", "a password"}
    shown = [
        f"{each.name}{path}"
        for each in recording.resources
        for path, value in leaves(each.inputs)
        if any(secret in str(value) for secret in told)
    ]
    shown += [path for path, value in leaves(recording.outputs) if any(secret in str(value) for secret in told)]

    assert [] == shown
    assert all(is_secret(each.inputs["properties"]["value"]) for each in recording.of("keyvault:Secret"))
    assert len(told) >= 3


def test_the_container_holds_no_secret_itself(recording: Recording) -> None:
    """All come from the vault by the service's identity, so nothing that is read from the app becomes secret."""
    identity = recording.one("managedidentity:UserAssignedIdentity").id
    read = app(recording).inputs["configuration"]["secrets"]

    assert [] == list(secrets(app(recording).inputs))
    assert all({"name", "keyVaultUrl", "identity"} == each.keys() and each["identity"] == identity for each in read)
    assert {each["name"] for each in read} == {each.name for each in recording.of("keyvault:Secret")} - {"gateway-says"}


def test_data_is_protected_from_deletion(prod: Recording) -> None:
    """By Pulumi, by a lock in Azure, and by copies of what was."""
    unprotected = [each.urn for token in DATA for each in prod.of(token) if not each.protect]
    locked = {each.plain["scope"]: each.plain["level"] for each in prod.of("authorization:ManagementLockByScope")}
    account, vault = prod.one("cosmosdb:DatabaseAccount"), prod.one("keyvault:Vault")
    backup = account.plain["backupPolicy"]

    assert [] == unprotected
    assert {account.id: "CanNotDelete", vault.id: "CanNotDelete"} == locked
    assert ("Continuous", "Continuous30Days") == (backup["type"], backup["continuousModeProperties"]["tier"])
    assert vault.plain["properties"]["enableSoftDelete"]
    assert vault.plain["properties"]["enablePurgeProtection"]


def test_every_resource_is_tagged(recording: Recording) -> None:
    """All that can carry tags: which system, which environment, made by what."""
    untagged = [
        each.urn
        for each in recording.azure
        if "tags" in inputs_of(each.token)
        and "Mapping" in str(inputs_of(each.token)["tags"].annotation)
        and not {*TAGS.items(), ("environment", environment(recording))} <= set(each.plain.get("tags", {}).items())
    ]

    assert [] == untagged


def environment(recording: Recording) -> str:
    """The name of the stack, as its urns say."""
    return recording.resources[0].urn.split("::")[0].rpartition(":")[2]


def test_the_app_waits_for_its_permissions(recording: Recording) -> None:
    """And for the names of what it asks, for its secrets, and for the containers of the log."""
    needed = [
        each.urn
        for each in recording.azure
        if each.token.removeprefix(AZURE)
        in {
            SQL_ASSIGNMENT,
            "cosmosdb:SqlResourceSqlContainer",
            "keyvault:Secret",
            "network:PrivateDnsZoneGroup",
            "privatedns:PrivateRecordSet",
        }
    ]
    needed += [
        each.urn
        for each in recording.of("authorization:RoleAssignment")
        if each.plain["principalId"] == principal(recording)
    ]

    assert set() == set(needed) - app(recording).dependencies
    assert len(needed) >= 9


def test_the_gateway_waits_for_its_permissions(recording: Recording) -> None:
    """What it reads by its identity is not made before it may."""
    allowed = {
        each.name: each.urn
        for each in recording.of("authorization:RoleAssignment")
        if each.plain["principalId"] != principal(recording)
    }

    assert allowed["gateway-secret"] in recording.one("apimanagement:NamedValue").dependencies
    assert allowed["gateway-telemetry"] in recording.one("apimanagement:Logger").dependencies


def test_no_call_anywhere_returns_a_key(recording: Recording) -> None:
    """Nothing is asked of Azure at all but to make things."""
    assert [] == list(recording.calls)


def test_without_servers_no_throughput_is_set(dev: Recording) -> None:
    """Azure refuses it: neither on the database nor on a container, and there is one region."""
    account = dev.one("cosmosdb:DatabaseAccount").plain
    set_anyway = [
        each.name
        for token in ("cosmosdb:SqlResourceSqlDatabase", "cosmosdb:SqlResourceSqlContainer")
        for each in dev.of(token)
        if each.plain.get("options")
    ]

    assert [{"name": "EnableServerless"}] == account["capabilities"]
    assert [] == set_anyway
    assert 1 == len(account["locations"])


def test_throughput_grows_and_shrinks_by_itself(prod: Recording) -> None:
    """For each container, never shared by the database, never by hand: Azure lets nobody switch later."""
    options = [each.plain["options"] for each in prod.of("cosmosdb:SqlResourceSqlContainer")]
    most = [each["autoscaleSettings"]["maxThroughput"] for each in options]

    assert [] == prod.one("cosmosdb:DatabaseAccount").plain["capabilities"]
    assert not prod.one("cosmosdb:SqlResourceSqlDatabase").plain.get("options")
    assert [["autoscaleSettings"]] * 3 == [list(each) for each in options]
    assert all(each >= 1000 and each % 1000 == 0 for each in most)


def test_the_store_is_one_region_with_session_consistency(recording: Recording) -> None:
    """One that writes and no other: after a failover the newest seconds might be gone. Not spoken to by old TLS."""
    account = recording.one("cosmosdb:DatabaseAccount").plain
    (region,) = account["locations"]

    assert 0 == region["failoverPriority"]
    assert (False, False) == (account["enableMultipleWriteLocations"], account["enableAutomaticFailover"])
    assert "Session" == account["consistencyPolicy"]["defaultConsistencyLevel"]
    assert "Tls12" == account["minimalTlsVersion"]
    assert "Continuous" == account["backupPolicy"]["type"]


def test_partition_keys_state_their_version(recording: Recording) -> None:
    """Left out, a later write of the same container is a conflict."""
    keys = [each.plain["resource"]["partitionKey"] for each in recording.of("cosmosdb:SqlResourceSqlContainer")]

    assert [("Hash", 2)] * 3 == [(each["kind"], each["version"]) for each in keys]


def test_the_image_is_named_by_its_digest(recording: Recording) -> None:
    """In the stack's own registry, pulled by the service's identity and by no password."""
    (registry,) = app(recording).plain["configuration"]["registries"]
    identity = recording.one("managedidentity:UserAssignedIdentity").id

    assert re.fullmatch(r"[a-z0-9]+\.azurecr\.io/eventfeed@sha256:[0-9a-f]{64}", container(recording)["image"])
    assert {"server": container(recording)["image"].partition("/")[0], "identity": identity} == registry


def test_the_service_is_looked_after(recording: Recording) -> None:
    """While it starts, while it lives, and whether it should be sent requests."""
    probes = {each["type"]: each["httpGet"]["path"] for each in container(recording)["probes"]}

    assert {"Startup": "/health/live", "Liveness": "/health/live", "Readiness": "/health/ready"} == probes


def test_replicas_are_few_and_grow_by_load(recording: Recording) -> None:
    """Waiting polls are no load. Where nothing runs, a request must wake it: CPU alone cannot."""
    scale = app(recording).plain["template"]["scale"]
    rules = {each["name"]: each for each in scale["rules"]}
    bounds = {"dev": (0, 2), "prod": (2, 6)}[environment(recording)]

    assert bounds == (scale["minReplicas"], scale["maxReplicas"])
    assert "cpu" == rules["busy"]["custom"]["type"]
    assert ("http" in rules.get("waking", {})) == (scale["minReplicas"] == 0)


def test_traffic_goes_to_revisions_by_weight(recording: Recording) -> None:
    """All of it to the newest, unless a stable one keeps a part; never in the clear."""
    configuration = app(recording).plain["configuration"]
    traffic = configuration["ingress"]["traffic"]

    assert "Multiple" == configuration["activeRevisionsMode"]
    assert 100 == sum(each["weight"] for each in traffic)
    assert traffic[0]["latestRevision"]
    assert not configuration["ingress"]["allowInsecure"]


def test_what_happens_is_kept_in_the_workspace(recording: Recording) -> None:
    """Of store, vault, registry and environment; traces and logs through the agent, which takes no metrics."""
    workspace = recording.one("operationalinsights:Workspace").id
    watched = {
        each.plain["resourceUri"]: each.plain["workspaceId"] for each in recording.of("monitor:DiagnosticSetting")
    }
    tokens = ("cosmosdb:DatabaseAccount", "keyvault:Vault", "containerregistry:Registry", "app:ManagedEnvironment")
    agent = recording.one("app:ManagedEnvironment").plain["openTelemetryConfiguration"]

    assert {recording.one(each).id: workspace for each in tokens} == watched
    assert {
        "tracesConfiguration": {"destinations": ["appInsights"]},
        "logsConfiguration": {"destinations": ["appInsights"]},
    } == agent


def test_somebody_is_told(recording: Recording) -> None:
    """Every alert has a way to somebody, and so has the bill."""
    group = recording.one("monitor:ActionGroup")
    queries = [each.plain["actions"]["actionGroups"] for each in recording.of("monitor:ScheduledQueryRule")]
    metrics = [[way["actionGroupId"] for way in each.plain["actions"]] for each in recording.of("monitor:MetricAlert")]
    budget = recording.one("consumption:Budget").plain

    assert [[group.id]] * len(queries + metrics) == queries + metrics
    assert len(queries) >= 2
    assert ["drift@example.no"] == [each["emailAddress"] for each in group.plain["emailReceivers"]]
    assert {"Actual", "Forecasted"} == {each["thresholdType"] for each in budget["notifications"].values()}
    assert recording.one("resources:ResourceGroup").id == budget["scope"]


def test_production_notices_every_alert(prod: Recording) -> None:
    """Those of the service's telemetry, and that the gateway does not answer from outside."""
    health = prod.one("apimanagement:ApiManagementService")
    asked = prod.one("applicationinsights:WebTest").plain

    assert 9 == len(prod.of("monitor:ScheduledQueryRule"))
    assert {"away", "restarts"} == {each.name for each in prod.of("monitor:MetricAlert")}
    assert f"https://{health.id.rpartition('/')[2]}.azure-api.net/health/ready" == asked["request"]["requestUrl"]
    assert len(asked["locations"]) >= 5


def test_everything_is_part_of_a_component(recording: Recording) -> None:
    """But the resource group, in which all are."""
    loose = [each.token for each in recording.azure if "eventfeed:infra:" not in each.parent]

    assert ["azure-native:resources:ResourceGroup"] == loose
