"""The Container Apps environment, in which the service runs."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app, privatedns

from components.context import Context
from components.known_name import known_name
from components.network import Network
from stack import SYSTEM

# The OpenTelemetry agent's built-in destination.
_INSIGHTS = ["appInsights"]


@dataclass(frozen=True, kw_only=True)
class EnvironmentArgs:
    """The arguments of `Environment`."""

    context: Context


class Environment(pulumi.ComponentResource):
    """A Container Apps environment with Microsoft's OpenTelemetry agent; in production inside the network."""

    id: pulumi.Output[str]
    domain: pulumi.Output[str]

    def __init__(self, name: str, args: EnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Environment", name, None, opts)
        self._context = args.context
        environment = self._create_environment()
        self.id, self.domain = environment.id, environment.default_domain
        logs = ["ContainerAppConsoleLogs", "ContainerAppSystemLogs"]
        args.context.observability.send_logs("environment", environment.id, logs=logs, parent=self)
        if args.context.network:
            self._create_wildcard_record(environment, args.context.network)
        self.register_outputs({"domain": self.domain})

    def _create_environment(self) -> app.ManagedEnvironment:
        group, network = self._context.group, self._context.network
        return app.ManagedEnvironment(
            SYSTEM,
            resource_group_name=group.name,
            location=group.location,
            workload_profiles=[app.WorkloadProfileArgs(name="Consumption", workload_profile_type="Consumption")],
            vnet_configuration=app.VnetConfigurationArgs(infrastructure_subnet_id=network.apps_subnet_id, internal=True)
            if network
            else None,
            public_network_access="Disabled" if network else "Enabled",
            zone_redundant=self._context.stack.production,
            app_logs_configuration=app.AppLogsConfigurationArgs(destination="azure-monitor"),
            # Only in preview versions of the API. The agent accepts no metrics: the service exports those itself.
            app_insights_configuration=app.AppInsightsConfigurationArgs(
                connection_string=self._context.observability.connection_string
            ),
            open_telemetry_configuration=app.OpenTelemetryConfigurationArgs(
                traces_configuration=app.TracesConfigurationArgs(destinations=_INSIGHTS),
                logs_configuration=app.LogsConfigurationArgs(destinations=_INSIGHTS),
            ),
            tags=group.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _create_wildcard_record(self, environment: app.ManagedEnvironment, network: Network) -> None:
        """Resolve every app's name to the environment's address, inside the network, and where its gateway is, only."""
        zone = network.create_shared_zone("apps", environment.default_domain, parent=self)
        privatedns.PrivateRecordSet(
            "apps",
            resource_group_name=self._context.group.name,
            private_zone_name=known_name(zone.zone),
            record_type="A",
            relative_record_set_name="*",
            ttl=300,
            a_records=[privatedns.ARecordArgs(ipv4_address=environment.static_ip)],
            opts=pulumi.ResourceOptions(parent=self),
        )
