"""Rules for the app and its environment, for roles, locks and tags."""

from collections.abc import Iterator

from policy.rule import Resource, requires, rule

TAGS = {"system": "eventfeed", "managed-by": "pulumi"}
PROBES = {"Startup", "Liveness", "Readiness"}
# The only roles that the program assigns: read secrets, pull images, publish metrics.
ROLES = {
    "4633458b-17de-408a-b874-0445c86b69e6",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "3913510d-42f4-4e42-8a64-420c390055eb",
}


@rule("app:ManagedEnvironment")
def _production_environment_is_internal(resource: Resource) -> Iterator[str]:
    """An environment of production is inside a network, and is reached from there only."""
    if resource.production:
        yield from requires(resource.inputs.get("vnetConfiguration") or {}, internal=True)
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
