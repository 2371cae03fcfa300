"""The one way in: the gateway itself, without what it serves."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import apimanagement

from components.roles import KEY_VAULT_SECRETS_USER, MONITORING_METRICS_PUBLISHER, Grant, assigned
from components.site import Site
from components.vault import GATEWAY_SAYS, Vault
from stack import SYSTEM

# Consumption cannot limit by caller. Of the tiers that reach into a network this one has no zones to choose.
TIERS = {False: ("BasicV2", 1), True: ("StandardV2", 2)}
LOGGER = "insights"


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """Where it is, what it looks like from outside, and the secret by which the service knows it."""

    site: Site
    vault: Vault


class Gateway(pulumi.ComponentResource):
    """A service of API Management with an identity of its own; in production it goes out into the network."""

    name: pulumi.Output[str]
    url: pulumi.Output[str]
    logger_id: pulumi.Output[str]
    # The named value that holds the secret which the service asks of whoever calls it.
    secret: apimanagement.NamedValue

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Gateway", name, None, opts)
        self._args = args
        self._mine = pulumi.ResourceOptions(parent=self)
        made = self._gateway()
        self.name, self.url = made.name, made.gateway_url
        principal = made.identity.apply(lambda identity: identity.principal_id if identity else "")
        self.secret = self._secret(principal)
        self.logger_id = self._logger(principal).id
        self.register_outputs({"url": self.url})

    def _gateway(self) -> apimanagement.ApiManagementService:
        tier, units = TIERS[self._args.site.stack.production]
        inside = self._args.site.network
        return apimanagement.ApiManagementService(
            SYSTEM,
            resource_group_name=self._args.site.place.group,
            location=self._args.site.place.location,
            sku=apimanagement.ApiManagementServiceSkuPropertiesArgs(name=tier, capacity=units),
            publisher_name=self._args.site.stack.operator_name,
            publisher_email=self._args.site.stack.operator_email,
            identity=apimanagement.ApiManagementServiceIdentityArgs(type="SystemAssigned"),
            public_network_access="Enabled",
            # Of the tiers of the second generation this means: outwards alone.
            virtual_network_type="External" if inside else "None",
            virtual_network_configuration=apimanagement.VirtualNetworkConfigurationArgs(
                subnet_resource_id=inside.gateway_subnet_id
            )
            if inside
            else None,
            tags=self._args.site.place.tags,
            opts=pulumi.ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(create="90m")),
        )

    def _secret(self, principal: pulumi.Output[str]) -> apimanagement.NamedValue:
        """Taken from the vault by the gateway's own identity, which may read this one secret."""
        kept = self._args.vault.kept[GATEWAY_SAYS]
        grant = Grant(principal_id=principal, role=KEY_VAULT_SECRETS_USER, scope=kept.id)
        allowed = assigned("gateway-secret", grant, self._mine)
        return apimanagement.NamedValue(
            "gateway-secret",
            resource_group_name=self._args.site.place.group,
            service_name=self.name,
            named_value_id="gateway-secret",
            display_name="gateway-secret",
            key_vault=apimanagement.KeyVaultContractCreatePropertiesArgs(secret_identifier=kept.url),
            secret=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )

    def _logger(self, principal: pulumi.Output[str]) -> apimanagement.Logger:
        insights = self._args.site.observability
        grant = Grant(principal_id=principal, role=MONITORING_METRICS_PUBLISHER, scope=insights.insights_id)
        allowed = assigned("gateway-telemetry", grant, self._mine)
        return apimanagement.Logger(
            LOGGER,
            resource_group_name=self._args.site.place.group,
            service_name=self.name,
            logger_id=LOGGER,
            logger_type="applicationInsights",
            resource_id=insights.insights_id,
            credentials={"connectionString": insights.connection_string, "identityClientId": "SystemAssigned"},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
