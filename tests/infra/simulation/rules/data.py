"""Rules of Cosmos DB, Key Vault and Container Registry."""

from collections.abc import Iterator

from tests.infra.simulation.rules.rule import Write, rule, value_at
from tests.infra.simulation.wire import Properties

_ACCOUNT = "Microsoft.DocumentDB/databaseAccounts"
_REPLICA = "Microsoft.ContainerRegistry/registries/replications"
_DATABASE, _CONTAINER = f"{_ACCOUNT}/sqlDatabases", f"{_ACCOUNT}/sqlDatabases/containers"
_VAULT = "Microsoft.KeyVault/vaults"
_REGISTRY = "Microsoft.ContainerRegistry/registries"
_DOCS = "https://learn.microsoft.com/azure/cosmos-db"
_STEP = 1000


@rule("https://github.com/pulumi/pulumi/issues/5856", _DATABASE, _CONTAINER)
def a_serverless_account_has_no_throughput(write: Write) -> Iterator[str]:
    """Reading or replacing offers is not supported for serverless accounts."""
    if write.value("options") and _is_serverless(write):
        yield "options are not supported for serverless accounts"


@rule(f"{_DOCS}/serverless", _ACCOUNT)
def a_serverless_account_has_one_region(write: Write) -> Iterator[str]:
    """A serverless account has one region, and no autoscale of its partitions."""
    if {"name": "EnableServerless"} not in write.value("capabilities", []):
        return
    if len(write.inputs["locations"]) > 1:
        yield "a serverless account has one region"
    if write.value("enablePerRegionPerPartitionAutoscale"):
        yield "a serverless account has no autoscale"


@rule(
    "https://learn.microsoft.com/rest/api/cosmos-db-resource-provider/database-accounts/failover-priority-change",
    _ACCOUNT,
)
def failover_priorities_are_in_order(write: Write) -> Iterator[str]:
    """Each region of an account has a failover priority of its own: 0 for the one that writes, up to the last one."""
    regions = write.value("locations", [])
    names = [each["locationName"] for each in regions]
    if sorted(each["failoverPriority"] for each in regions) != list(range(len(regions))):
        yield f"the failover priorities of {', '.join(names)} are not 0 to {len(regions) - 1}"
    if len(set(names)) < len(names):
        yield f"a region occurs twice: {', '.join(names)}"


@rule(f"{_DOCS}/consistency-levels", _ACCOUNT)
def strong_consistency_has_one_writer(write: Write) -> Iterator[str]:
    """Strong consistency is not supported in an account whose regions all write."""
    if write.value("consistencyPolicy.defaultConsistencyLevel") == "Strong" and write.value(
        "enableMultipleWriteLocations"
    ):
        yield "Strong consistency needs a single write region"


@rule(f"{_DOCS}/manage-with-templates", _ACCOUNT)
def regions_change_alone(write: Write) -> Iterator[str]:
    """An update that adds or removes a region cannot contain another change."""
    if write.previous is None or _regions(write.previous.inputs) == _regions(write.inputs):
        return
    old = write.previous.inputs
    if others := [key for key in write.inputs if key != "locations" and old.get(key) != write.inputs[key]]:
        yield f"locations cannot change together with {', '.join(sorted(others))}"


@rule("https://learn.microsoft.com/azure/container-registry/container-registry-geo-replication", _REPLICA)
def a_replica_is_in_another_region(write: Write) -> Iterator[str]:
    """Only a Premium registry has replicas: one a region, with the region's name, and none in its own region."""
    registry = write.parent(_REPLICA.rpartition("/")[0])
    location = str(write.value("location"))
    if registry and registry.inputs["sku"]["name"] != "Premium":
        yield f"a {registry.inputs['sku']['name']} registry has no replicas"
    if registry and registry.inputs["location"] == location:
        yield f"{location} is the region of the registry"
    if write.id.rpartition("/")[2] != location:
        yield f"its name is not {location}"


@rule(f"{_DOCS}/provision-throughput-autoscale", _DATABASE, _CONTAINER)
def autoscale_has_steps_of_1000(write: Write) -> Iterator[str]:
    """The maximum of autoscale is at least 1,000 RU/s, in steps of 1,000."""
    maximum = write.value("options.autoscaleSettings.maxThroughput", _STEP)
    if maximum < _STEP or maximum % _STEP:
        yield f"maxThroughput {maximum} is not a multiple of {_STEP}"


@rule("https://github.com/pulumi/pulumi-azure-native/issues/4189", _DATABASE, _CONTAINER)
def the_kind_of_throughput_is_fixed(write: Write) -> Iterator[str]:
    """An update cannot change between manual throughput and autoscale: that is a migration."""
    kinds = {
        frozenset(each.get("options", {}))
        for each in (write.inputs, write.previous.inputs if write.previous else write.inputs)
    }
    if len(kinds) > 1:
        yield "the kind of throughput cannot be updated"


@rule("https://github.com/microsoft/Modernize-your-code-solution-accelerator/issues/433", _ACCOUNT)
def analytical_storage_is_over(write: Write) -> Iterator[str]:
    """Enabling analytical storage during the creation of an account is no longer supported (2026-05)."""
    if write.previous is None and write.value("enableAnalyticalStorage"):
        yield "Enabling Analytical Storage during account creation is no longer supported"


