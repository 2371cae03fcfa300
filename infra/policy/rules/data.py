"""Rules for what keeps data: the store, the vault, the registry and the workspace."""

from collections.abc import Iterator

from policy.rule import Resource, requires, rule

# Days for which a vault of production keeps what was deleted.
RETENTION_DAYS = 90


@rule("cosmosdb:DatabaseAccount")
def _store_accepts_no_key(resource: Resource) -> Iterator[str]:
    """Only identities open the store: its keys are disabled."""
    yield from requires(resource.inputs, disableLocalAuth=True, disableKeyBasedMetadataWriteAccess=True)


@rule("cosmosdb:DatabaseAccount")
def _store_requires_tls(resource: Resource) -> Iterator[str]:
    """The store refuses connections before TLS 1.2."""
    yield from requires(resource.inputs, minimalTlsVersion="Tls12")


@rule("cosmosdb:DatabaseAccount")
def _store_has_continuous_backups(resource: Resource) -> Iterator[str]:
    """The store can be restored to any second of the last days."""
    yield from requires(resource.inputs.get("backupPolicy") or {}, type="Continuous")


@rule("cosmosdb:DatabaseAccount")
def _store_has_one_writer(resource: Resource) -> Iterator[str]:
    """Two regions that write would give two events the same number."""
    yield from requires(resource.inputs, enableMultipleWriteLocations=False)


@rule("cosmosdb:DatabaseAccount")
def _store_of_regions_loses_no_event(resource: Resource) -> Iterator[str]:
    """With several regions a receipt means that each has the event, and Azure lets another one write if one is lost."""
    if len(resource.inputs.get("locations") or []) > 1:
        yield from requires(resource.inputs.get("consistencyPolicy") or {}, defaultConsistencyLevel="Strong")
        yield from requires(resource.inputs, enableAutomaticFailover=True)


@rule("cosmosdb:DatabaseAccount")
def _production_store_is_private_and_protected(resource: Resource) -> Iterator[str]:
    """A store of production is reached from the network only, is not serverless, and cannot be deleted by mistake."""
    if not resource.production:
        return
    yield from requires(resource.inputs, publicNetworkAccess="Disabled")
    if "EnableServerless" in {each["name"] for each in resource.inputs.get("capabilities") or []}:
        yield "capabilities contains EnableServerless, which has no zones"
    yield from _protection_faults(resource)


@rule("cosmosdb:SqlResourceSqlDatabase", "cosmosdb:SqlResourceSqlContainer")
def _production_data_is_protected(resource: Resource) -> Iterator[str]:
    """A change that would replace a database or a container of production deletes its data."""
    if resource.production:
        yield from _protection_faults(resource)


@rule("cosmosdb:SqlResourceSqlContainer")
def _partition_key_has_a_version(resource: Resource) -> Iterator[str]:
    """Without a version Azure reports a conflict when the same container is written again."""
    yield from requires(resource.inputs["resource"]["partitionKey"], version=2)


@rule("keyvault:Vault")
def _vault_keeps_what_was_deleted(resource: Resource) -> Iterator[str]:
    """Access is by role, and neither a secret nor the vault can be purged before its time."""
    properties = resource.inputs["properties"]
    yield from requires(properties, enableRbacAuthorization=True, enableSoftDelete=True, enablePurgeProtection=True)


@rule("keyvault:Vault")
def _production_vault_is_private_and_protected(resource: Resource) -> Iterator[str]:
    """A vault of production is reached from the network only, and keeps what was deleted for as long as it can."""
    if not resource.production:
        return
    properties = resource.inputs["properties"]
    yield from requires(properties, publicNetworkAccess="Disabled", softDeleteRetentionInDays=RETENTION_DAYS)
    yield from requires(properties.get("networkAcls") or {}, defaultAction="Deny")
    yield from _protection_faults(resource)


@rule("containerregistry:Registry")
def _registry_accepts_no_password(resource: Resource) -> Iterator[str]:
    """Only identities pull images."""
    yield from requires(resource.inputs, adminUserEnabled=False, anonymousPullEnabled=False)


@rule("containerregistry:Registry")
def _production_registry_is_private(resource: Resource) -> Iterator[str]:
    """A registry of production is reached from the network only, for which it needs the tier Premium."""
    if resource.production:
        yield from requires(resource.inputs, publicNetworkAccess="Disabled")
        yield from requires(resource.inputs["sku"], name="Premium")


@rule("operationalinsights:Workspace")
def _workspace_accepts_no_key(resource: Resource) -> Iterator[str]:
    """Only identities read and write logs."""
    yield from requires(resource.inputs.get("features") or {}, disableLocalAuth=True)


def _protection_faults(resource: Resource) -> Iterator[str]:
    if not resource.protect:
        yield "the option protect must be set"
