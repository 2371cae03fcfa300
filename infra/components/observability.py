"""Where everything is looked at: logs, traces and measurements in one workspace, a dashboard, and the bill."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_azure_native import applicationinsights, consumption, dashboard, monitor, operationalinsights

from components.identity import Identity
from components.place import Place
from components.roles import MONITORING_METRICS_PUBLISHER, Grant, assigned
from stack import SYSTEM, Stack

MONITORING = Path(__file__).parents[1] / "monitoring"
# A loop that logs must not cost more than development itself (GB a day).
DEVELOPMENT_GB_MAX = 1.0
RETENTION_DAYS = {False: 30, True: 90}
# What stands in the dashboard for the workspace, which is known when it has been made.
_WORKSPACE = "{workspace}"


@dataclass(frozen=True, kw_only=True)
class ObservabilityArgs:
    """Where it is, the stack it looks at, and who sends measurements."""

    place: Place
    stack: Stack
    identity: Identity


class Observability(pulumi.ComponentResource):
    """A workspace, Application Insights in it, a dashboard, whom to tell, and a budget."""

    workspace_id: pulumi.Output[str]
    insights_id: pulumi.Output[str]
    connection_string: pulumi.Output[str]
    action_group_id: pulumi.Output[str]

    def __init__(self, name: str, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Observability", name, None, opts)
        self._place, self._stack = args.place, args.stack
        self._mine = pulumi.ResourceOptions(parent=self)
        workspace = self._workspace()
        self.workspace_id = workspace.id
        insights = applicationinsights.Component(
            SYSTEM,
            resource_group_name=args.place.group,
            location=args.place.location,
            kind="web",
            application_type="web",
            workspace_resource_id=workspace.id,
            # The agent of Container Apps knows no other way in than the connection string.
            disable_local_auth=False,
            tags=args.place.tags,
            opts=self._mine,
        )
        self.insights_id = insights.id
        # Whoever has it can send measurements in our name.
        self.connection_string = pulumi.Output.secret(insights.connection_string)
        sends = Grant(principal_id=args.identity.principal_id, role=MONITORING_METRICS_PUBLISHER, scope=insights.id)
        assigned("telemetry", sends, self._mine)
        self._dashboard()
        self.action_group_id = self._action_group().id
        self._budget()
        self.register_outputs({"workspace_id": self.workspace_id})

    def watch(self, name: str, target: pulumi.Input[str], *, logs: Sequence[str], parent: pulumi.Resource) -> None:
        """Send `logs` of a resource, by category, to the workspace."""
        monitor.DiagnosticSetting(
            name,
            resource_uri=target,
            workspace_id=self.workspace_id,
            log_analytics_destination_type="Dedicated",
            logs=[monitor.DiagnosticsLogSettingsArgs(category=each, enabled=True) for each in logs],
            opts=pulumi.ResourceOptions(parent=parent),
        )

    def _workspace(self) -> operationalinsights.Workspace:
        capped = None if self._stack.production else DEVELOPMENT_GB_MAX
        return operationalinsights.Workspace(
            SYSTEM,
            resource_group_name=self._place.group,
            location=self._place.location,
            sku=operationalinsights.WorkspaceSkuArgs(name="PerGB2018"),
            retention_in_days=RETENTION_DAYS[self._stack.production],
            workspace_capping=None
            if capped is None
            else operationalinsights.WorkspaceCappingArgs(daily_quota_gb=capped),
            features=operationalinsights.WorkspaceFeaturesArgs(
                disable_local_auth=True, enable_log_access_using_only_resource_permissions=True
            ),
            tags=self._place.tags,
            opts=self._mine,
        )

    def _dashboard(self) -> None:
        made = dashboard.Dashboard(
            SYSTEM,
            resource_group_name=self._place.group,
            location=self._place.location,
            tags=self._place.tags,
            opts=self._mine,
        )
        shown = (MONITORING / "dashboard.json").read_text()
        dashboard.DashboardDefinition(
            SYSTEM,
            resource_group_name=self._place.group,
            dashboard_name=made.name,
            definition_name="default",
            properties=dashboard.DashboardDefinitionPropertiesArgs(
                serialized_data=self.workspace_id.apply(
                    lambda found: json.dumps(json.loads(shown.replace(_WORKSPACE, found)))
                )
            ),
            opts=self._mine,
        )

    def _action_group(self) -> monitor.ActionGroup:
        return monitor.ActionGroup(
            SYSTEM,
            resource_group_name=self._place.group,
            location="global",
            group_short_name=SYSTEM,
            enabled=True,
            email_receivers=[
                monitor.MicrosoftCommonEmailReceiverArgs(
                    name="operator", email_address=self._stack.operator_email, use_common_alert_schema=True
                )
            ],
            tags=self._place.tags,
            opts=self._mine,
        )

    def _budget(self) -> None:
        """Tell when most of a month's money is spent, and when it is going to be."""
        consumption.Budget(
            SYSTEM,
            scope=self._place.group_id,
            category="Cost",
            amount=self._stack.budget,
            time_grain="Monthly",
            time_period=consumption.BudgetTimePeriodArgs(start_date=f"{self._stack.budget_from}T00:00:00Z"),
            notifications={
                "spent": self._notification(80, "Actual"),
                "expected": self._notification(100, "Forecasted"),
            },
            opts=self._mine,
        )

    def _notification(self, percent: int, kind: str) -> consumption.NotificationArgs:
        return consumption.NotificationArgs(
            contact_emails=[self._stack.operator_email],
            enabled=True,
            operator="GreaterThan",
            threshold=percent,
            threshold_type=kind,
        )
