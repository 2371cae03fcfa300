"""The part of Azure that no stack creates: the operator's vault with the certificate of a custom domain."""

from collections.abc import Iterator
from typing import Any

from tests.infra.simulation import computed_outputs
from tests.infra.simulation.catalog import RESOURCE_TYPES
from tests.infra.simulation.cloud import CloudResource

# The inputs of the vault by which only a role opens it. It is not private: the gateway reads it from the internet.
_VAULT = {"enableRbacAuthorization": True, "publicNetworkAccess": "Enabled"}


def certificate_vault() -> Iterator[CloudResource]:
    """Yield the resource group, the vault, and the certificate's secret that `DOMAIN_SETTINGS` name."""
    group = {"resourceGroupName": "certificates"}
    yield _resource("resources:ResourceGroup", {**group, "location": "norwayeast"})
    yield _resource("keyvault:Vault", {**group, "vaultName": "agency", "location": "norwayeast", "properties": _VAULT})
    yield _resource("keyvault:Secret", {**group, "vaultName": "agency", "secretName": "events", "properties": {}})


def _resource(token: str, inputs: dict[str, Any]) -> CloudResource:
    azure_type = RESOURCE_TYPES[token]
    resource_id = azure_type.resource_id(inputs)
    outputs = computed_outputs.outputs(azure_type, resource_id, inputs)
    return CloudResource(id=resource_id, type=azure_type, inputs=inputs, outputs=outputs)
