"""Where containers run."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app, privatedns

from components.network import Network
from components.place import Place
from components.site import Site
from stack import SYSTEM

# The agent has one receiver that needs no name of ours.
_INSIGHTS = ["appInsights"]


@dataclass(frozen=True, kw_only=True)
class EnvironmentArgs:
    """Where it is, and where what it sees is sent."""

    site: Site


class Environment(pulumi.ComponentResource):
    """An environment of Container Apps with Microsoft's OpenTelemetry agent; in production inside the network."""

    id: pulumi.Output[str]
    domain: pulumi.Output[str]

    def __init__(self, name: str, args: EnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Environment", name, None, opts)
        inside = args.site.network
        made = app.ManagedEnvironment(
            SYSTEM,
            resource_group_name=args.site.place.group,
            location=args.site.place.location,
            workload_profiles=[app.WorkloadProfileArgs(name="Consumption", workload_profile_type="Consumption")],
            vnet_configuration=app.VnetConfigurationArgs(infrastructure_subnet_id=inside.apps_subnet_id, internal=True)
            if inside
            else None,
            public_network_access="Disabled" if inside else "Enabled",
            zone_redundant=args.site.stack.production,
            app_logs_configuration=app.AppLogsConfigurationArgs(destination="azure-monitor"),
            # Exists in preview versions of the API only. It takes no metrics: the service sends those itself.
            app_insights_configuration=app.AppInsightsConfigurationArgs(
                connection_string=args.site.observability.connection_string
            ),
            open_telemetry_configuration=app.OpenTelemetryConfigurationArgs(
                traces_configuration=app.TracesConfigurationArgs(destinations=_INSIGHTS),
                logs_configuration=app.LogsConfigurationArgs(destinations=_INSIGHTS),
            ),
            tags=args.site.place.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id, self.domain = made.id, made.default_domain
        logs = ["ContainerAppConsoleLogs", "ContainerAppSystemLogs"]
        args.site.observability.watch("environment", made.id, logs=logs, parent=self)
        if inside:
            self._named(made, inside, args.site.place)
        self.register_outputs({"domain": self.domain})

    def _named(self, made: app.ManagedEnvironment, inside: Network, place: Place) -> None:
        """Every app's name leads to the environment's one address, within the network alone."""
        zone = inside.zone("apps", made.default_domain, parent=self)
        privatedns.PrivateRecordSet(
            "apps",
            resource_group_name=place.group,
            private_zone_name=zone.name,
            record_type="A",
            relative_record_set_name="*",
            ttl=300,
            a_records=[privatedns.ARecordArgs(ipv4_address=made.static_ip)],
            opts=pulumi.ResourceOptions(parent=self),
        )