@rule("https://github.com/Azure/terraform-azurerm-cosmosdb/issues/33", _ACCOUNT)
def the_backup_tier_changes_alone(write: Write) -> Iterator[str]:
    """An update of the tier of continuous backup cannot contain another change."""
    if write.previous is None or write.previous.inputs.get("backupPolicy") == write.inputs.get("backupPolicy"):
        return
    others = [
        key for key in write.inputs if key != "backupPolicy" and write.previous.inputs.get(key) != write.inputs[key]
    ]
    if others:
        yield f"Cannot update Continuous Mode Tier and other properties at the same time: {', '.join(sorted(others))}"


@rule("https://github.com/hashicorp/terraform-provider-azurerm/issues/14561", _CONTAINER)
def the_root_path_is_in_one_list(write: Write) -> Iterator[str]:
    """An indexing policy lists the path /* exactly once, as included or as excluded."""
    policy = write.value("resource.indexingPolicy", {})
    paths = [each["path"] for key in ("includedPaths", "excludedPaths") for each in policy.get(key, [])]
    if policy and paths.count("/*") != 1:
        yield f"/* is listed {paths.count('/*')} times"


@rule(f"{_DOCS}/index-policy", _CONTAINER)
def a_composite_index_has_several_paths(write: Write) -> Iterator[str]:
    """A composite index has at least two paths, each without a wildcard."""
    for paths in write.value("resource.indexingPolicy.compositeIndexes", []):
        if len(paths) < 2 or any(each["path"].endswith(("/*", "/?")) for each in paths):
            yield f"{[each['path'] for each in paths]} is no composite index"


@rule(f"{_DOCS}/partitioning-overview", _CONTAINER)
def a_partition_key_has_a_version(write: Write) -> Iterator[str]:
    """Without its version, a large partition key conflicts when the container is written again (bicep 5807)."""
    if write.value("resource.partitionKey.version") is None:
        yield "the partition key has no version"


@rule("https://github.com/pulumi/pulumi-azure-native/issues/2253", f"{_ACCOUNT}/sqlRoleAssignments")
def a_data_role_is_never_updated(write: Write) -> Iterator[str]:
    """The scope of an assignment is within its account, and no part of the assignment can be updated."""
    account = write.parent(_ACCOUNT)
    if account and not str(write.inputs["scope"]).casefold().startswith(account.id.casefold()):
        yield "the scope is in another account"
    if write.previous and write.previous.inputs != write.inputs:
        yield "an assignment cannot be updated"


@rule("https://github.com/Azure/azure-cli/issues/29115", _VAULT)
def protection_against_purges_is_for_ever(write: Write) -> Iterator[str]:
    """`enablePurgeProtection` is true or absent, never false."""
    if write.value("properties.enablePurgeProtection") is False:
        yield 'The property "enablePurgeProtection" cannot be set to false'


@rule("https://github.com/hashicorp/terraform-provider-azurerm/issues/19006", _VAULT)
def the_retention_of_a_vault_is_fixed(write: Write) -> Iterator[str]:
    """The retention of what is deleted is 7 to 90 days, and cannot be updated."""
    path = "properties.softDeleteRetentionInDays"
    days = write.value(path, 90)
    if not 7 <= days <= 90:
        yield f"{days} days are not in the range 7 to 90"
    if write.previous and value_at(write.previous.inputs, path, 90) != days:
        yield "softDeleteRetentionInDays cannot be updated"


@rule("https://github.com/Azure-Samples/dotNET-Frontend-AB-Testing-on-Azure-Container-Apps/issues/5", _REGISTRY)
def a_private_registry_is_premium(write: Write) -> Iterator[str]:
    """Only the Premium tier can disable public access."""
    if write.value("sku.name") != "Premium" and write.value("publicNetworkAccess", "Enabled") != "Enabled":
        yield f"DisablingPublicNetworkAccessNotSupported for the SKU {write.value('sku.name')}"


@rule("https://learn.microsoft.com/azure/container-registry/zone-redundancy", _REGISTRY)
def the_zones_of_a_registry_are_fixed(write: Write) -> Iterator[str]:
    """Zone redundancy is set when a registry is created, and cannot be updated."""
    if write.previous and write.previous.inputs.get("zoneRedundancy") != write.value("zoneRedundancy"):
        yield "zoneRedundancy cannot be updated"


@rule("https://github.com/pulumi/pulumi-azure-native/issues/1713", f"{_REGISTRY}/taskRuns")
def a_task_run_fails_after_its_build(_: Write) -> Iterator[str]:
    """The result of a task run is polled at an address that does not exist: the build succeeds, the resource fails."""
    yield "the result cannot be polled (azure-rest-api-specs 19159)"


def _regions(inputs: Properties) -> set[str]:
    return {each["locationName"] for each in inputs["locations"]}


def _is_serverless(write: Write) -> bool:
    account = write.parent(_ACCOUNT)
    return account is not None and {"name": "EnableServerless"} in account.inputs.get("capabilities", [])
