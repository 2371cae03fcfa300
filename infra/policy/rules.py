"""Rules that each resource must satisfy before it is created or changed. The policy pack and the tests apply them."""

from collections.abc import Iterator

from policy.rule import RULES, Resource, requires, rule

__all__ = ["RULES"]

TAGS = {"system": "eventfeed", "managed-by": "pulumi"}
PROBES = {"Startup", "Liveness", "Readiness"}
# The only roles that the program assigns: read secrets, pull images, publish metrics.
ROLES = {
    "4633458b-17de-408a-b874-0445c86b69e6",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "3913510d-42f4-4e42-8a64-420c390055eb",
}
# Sources of a security group's rule that include the internet.
OPEN_SOURCES = {"*", "0.0.0.0/0", "::/0", "Internet", "Any"}
# Days for which a vault of production keeps what was deleted.
PRODUCTION_RETENTION_DAYS = 90


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
def _production_store_is_private_and_protected(resource: Resource) -> Iterator[str]:
    """A store that is not serverless is one of production."""
    capabilities = {each["name"] for each in resource.inputs.get("capabilities") or []}
    if "EnableServerless" in capabilities:
        return
    yield from requires(resource.inputs, publicNetworkAccess="Disabled")
    if not resource.protect:
        yield "the option protect must be set"


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
    """A vault that keeps what was deleted for 90 days is one of production."""
    properties = resource.inputs["properties"]
    if properties.get("softDeleteRetentionInDays") != PRODUCTION_RETENTION_DAYS:
        return
    yield from requires(properties, publicNetworkAccess="Disabled")
    yield from requires(properties.get("networkAcls") or {}, defaultAction="Deny")
    if not resource.protect:
        yield "the option protect must be set"


@rule("containerregistry:Registry")
def _registry_accepts_no_password(resource: Resource) -> Iterator[str]:
    """Only identities pull images. A registry with a private endpoint is closed to the internet."""
    yield from requires(resource.inputs, adminUserEnabled=False, anonymousPullEnabled=False)
    if resource.inputs["sku"]["name"] == "Premium":
        yield from requires(resource.inputs, publicNetworkAccess="Disabled")


@rule("operationalinsights:Workspace")
def _workspace_accepts_no_key(resource: Resource) -> Iterator[str]:
    """Only identities read and write logs."""
    yield from requires(resource.inputs.get("features") or {}, disableLocalAuth=True)


@rule("app:ManagedEnvironment")
def _environment_in_a_network_is_internal(resource: Resource) -> Iterator[str]:
    """An environment inside a network is reached from there only."""
    if network := resource.inputs.get("vnetConfiguration"):
        yield from requires(network, internal=True)
        yield from requires(resource.inputs, publicNetworkAccess="Disabled")


@rule("app:ContainerApp")
def _app_is_probed(resource: Resource) -> Iterator[str]:
    """Without probes a replica that hangs keeps its traffic."""
    for container in resource.inputs["template"]["containers"]:
        if missing := PROBES - {each["type"] for each in container.get("probes") or []}:
            yield f"the container {container['name']} lacks the probes {', '.join(sorted(missing))}"


@rule("app:ContainerApp")
def _app_refuses_plain_http(resource: Resource) -> Iterator[str]:
    """A token in a request without TLS can be read on the way."""
    yield from requires(resource.inputs["configuration"]["ingress"], allowInsecure=False)


@rule("app:ContainerApp")
def _app_reads_secrets_from_the_vault(resource: Resource) -> Iterator[str]:
    """A secret's value in the app's configuration can be read by everybody who may read the app."""
    for secret in resource.inputs["configuration"].get("secrets") or []:
        if "value" in secret or "keyVaultUrl" not in secret:
            yield f"the secret {secret['name']} has a value in place of keyVaultUrl"


@rule("network:NetworkSecurityGroup")
def _subnets_are_closed_to_the_internet(resource: Resource) -> Iterator[str]:
    """No rule of a security group lets the internet in."""
    for each in resource.inputs.get("securityRules") or []:
        is_open = each.get("sourceAddressPrefix") in OPEN_SOURCES
        if each["direction"] == "Inbound" and each["access"] == "Allow" and is_open:
            yield f"the rule {each['name']} allows {each['sourceAddressPrefix']}"


@rule("authorization:RoleAssignment")
def _role_is_one_of_a_workload(resource: Resource) -> Iterator[str]:
    """A role is one of the few that the program needs, and its holder is no person."""
    yield from requires(resource.inputs, principalType="ServicePrincipal")
    role = resource.inputs["roleDefinitionId"].rpartition("/")[2]
    if role not in ROLES:
        yield f"roleDefinitionId names {role}, which the program does not need"


@rule("authorization:ManagementLockByScope")
def _lock_prevents_deletion(resource: Resource) -> Iterator[str]:
    """A lock of another level would also stop the service from writing, or protect nothing."""
    yield from requires(resource.inputs, level="CanNotDelete")


@rule("resources:ResourceGroup", "cosmosdb:DatabaseAccount", "keyvault:Vault", "app:ContainerApp")
def _resource_has_its_tags(resource: Resource) -> Iterator[str]:
    """The tags name the system and the tool, for whoever finds the resource in Azure."""
    yield from requires(resource.inputs.get("tags") or {}, **TAGS)
