"""What a container app needs to be there before it starts: the secrets it mounts and the permission to read them.

Azure refuses an app whose identity may not pull the image or read a secret, and the permission may come late.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.infra.simulation.catalog import Kind
from tests.infra.simulation.cloud import Cloud, Stored

# Azure's own roles, by number.
_ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"


def missing_grants(cloud: Cloud, kind: Kind, given: Mapping[str, Any]) -> Sequence[str]:
    """What a container app lacks to start, in words; nothing for any other type."""
    if kind.arm != "Microsoft.App/containerApps":
        return []
    configuration = given.get("configuration", {})
    return [*_registries(cloud, configuration), *_secrets(cloud, configuration)]


def _registries(cloud: Cloud, configuration: Mapping[str, Any]) -> Iterator[str]:
    for each in configuration.get("registries", []):
        found = _outputs(cloud, "Microsoft.ContainerRegistry/registries", "loginServer", each["server"])
        if found is None:
            yield f"no registry {each['server']}"
        elif not _granted(cloud, each["identity"], role=_ACR_PULL, scope=found.id):
            yield f"its identity may not pull from {each['server']}"


def _secrets(cloud: Cloud, configuration: Mapping[str, Any]) -> Iterator[str]:
    for each in configuration.get("secrets", []):
        if not (url := each.get("keyVaultUrl")):
            continue
        vault = urlsplit(url).hostname or ""
        found = next((one for one in cloud.of_type("Microsoft.KeyVault/vaults") if _host(one) == vault), None)
        name = urlsplit(url).path.split("/")[2]
        if found is None or not cloud.find(f"{found.id}/secrets/{name}"):
            yield f"no secret {url}"
        elif not _granted(cloud, each["identity"], role=_SECRETS_USER, scope=found.id):
            yield f"its identity may not read {url}"


def _granted(cloud: Cloud, identity: str, *, role: str, scope: str) -> bool:
    who = cloud.find(identity)
    return who is not None and any(
        each.given["principalId"] == who.outputs["principalId"]
        and each.given["roleDefinitionId"].endswith(role)
        and scope.casefold().startswith(each.given["scope"].casefold())
        for each in cloud.of_type("Microsoft.Authorization/roleAssignments")
    )


def _outputs(cloud: Cloud, arm: str, key: str, value: str) -> Stored | None:
    return next((each for each in cloud.of_type(arm) if each.outputs.get(key) == value), None)


def _host(vault: Stored) -> str:
    return urlsplit(str(vault.outputs["properties"]["vaultUri"])).hostname or ""
