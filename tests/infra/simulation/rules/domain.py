"""Rules of the host names of API Management."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.infra.simulation.cloud import CloudResource
from tests.infra.simulation.rules.rule import OrderedWrite, Write, rule, value_at

_SERVICE, _VAULT = "Microsoft.ApiManagement/service", "Microsoft.KeyVault/vaults"
_ROLE_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
_DOCS = "https://learn.microsoft.com/azure/api-management"
_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"


@rule("https://github.com/hashicorp/terraform-provider-azurerm/issues/12260", _SERVICE, order=True)
def a_gateway_may_read_its_certificate(write: OrderedWrite) -> Iterator[str]:
    """The identity of a host name exists before the service, and has its role for the certificate's vault by then."""
    for each in _host_names(write):
        identity = _identity(write, each)
        vault = _vault(write, each)
        roles = write.cloud.of_type(_ROLE_ASSIGNMENT)
        if vault and not any(
            write.is_ready(role.id)
            and identity is not None
            and role.inputs["principalId"] == identity.outputs["principalId"]
            and role.inputs["roleDefinitionId"].endswith(_SECRETS_USER)
            and vault.id.casefold().startswith(role.inputs["scope"].casefold())
            for role in roles
        ):
            yield f"is too early: the identity {each.get('identityClientId')} may not read {each.get('keyVaultId')}"


@rule(f"{_DOCS}/breaking-changes/managed-certificates-suspension-august-2025", _SERVICE)
def managed_certificates_are_of_the_classic_tiers(write: Write) -> Iterator[str]:
    """A certificate that Azure manages exists in the classic tiers only. The v2 tiers need one from a vault."""
    for each in _host_names(write):
        if each.get("certificateSource") == "Managed" and str(write.value("sku.name")).endswith("V2"):
            yield f"{write.value('sku.name')} has no managed certificate for {each['hostName']}"


@rule(f"{_DOCS}/api-management-features", _SERVICE)
def a_gateway_has_one_host_name(write: Write) -> Iterator[str]:
    """Several host names of a gateway need Developer, Premium or Premium v2; those of v2 have no other endpoints."""
    names = [each["hostName"] for each in _host_names(write)]
    if len(names) > 1 and write.value("sku.name") not in {"Developer", "Premium", "PremiumV2"}:
        yield f"{write.value('sku.name')} has one custom host name, not {', '.join(names)}"


@rule(f"{_DOCS}/configure-custom-domain", _SERVICE)
def a_host_name_points_to_its_gateway(write: Write) -> Iterator[str]:
    """A public CNAME record of the name points to the service's own host before the name is bound."""
    own_host = f"{write.id.rpartition('/')[2]}.azure-api.net"
    for each in _host_names(write):
        if write.cloud.dns.get(each["hostName"]) != own_host:
            yield f"CustomHostnameOwnershipCheckFailed: {each['hostName']} has no CNAME record to {own_host}"


@rule("https://github.com/Azure/apiops/issues/214", _SERVICE)
def an_identity_of_a_host_name_is_assigned(write: Write) -> Iterator[str]:
    """The identity that reads a certificate is one of the service's own."""
    for each in _host_names(write):
        identity = _identity(write, each)
        if identity is None or identity.id not in write.value("identity.userAssignedIdentities", {}):
            yield f"Can not find Managed Identity with provided IdentityClientId: {each.get('identityClientId')}"


@rule(f"{_DOCS}/breaking-changes/trusted-service-connectivity-retirement-march-2026", _SERVICE)
def a_certificate_is_in_an_open_vault(write: Write) -> Iterator[str]:
    """Trusted access of API Management ended on 2026-03-15: the vault of a certificate has public access."""
    for each in _host_names(write):
        vault = _vault(write, each)
        if vault is None:
            yield f"the vault of {each.get('keyVaultId')} does not exist"
        elif value_at(vault.inputs, "properties.publicNetworkAccess", "Enabled") != "Enabled":
            yield f"the vault of {each['keyVaultId']} refuses the request (403 ForbiddenByConnection)"


@rule("https://github.com/hashicorp/terraform-provider-azurerm/pull/20903", _SERVICE)
def a_certificate_is_renewed(write: Write) -> Iterator[str]:
    """The address of a certificate is that of an existing secret, without a version: only then is it renewed."""
    for each in _host_names(write):
        vault, path = _vault(write, each), urlsplit(str(each.get("keyVaultId"))).path.strip("/").split("/")
        if path[0] != "secrets" or len(path) != 2:
            yield f"{each.get('keyVaultId')} is not the address of a secret without a version"
        elif vault and not write.cloud.find(f"{vault.id}/secrets/{path[1]}"):
            yield f"the secret {each['keyVaultId']} does not exist"


def _host_names(write: Write) -> Sequence[Mapping[str, Any]]:
    names: Sequence[Mapping[str, Any]] = write.value("hostnameConfigurations", [])
    return names


def _identity(write: Write, host_name: Mapping[str, Any]) -> CloudResource | None:
    identities = write.cloud.of_type("Microsoft.ManagedIdentity/userAssignedIdentities")
    client_id = host_name.get("identityClientId")
    return next((each for each in identities if each.outputs["clientId"] == client_id), None)


def _vault(write: Write, host_name: Mapping[str, Any]) -> CloudResource | None:
    host = urlsplit(str(host_name.get("keyVaultId"))).hostname
    vaults = write.cloud.of_type(_VAULT)
    return next((each for each in vaults if f"{each.id.rpartition('/')[2].lower()}.vault.azure.net" == host), None)
