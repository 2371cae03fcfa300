"""The API gateway, without the API that it serves."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import apimanagement

from components.context import Context
from components.roles import KEY_VAULT_SECRETS_USER, MONITORING_METRICS_PUBLISHER, Grant, assign_role
from components.vault import GATEWAY_SECRET, Vault
from stack import SYSTEM

# The Consumption tier has no rate limit by key. Standard v2 is the smallest tier with network integration.
TIERS = {False: ("BasicV2", 1), True: ("StandardV2", 2)}
LOGGER = "insights"


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """The arguments of `Gateway`: the vault holds the secret that the gateway sends to the service."""

    context: Context
    vault: Vault


class Gateway(pulumi.ComponentResource):
    """An API Management service with its own identity; in production its outbound traffic uses the network."""

    name: pulumi.Output[str]
    url: pulumi.Output[str]
    logger_id: pulumi.Output[str]
    # The named value with the secret that the service requires.
    secret: apimanagement.NamedValue

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Gateway", name, None, opts)
        self._args = args
        self._child_options = pulumi.ResourceOptions(parent=self)
        gateway = self._create_gateway()
        self.name, self.url = gateway.name, gateway.gateway_url
        principal = gateway.identity.apply(lambda identity: identity.principal_id if identity else "")
        self.secret = self._create_secret(principal)
        self.logger_id = self._create_logger(principal).id
        self.register_outputs({"url": self.url})

    def _create_gateway(self) -> apimanagement.ApiManagementService:
        context = self._args.context
        tier, units = TIERS[context.stack.production]
        return apimanagement.ApiManagementService(
            SYSTEM,
            resource_group_name=context.group.name,
            location=context.group.location,
            sku=apimanagement.ApiManagementServiceSkuPropertiesArgs(name=tier, capacity=units),
            publisher_name=context.stack.operator_name,
            publisher_email=context.stack.operator_email,
            identity=apimanagement.ApiManagementServiceIdentityArgs(type="SystemAssigned"),
            public_network_access="Enabled",
            # In the v2 tiers External means integration of outbound traffic only.
            virtual_network_type="External" if context.network else "None",
            virtual_network_configuration=apimanagement.VirtualNetworkConfigurationArgs(
                subnet_resource_id=context.network.gateway_subnet_id
            )
            if context.network
            else None,
            tags=context.group.tags,
            opts=pulumi.ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(create="90m")),
        )

    def _create_secret(self, principal: pulumi.Output[str]) -> apimanagement.NamedValue:
        """Reference the vault's secret as a named value. The gateway's identity may read this secret only."""
        secret = self._args.vault.secrets[GATEWAY_SECRET]
        grant = Grant(principal_id=principal, role=KEY_VAULT_SECRETS_USER, scope=secret.id)
        assignment = assign_role("gateway-secret", grant, self._child_options)
        return apimanagement.NamedValue(
            "gateway-secret",
            resource_group_name=self._args.context.group.name,
            service_name=self.name,
            named_value_id="gateway-secret",
            display_name="gateway-secret",
            key_vault=apimanagement.KeyVaultContractCreatePropertiesArgs(secret_identifier=secret.url),
            secret=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[assignment]),
        )

    def _create_logger(self, principal: pulumi.Output[str]) -> apimanagement.Logger:
        observability = self._args.context.observability
        grant = Grant(principal_id=principal, role=MONITORING_METRICS_PUBLISHER, scope=observability.insights_id)
        assignment = assign_role("gateway-telemetry", grant, self._child_options)
        return apimanagement.Logger(
            LOGGER,
            resource_group_name=self._args.context.group.name,
            service_name=self.name,
            logger_id=LOGGER,
            logger_type="applicationInsights",
            resource_id=observability.insights_id,
            credentials={"connectionString": observability.connection_string, "identityClientId": "SystemAssigned"},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[assignment]),
        )
