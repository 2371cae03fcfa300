"""The API gateway, without the API that it serves."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import apimanagement

from components.context import Context
from components.custom_domain import DomainAccess
from components.known_name import known_name
from components.roles import MONITORING_METRICS_PUBLISHER, Grant, assign_role
from components.vault import Vault
from stack import SYSTEM

# The Consumption tier has no rate limit by key. Standard v2 is the smallest tier with network integration.
TIERS = {False: ("BasicV2", 1), True: ("StandardV2", 2)}
# The kinds of a diagnostic, by Azure's names: traces in Application Insights, and logs in the workspace.
TRACES, LOGS = "applicationinsights", "azuremonitor"


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """The arguments of `Gateway`: the vault holds the secret that the gateway sends to the service.

    With a custom domain, `domain` is the access to its certificate.
    """

    context: Context
    vault: Vault
    domain: DomainAccess | None


class Gateway(pulumi.ComponentResource):
    """An API Management service with its own identity; in production its outbound traffic uses the network."""

    name: pulumi.Output[str]
    # The address that clients use. With a custom domain it is not the host name that Azure has assigned.
    url: pulumi.Output[str]
    host: pulumi.Output[str]
    id: pulumi.Output[str]
    # The loggers by the kind of diagnostic.
    logger_ids: Mapping[str, pulumi.Output[str]]
    # The named value with the secret that the service requires.
    secret: apimanagement.NamedValue

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Gateway", name, None, opts)
        self._args = args
        self._child_options = pulumi.ResourceOptions(parent=self)
        gateway = self._create_gateway()
        self.id, self.name = gateway.id, known_name(gateway)
        self.host = gateway.gateway_url.apply(lambda url: url.removeprefix("https://"))
        domain = args.context.stack.custom_domain
        # The address depends on the gateway: what uses it waits until the gateway serves it.
        self.url = self.host.apply(lambda host: f"https://{domain.host if domain else host}")
        principal = gateway.identity.apply(lambda identity: identity.principal_id if identity else "")
        self.secret = self._create_secret()
        self.logger_ids = {TRACES: self._create_trace_logger(principal).id, LOGS: self._create_log_logger().id}
        self.register_outputs({"url": self.url})

    def _create_gateway(self) -> apimanagement.ApiManagementService:
        context, domain = self._args.context, self._args.domain
        tier, units = TIERS[context.stack.production]
        return apimanagement.ApiManagementService(
            SYSTEM,
            resource_group_name=context.group.name,
            location=context.group.location,
            sku=apimanagement.ApiManagementServiceSkuPropertiesArgs(name=tier, capacity=units),
            publisher_name=context.stack.operator_name,
            publisher_email=context.stack.operator_email,
            identity=_identity(domain),
            hostname_configurations=[domain.host_name] if domain else None,
            public_network_access="Enabled",
            # Pages for developers, open to everyone unless they are closed.
            developer_portal_status="Disabled",
            legacy_portal_status="Disabled",
            # In the v2 tiers External means integration of outbound traffic only.
            virtual_network_type="External" if context.network else "None",
            virtual_network_configuration=apimanagement.VirtualNetworkConfigurationArgs(
                subnet_resource_id=context.network.gateway_subnet_id
            )
            if context.network
            else None,
            tags=context.group.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[domain] if domain else [],
                custom_timeouts=pulumi.CustomTimeouts(create="90m"),
                # Azure refuses this input in the v2 tiers, and the SDK sends it as false.
                transformations=[_without_client_certificate],
            ),
        )

    def _create_secret(self) -> apimanagement.NamedValue:
        """Create the named value with the secret. A reference to a vault would need one with public access."""
        return apimanagement.NamedValue(
            "gateway-secret",
            resource_group_name=self._args.context.group.name,
            service_name=self.name,
            named_value_id="gateway-secret",
            display_name="gateway-secret",
            value=self._args.vault.gateway_secret,
            secret=True,
            opts=self._child_options,
        )

    def _create_log_logger(self) -> apimanagement.Logger:
        """Create the logger that a diagnostic setting of the service uses. Its name is fixed."""
        return apimanagement.Logger(
            LOGS,
            resource_group_name=self._args.context.group.name,
            service_name=self.name,
            logger_id=LOGS,
            logger_type="azureMonitor",
            opts=self._child_options,
        )

    def _create_trace_logger(self, principal: pulumi.Output[str]) -> apimanagement.Logger:
        observability = self._args.context.observability
        grant = Grant(principal_id=principal, role=MONITORING_METRICS_PUBLISHER, scope=observability.insights_id)
        assignment = assign_role("gateway-telemetry", grant, self._child_options)
        return apimanagement.Logger(
            "insights",
            resource_group_name=self._args.context.group.name,
            service_name=self.name,
            logger_id="insights",
            logger_type="applicationInsights",
            resource_id=observability.insights_id,
            credentials={"connectionString": observability.connection_string, "identityClientId": "SystemAssigned"},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[assignment]),
        )


def _identity(domain: DomainAccess | None) -> apimanagement.ApiManagementServiceIdentityArgs:
    """Return the gateway's own identity, and with a custom domain the one that reads the certificate."""
    if domain is None:
        return apimanagement.ApiManagementServiceIdentityArgs(type="SystemAssigned")
    return apimanagement.ApiManagementServiceIdentityArgs(
        type=apimanagement.ApimIdentityType.SYSTEM_ASSIGNED_USER_ASSIGNED,
        user_assigned_identities=domain.identity_id.apply(
            lambda identity_id: {identity_id: apimanagement.UserIdentityPropertiesArgs()}
        ),
    )


def _without_client_certificate(
    arguments: pulumi.ResourceTransformationArgs,
) -> pulumi.ResourceTransformationResult:
    inputs = {name: value for name, value in arguments.props.items() if name != "enable_client_certificate"}
    return pulumi.ResourceTransformationResult(props=inputs, opts=arguments.opts)
