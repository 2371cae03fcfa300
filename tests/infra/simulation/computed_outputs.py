"""The outputs that Azure computes for each resource type: addresses, principals, digests.

The values are derived from the resource's id and inputs, so that equal resources have equal outputs.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.infra.simulation.catalog import TENANT, ResourceType
from tests.infra.simulation.wire import UNKNOWN, Properties, is_secret, reveal

_REGION = "region.azure.example"


def outputs(resource_type: ResourceType, resource_id: str, inputs: Properties) -> Properties:
    """Return a resource's outputs: its inputs in the form of Azure's response, and the computed values."""
    response = {"name": _name(resource_id), "type": resource_type.arm_name, **inputs}
    if "identity" in inputs:
        response["identity"] = _identity(inputs["identity"], resource_id)
    compute = _COMPUTATIONS.get(resource_type.arm_name)
    return _merge(response, compute(resource_id, reveal(response))) if compute else response


def preview_outputs(resource_type: ResourceType, resource_id: str, inputs: Properties) -> Properties:
    """Return the outputs in a preview: inputs are known, computed values are unknown."""
    return _with_unknowns(outputs(resource_type, resource_id, inputs), inputs)


def implicit_children(resource_type: ResourceType, resource_id: str, inputs: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids, in lower case, of children that Azure creates: the operations of an imported API.

    https://learn.microsoft.com/azure/api-management/api-management-api-import-restrictions defines their names.
    """
    if resource_type.arm_name != "Microsoft.ApiManagement/service/apis" or inputs.get("format") != "openapi+json":
        return frozenset()
    paths = json.loads(inputs["value"])["paths"].values()
    operation_ids = [each["operationId"] for path in paths for each in path.values() if "operationId" in each]
    return frozenset(f"{resource_id}/operations/{_operation_name(each)}".casefold() for each in operation_ids)


def _operation_name(operation_id: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", operation_id.casefold()).strip("-")[:76]


def _with_unknowns(response: Properties, inputs: Mapping[str, Any]) -> Properties:
    return {
        key: _with_unknowns(value, inputs[key])
        if isinstance(value, dict) and isinstance(inputs.get(key), dict) and not is_secret(value)
        else (value if key in inputs and type(value) is type(inputs[key]) else UNKNOWN)
        for key, value in response.items()
    }


def _merge(response: Properties, computed_values: Properties) -> Properties:
    result = dict(response)
    for key, value in computed_values.items():
        below = result.get(key)
        is_object = isinstance(value, dict) and isinstance(below, dict) and not is_secret(below)
        result[key] = _merge(below, value) if is_object and isinstance(below, dict) else value
    return result


def _identity(identity: Properties, resource_id: str) -> Properties:
    # The input lists identities as ids or as keys; the response is a map with the details of each identity.
    system = {"principalId": _guid(resource_id, "principal"), "tenantId": TENANT}
    users = {each: _principal(each) for each in identity.get("userAssignedIdentities", [])}
    return {
        "type": identity["type"],
        **(system if "SystemAssigned" in identity["type"] else {}),
        **({"userAssignedIdentities": users} if users else {}),
    }


def _principal(resource_id: str) -> Properties:
    return {"principalId": _guid(resource_id, "principal"), "clientId": _guid(resource_id, "client")}


def _guid(resource_id: str, part: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{resource_id}#{part}"))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _name(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]


def _environment_domain(environment_id: str) -> str:
    return f"{_digest(environment_id)[:8]}.{_REGION}"


def _container_app(resource_id: str, inputs: Properties) -> Properties:
    domain = _environment_domain(str(inputs["environmentId"]))
    return {
        "configuration": {"ingress": {"fqdn": f"{_name(resource_id)}.{domain}"}},
        "latestRevisionName": f"{_name(resource_id)}--{_digest(inputs['template'])[:7]}",
    }


def _vault_secret(resource_id: str, _inputs: Properties) -> Properties:
    vault, name = resource_id.split("/")[8], _name(resource_id)
    # Azure's response does not contain the value.
    return {"properties": {"value": None, "secretUri": f"https://{vault}.vault.azure.net/secrets/{name}"}}


def _insights(resource_id: str, _inputs: Properties) -> Properties:
    key = _guid(resource_id, "instrumentation")
    return {
        "connectionString": f"InstrumentationKey={key};IngestionEndpoint=https://{_REGION}/",
        "instrumentationKey": key,
    }


_COMPUTATIONS: Mapping[str, Callable[[str, Properties], Properties]] = {
    "Microsoft.ManagedIdentity/userAssignedIdentities": lambda resource_id, _: {
        **_principal(resource_id),
        "tenantId": TENANT,
    },
    "Microsoft.DocumentDB/databaseAccounts": lambda resource_id, _: {
        "documentEndpoint": f"https://{_name(resource_id)}.documents.azure.com:443/",
    },
    "Microsoft.KeyVault/vaults": lambda resource_id, _: {
        "properties": {"vaultUri": f"https://{_name(resource_id)}.vault.azure.net/"},
    },
    "Microsoft.KeyVault/vaults/secrets": _vault_secret,
    "Microsoft.ContainerRegistry/registries": lambda resource_id, _: {
        "loginServer": f"{_name(resource_id)}.azurecr.io"
    },
    "Microsoft.Insights/components": _insights,
    "Microsoft.App/managedEnvironments": lambda resource_id, _: {
        "defaultDomain": _environment_domain(resource_id),
        "staticIp": "10.0.0.10",
    },
    "Microsoft.App/containerApps": _container_app,
    "Microsoft.ApiManagement/service": lambda resource_id, _: {
        "gatewayUrl": f"https://{_name(resource_id)}.azure-api.net",
    },
}
