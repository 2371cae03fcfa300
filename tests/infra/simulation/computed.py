"""What Azure adds to a resource of each type that the program reads from: addresses, principals, digests.

The values are made up from the resource's id, so that the same resource always gives the same.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.infra.simulation.catalog import TENANT, Kind
from tests.infra.simulation.wire import UNKNOWN, Properties, is_secret, reveal

_REGION = "region.azure.example"


def outputs(kind: Kind, address: str, inputs: Properties) -> Properties:
    """What a resource gives: what it was given, in the shape Azure answers with, and what Azure adds."""
    found = {"name": _name(address), "type": kind.arm, **inputs}
    if "identity" in inputs:
        found["identity"] = _identity(inputs["identity"], address)
    adds = _ADDED.get(kind.arm)
    return _merged(found, adds(address, reveal(found))) if adds else found


def forecast(kind: Kind, address: str, inputs: Properties) -> Properties:
    """What a preview says of it: what was given is known, what Azure adds is not."""
    return _masked(outputs(kind, address, inputs), inputs)


def brought(kind: Kind, address: str, given: Mapping[str, Any]) -> frozenset[str]:
    """The ids, in small letters, of what comes with a resource: an imported API has the operations of its document.

    https://learn.microsoft.com/azure/api-management/api-management-api-import-restrictions says how they are named.
    """
    if kind.arm != "Microsoft.ApiManagement/service/apis" or given.get("format") != "openapi+json":
        return frozenset()
    paths = json.loads(given["value"])["paths"].values()
    named = [each["operationId"] for path in paths for each in path.values() if "operationId" in each]
    return frozenset(f"{address}/operations/{_operation(name)}".casefold() for name in named)


def _operation(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:76]


def _masked(found: Properties, inputs: Mapping[str, Any]) -> Properties:
    return {
        key: _masked(value, inputs[key])
        if isinstance(value, dict) and isinstance(inputs.get(key), dict) and not is_secret(value)
        else (value if key in inputs and type(value) is type(inputs[key]) else UNKNOWN)
        for key, value in found.items()
    }


def _merged(found: Properties, added: Properties) -> Properties:
    merged = dict(found)
    for key, value in added.items():
        below = merged.get(key)
        nested = isinstance(value, dict) and isinstance(below, dict) and not is_secret(below)
        merged[key] = _merged(below, value) if nested and isinstance(below, dict) else value
    return merged


def _identity(given: Properties, address: str) -> Properties:
    # Given as a list of ids or as keys, answered as a map with what each identity is.
    own = {"principalId": _guid(address, "principal"), "tenantId": TENANT}
    users = {each: _principal(each) for each in given.get("userAssignedIdentities", [])}
    return {
        "type": given["type"],
        **(own if "SystemAssigned" in given["type"] else {}),
        **({"userAssignedIdentities": users} if users else {}),
    }


def _principal(address: str) -> Properties:
    return {"principalId": _guid(address, "principal"), "clientId": _guid(address, "client")}


def _guid(address: str, part: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{address}#{part}"))


def _name(address: str) -> str:
    return address.rpartition("/")[2]


def _environment_domain(environment: str) -> str:
    return f"{hashlib.sha256(environment.encode()).hexdigest()[:8]}.{_REGION}"


def _app(address: str, inputs: Properties) -> Properties:
    domain = _environment_domain(str(inputs["environmentId"]))
    revision = hashlib.sha256(repr(inputs["template"]).encode()).hexdigest()[:7]
    return {
        "configuration": {"ingress": {"fqdn": f"{_name(address)}.{domain}"}},
        "latestRevisionName": f"{_name(address)}--{revision}",
    }


def _task_run(address: str, inputs: Properties) -> Properties:
    # The digest is the request's: the same sources give the same image.
    digest = hashlib.sha256(repr(inputs["runRequest"]).encode()).hexdigest()
    repository, _, tag = str(inputs["runRequest"]["imageNames"][0]).partition(":")
    registry = f"{address.split('/')[8]}.azurecr.io"
    built = {"registry": registry, "repository": repository, "tag": tag, "digest": f"sha256:{digest}"}
    return {"runResult": {"status": "Succeeded", "outputImages": [built]}}


def _secret(address: str, _inputs: Properties) -> Properties:
    vault, name = address.split("/")[8], _name(address)
    # A secret's value is not answered.
    return {"properties": {"value": None, "secretUri": f"https://{vault}.vault.azure.net/secrets/{name}"}}


_ADDED: Mapping[str, Callable[[str, Properties], Properties]] = {
    "Microsoft.ManagedIdentity/userAssignedIdentities": lambda address, _: {**_principal(address), "tenantId": TENANT},
    "Microsoft.DocumentDB/databaseAccounts": lambda address, _: {
        "documentEndpoint": f"https://{_name(address)}.documents.azure.com:443/",
    },
    "Microsoft.KeyVault/vaults": lambda address, _: {
        "properties": {"vaultUri": f"https://{_name(address)}.vault.azure.net/"},
    },
    "Microsoft.KeyVault/vaults/secrets": _secret,
    "Microsoft.ContainerRegistry/registries": lambda address, _: {"loginServer": f"{_name(address)}.azurecr.io"},
    "Microsoft.ContainerRegistry/registries/taskRuns": _task_run,
    "Microsoft.Insights/components": lambda address, _: {
        "connectionString": f"InstrumentationKey={_guid(address, 'instrumentation')};IngestionEndpoint=https://{_REGION}/",
    },
    "Microsoft.App/managedEnvironments": lambda address, _: {
        "defaultDomain": _environment_domain(address),
        "staticIp": "10.0.0.10",
    },
    "Microsoft.App/containerApps": _app,
    "Microsoft.ApiManagement/service": lambda address, _: {
        "gatewayUrl": f"https://{_name(address)}.azure-api.net",
    },
}
