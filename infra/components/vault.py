"""What must be secret: the keys that sign tokens, and what the gateway shows to be let in."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_random
import pulumi_tls
from pulumi_azure_native import keyvault

from components.identity import Identity
from components.roles import KEY_VAULT_SECRETS_USER, Grant, assigned
from components.site import Site
from stack import SYSTEM

# The service takes 2048 bits and more; this is what is advised beyond 2030.
RSA_BITS = 3_072
# What the service lets the gateway in by, which may be several; and the one that the gateway says.
GATEWAY_SECRETS, GATEWAY_SAYS = "gateway", "gateway-says"
GATEWAY_SECRET_LENGTH = 48
TELEMETRY, SUBSCRIPTION = "telemetry", "platform-subscription"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A secret in the vault: its id, and the address by which it is asked for, which always has the newest value."""

    id: pulumi.Output[str]
    url: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class VaultArgs:
    """Where the vault is, who reads it, and who looks at it."""

    site: Site
    identity: Identity


class Vault(pulumi.ComponentResource):
    """A vault that only roles open, from which nothing disappears at once, with all the service's secrets."""

    kept: Mapping[str, Kept]
    vault_id: pulumi.Output[str]

    def __init__(self, name: str, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Vault", name, None, opts)
        self._args = args
        self._mine = pulumi.ResourceOptions(parent=self)
        vault = self._vault()
        self.vault_id = vault.id
        self.kept = {each: self._keep(vault, each, value) for each, value in self._secrets().items()}
        assigned(
            "vault",
            Grant(principal_id=args.identity.principal_id, role=KEY_VAULT_SECRETS_USER, scope=vault.id),
            self._mine,
        )
        if args.site.network:
            args.site.network.endpoint("vault", "vault", vault.id, parent=self)
        args.site.observability.watch("vault", vault.id, logs=["AuditEvent"], parent=self)
        self.register_outputs({"secrets": sorted(self.kept)})

    def _vault(self) -> keyvault.Vault:
        args, production = self._args, self._args.site.stack.production
        return keyvault.Vault(
            SYSTEM,
            resource_group_name=args.site.place.group,
            location=args.site.place.location,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=args.identity.tenant_id,
                sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                soft_delete_retention_in_days=90 if production else 7,
                enable_purge_protection=True,
                public_network_access="Disabled" if production else "Enabled",
                # The gateway's own service, which stands outside the network, asks for its secret.
                network_acls=keyvault.NetworkRuleSetArgs(
                    bypass="AzureServices", default_action="Deny" if production else "Allow"
                ),
            ),
            tags=args.site.place.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=production),
        )

    def _secrets(self) -> Mapping[str, pulumi.Input[str]]:
        """Every secret by its name. They are made here and known to nobody but the stack's own, encrypted state."""
        gateway = [self._password(name) for name in self._args.site.stack.gateway_secrets]
        keys = {signing(name): self._signing_key(name) for name in self._args.site.stack.signing_keys}
        subscription_key = self._args.site.stack.platform.subscription_key
        asked = {} if subscription_key is None else {SUBSCRIPTION: subscription_key}
        return {
            **keys,
            **asked,
            GATEWAY_SECRETS: pulumi.Output.all(*gateway).apply(" ".join),
            GATEWAY_SAYS: gateway[-1],
            TELEMETRY: self._args.site.observability.connection_string,
        }

    def _password(self, name: str) -> pulumi.Output[str]:
        made = pulumi_random.RandomPassword(
            f"gateway-{name}", length=GATEWAY_SECRET_LENGTH, special=False, opts=self._mine
        )
        return made.result

    def _signing_key(self, name: str) -> pulumi.Output[str]:
        made = pulumi_tls.PrivateKey(signing(name), algorithm="RSA", rsa_bits=RSA_BITS, opts=self._mine)
        return made.private_key_pem_pkcs8

    def _keep(self, vault: keyvault.Vault, name: str, value: pulumi.Input[str]) -> Kept:
        secret = keyvault.Secret(
            name,
            resource_group_name=self._args.site.place.group,
            vault_name=vault.name,
            secret_name=name,
            properties=keyvault.SecretPropertiesArgs(value=pulumi.Output.secret(value)),
            tags=self._args.site.place.tags,
            # It goes with its vault. To delete one takes a way into the vault, which whoever deploys has not.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        # Not the address that the secret itself tells: that would be secret as well, and all that is made of it.
        return Kept(id=secret.id, url=pulumi.Output.concat(vault.properties.vault_uri, "secrets/", secret.name))


def signing(name: str) -> str:
    """What the secret of a signing key is called."""
    return f"signing-{name}"
