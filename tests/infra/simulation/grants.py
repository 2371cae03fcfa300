"""The resources that a container app needs before it starts: its secrets, and roles to read them and to pull its image.

Azure rejects an app whose identity lacks such a role, and a role assignment may take effect late. So an assignment
counts only for an app that waits for it, directly or through other resources.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.infra.simulation.catalog import resource_type
from tests.infra.simulation.cloud import Cloud, CloudResource

# The ids of Azure's built-in roles.
_ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"


def missing_grants(cloud: Cloud, token: str, inputs: Mapping[str, Any], *, ready_ids: frozenset[str]) -> Sequence[str]:
    """Return a sentence for each thing that a container app lacks to start; nothing for other types.

    `ready_ids` are the resources that existed before the run or that the app waits for.
    """
    azure_type = resource_type(token)
    if azure_type is None or azure_type.arm_name != "Microsoft.App/containerApps":
        return []
    configuration = inputs.get("configuration", {})
    roles = [each for each in cloud.of_type("Microsoft.Authorization/roleAssignments") if each.id in ready_ids]
    return [*_missing_registries(cloud, configuration, roles), *_missing_secrets(cloud, configuration, roles)]


def _missing_registries(
    cloud: Cloud, configuration: Mapping[str, Any], roles: Sequence[CloudResource]
) -> Iterator[str]:
    for each in configuration.get("registries", []):
        registry = _registry(cloud, each["server"])
        if registry is None:
            yield f"no registry {each['server']}"
        elif not _has_role(roles, cloud.find(each["identity"]), role=_ACR_PULL, scope=registry.id):
            yield f"its identity may not pull from {each['server']}"


def _missing_secrets(cloud: Cloud, configuration: Mapping[str, Any], roles: Sequence[CloudResource]) -> Iterator[str]:
    for each in configuration.get("secrets", []):
        if not (url := each.get("keyVaultUrl")):
            continue
        vault = _vault(cloud, urlsplit(url).hostname or "")
        name = urlsplit(url).path.split("/")[2]
        if vault is None or not cloud.find(f"{vault.id}/secrets/{name}"):
            yield f"no secret {url}"
        elif not _has_role(roles, cloud.find(each["identity"]), role=_SECRETS_USER, scope=vault.id):
            yield f"its identity may not read {url}"


def _has_role(roles: Sequence[CloudResource], identity: CloudResource | None, *, role: str, scope: str) -> bool:
    return identity is not None and any(
        each.inputs["principalId"] == identity.outputs["principalId"]
        and each.inputs["roleDefinitionId"].endswith(role)
        and scope.casefold().startswith(each.inputs["scope"].casefold())
        for each in roles
    )


def _registry(cloud: Cloud, server: str) -> CloudResource | None:
    registries = cloud.of_type("Microsoft.ContainerRegistry/registries")
    return next((each for each in registries if each.outputs.get("loginServer") == server), None)


def _vault(cloud: Cloud, host: str) -> CloudResource | None:
    vaults = cloud.of_type("Microsoft.KeyVault/vaults")
    return next((each for each in vaults if urlsplit(each.outputs["properties"]["vaultUri"]).hostname == host), None)
