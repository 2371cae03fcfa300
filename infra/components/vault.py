"""The key vault: the keys that sign tokens, the gateway's secrets and the other secrets of the service."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_random
import pulumi_tls
from pulumi_azure_native import keyvault

from components.context import Context
from components.identity import Identity
from components.known_name import known_name
from components.roles import KEY_VAULT_SECRETS_USER, Grant, assign_role
from stack import SYSTEM

# The service requires 2048 bits; NIST SP 800-57 recommends 3072 beyond 2030.
RSA_BITS = 3_072
# The secrets that the service accepts from the gateway, separated by spaces.
GATEWAY_SECRETS = "gateway"
GATEWAY_SECRET_LENGTH = 48
TELEMETRY, SUBSCRIPTION = "telemetry", "platform-subscription"
# The value of the subscription key while there is none: a secret that is removed cannot be created again.
NO_SUBSCRIPTION = "no-subscription-key"


@dataclass(frozen=True, kw_only=True)
class VaultSecret:
    """A secret in the vault: its resource id, and the URL of its newest version."""

    id: pulumi.Output[str]
    url: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class VaultArgs:
    """The arguments of `Vault`: the identity may read secrets."""

    context: Context
    identity: Identity


class Vault(pulumi.ComponentResource):
    """A vault with access by role, soft delete and purge protection, and the service's secrets by name."""

    secrets: Mapping[str, VaultSecret]
    vault_id: pulumi.Output[str]
    # The secret that the gateway sends: the last one that the service accepts.
    gateway_secret: pulumi.Output[str]

    def __init__(self, name: str, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Vault", name, None, opts)
        self._args = args
        self._child_options = pulumi.ResourceOptions(parent=self)
        vault = self._create_vault()
        self.vault_id = vault.id
        values = self._secret_values()
        self.secrets = {name: self._create_secret(vault, name, value) for name, value in values.items()}
        grant = Grant(principal_id=args.identity.principal_id, role=KEY_VAULT_SECRETS_USER, scope=vault.id)
        assign_role("vault", grant, self._child_options)
        if args.context.network:
            args.context.network.create_private_endpoint("vault", "vault", vault.id, parent=self)
        args.context.observability.send_logs("vault", vault.id, logs=["AuditEvent"], parent=self)
        self.register_outputs({"secrets": sorted(self.secrets)})

    def _create_vault(self) -> keyvault.Vault:
        group, production = self._args.context.group, self._args.context.stack.production
        return keyvault.Vault(
            SYSTEM,
            resource_group_name=group.name,
            location=group.location,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=self._args.identity.tenant_id,
                sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                soft_delete_retention_in_days=90 if production else 7,
                enable_purge_protection=True,
                public_network_access="Disabled" if production else "Enabled",
                network_acls=keyvault.NetworkRuleSetArgs(
                    bypass="None" if production else "AzureServices", default_action="Deny" if production else "Allow"
                ),
            ),
            tags=group.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=production),
        )

    def _secret_values(self) -> Mapping[str, pulumi.Input[str]]:
        """Generate the secrets, by name. Their values are only in the vault and in the stack's encrypted state."""
        stack = self._args.context.stack
        passwords = [self._create_password(name) for name in stack.gateway_secrets]
        self.gateway_secret = passwords[-1]
        keys = {signing_secret_name(name): self._create_signing_key(name) for name in stack.signing_keys}
        return {
            **keys,
            SUBSCRIPTION: stack.platform.subscription_key or NO_SUBSCRIPTION,
            GATEWAY_SECRETS: pulumi.Output.all(*passwords).apply(" ".join),
            TELEMETRY: self._args.context.observability.connection_string,
        }

    def _create_password(self, name: str) -> pulumi.Output[str]:
        password = pulumi_random.RandomPassword(
            f"gateway-{name}", length=GATEWAY_SECRET_LENGTH, special=False, opts=self._child_options
        )
        return password.result

    def _create_signing_key(self, name: str) -> pulumi.Output[str]:
        key = pulumi_tls.PrivateKey(
            signing_secret_name(name), algorithm="RSA", rsa_bits=RSA_BITS, opts=self._child_options
        )
        return key.private_key_pem_pkcs8

    def _create_secret(self, vault: keyvault.Vault, name: str, value: pulumi.Input[str]) -> VaultSecret:
        secret = keyvault.Secret(
            name,
            resource_group_name=self._args.context.group.name,
            vault_name=known_name(vault),
            secret_name=name,
            properties=keyvault.SecretPropertiesArgs(value=pulumi.Output.secret(value)),
            tags=self._args.context.group.tags,
            # Deleted with the vault. To delete a secret alone takes data-plane access, which a deployment lacks.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        # The secret's own `secret_uri` output is marked secret, as would be everything derived from it.
        return VaultSecret(
            id=secret.id, url=pulumi.Output.concat(vault.properties.vault_uri, "secrets/", known_name(secret))
        )


def signing_secret_name(key_name: str) -> str:
    """Return the name of the secret that holds a signing key."""
    return f"signing-{key_name}"
