"""The identity by which the gateway reads the certificate of a custom domain from the operator's vault."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import apimanagement, managedidentity

from components.resource_group import ResourceGroup
from components.roles import KEY_VAULT_SECRETS_USER, Grant, assign_role
from stack import CustomDomain


@dataclass(frozen=True, kw_only=True)
class DomainAccessArgs:
    """The arguments of `DomainAccess`."""

    group: ResourceGroup
    domain: CustomDomain


class DomainAccess(pulumi.ComponentResource):
    """An identity of the gateway that may read the vault with the certificate.

    The gateway's own identity exists only with the gateway, which needs the certificate when it is written.
    """

    identity_id: pulumi.Output[str]
    host_name: apimanagement.HostnameConfigurationArgs

    def __init__(self, name: str, args: DomainAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:DomainAccess", name, None, opts)
        child_options = pulumi.ResourceOptions(parent=self)
        identity = managedidentity.UserAssignedIdentity(
            "domain",
            resource_group_name=args.group.name,
            location=args.group.location,
            tags=args.group.tags,
            opts=child_options,
        )
        grant = Grant(principal_id=identity.principal_id, role=KEY_VAULT_SECRETS_USER, scope=args.domain.vault_id)
        assign_role("domain", grant, child_options)
        self.identity_id = identity.id
        self.host_name = apimanagement.HostnameConfigurationArgs(
            type=apimanagement.HostnameType.PROXY,
            host_name=args.domain.host,
            # The v2 tiers have no certificates that Azure manages.
            certificate_source=apimanagement.CertificateSource.KEY_VAULT,
            key_vault_id=args.domain.certificate_url,
            identity_client_id=identity.client_id,
            # A client that names no host gets the certificate of the name that Azure has assigned.
            default_ssl_binding=False,
        )
        self.register_outputs({})
