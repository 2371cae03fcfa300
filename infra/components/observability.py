"""Observability: one workspace for logs, traces and metrics, a dashboard, notifications and a budget."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pulumi
from pulumi_azure_native import applicationinsights, consumption, dashboard, monitor, operationalinsights

from components.identity import Identity
from components.known_name import known_name
from components.resource_group import ResourceGroup
from components.roles import MONITORING_METRICS_PUBLISHER, Grant, assign_role
from stack import SYSTEM, Stack

MONITORING = Path(__file__).parents[1] / "monitoring"
# A logging loop must not cost more than the rest of a development stack (GB a day).
DEVELOPMENT_GB_MAX = 1.0
RETENTION_DAYS = {False: 30, True: 90}
_SECRET_OUTPUTS = ("connectionString", "instrumentationKey")
# The placeholder for the workspace's id in the dashboard file.
_WORKSPACE = "{workspace}"


@dataclass(frozen=True, kw_only=True)
class ObservabilityArgs:
    """The arguments of `Observability`: the identity may publish metrics."""

    group: ResourceGroup
    stack: Stack
    identity: Identity


class Observability(pulumi.ComponentResource):
    """A workspace, Application Insights, a dashboard, an action group for alerts, and a budget."""

    workspace_id: pulumi.Output[str]
    insights_id: pulumi.Output[str]
    connection_string: pulumi.Output[str]
    action_group_id: pulumi.Output[str]

    def __init__(self, name: str, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Observability", name, None, opts)
        self._group, self._stack = args.group, args.stack
        self._child_options = pulumi.ResourceOptions(parent=self)
        self.workspace_id = self._create_workspace().id
        insights = self._create_insights()
        self.insights_id = insights.id
        self.connection_string = insights.connection_string
        grant = Grant(principal_id=args.identity.principal_id, role=MONITORING_METRICS_PUBLISHER, scope=insights.id)
        assign_role("telemetry", grant, self._child_options)
        self._create_dashboard()
        self.action_group_id = self._create_action_group().id
        self._create_budget()
        self.register_outputs({"workspace_id": self.workspace_id})

    def send_logs(
        self,
        name: str,
        target: pulumi.Input[str],
        *,
        logs: Sequence[str],
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        """Send the log categories `logs` of the resource `target` to the workspace."""
        monitor.DiagnosticSetting(
            name,
            resource_uri=target,
            workspace_id=self.workspace_id,
            log_analytics_destination_type="Dedicated",
            logs=[monitor.DiagnosticsLogSettingsArgs(category=category, enabled=True) for category in logs],
            opts=pulumi.ResourceOptions(parent=parent, depends_on=after),
        )

    def _create_workspace(self) -> operationalinsights.Workspace:
        daily_cap = operationalinsights.WorkspaceCappingArgs(daily_quota_gb=DEVELOPMENT_GB_MAX)
        return operationalinsights.Workspace(
            SYSTEM,
            resource_group_name=self._group.name,
            location=self._group.location,
            sku=operationalinsights.WorkspaceSkuArgs(name="PerGB2018"),
            retention_in_days=RETENTION_DAYS[self._stack.production],
            workspace_capping=None if self._stack.production else daily_cap,
            features=operationalinsights.WorkspaceFeaturesArgs(
                disable_local_auth=True, enable_log_access_using_only_resource_permissions=True
            ),
            tags=self._group.tags,
            opts=self._child_options,
        )

    def _create_insights(self) -> applicationinsights.Component:
        return applicationinsights.Component(
            SYSTEM,
            resource_group_name=self._group.name,
            location=self._group.location,
            kind="web",
            application_type="web",
            workspace_resource_id=self.workspace_id,
            # The agent of Container Apps authenticates by connection string only.
            disable_local_auth=False,
            tags=self._group.tags,
            # Enough to send telemetry. Azure's provider does not mark them: they would be in clear in the state.
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=list(_SECRET_OUTPUTS)),
        )

    def _create_dashboard(self) -> None:
        board = dashboard.Dashboard(
            SYSTEM,
            resource_group_name=self._group.name,
            location=self._group.location,
            tags=self._group.tags,
            opts=self._child_options,
        )
        text = (MONITORING / "dashboard.json").read_text()
        dashboard.DashboardDefinition(
            SYSTEM,
            resource_group_name=self._group.name,
            dashboard_name=known_name(board),
            definition_name="default",
            properties=dashboard.DashboardDefinitionPropertiesArgs(
                serialized_data=self.workspace_id.apply(
                    lambda workspace_id: json.dumps(json.loads(text.replace(_WORKSPACE, workspace_id)))
                )
            ),
            opts=self._child_options,
        )

    def _create_action_group(self) -> monitor.ActionGroup:
        return monitor.ActionGroup(
            SYSTEM,
            resource_group_name=self._group.name,
            location="global",
            group_short_name=SYSTEM,
            enabled=True,
            email_receivers=[
                monitor.MicrosoftCommonEmailReceiverArgs(
                    name="operator", email_address=self._stack.operator_email, use_common_alert_schema=True
                )
            ],
            tags=self._group.tags,
            opts=self._child_options,
        )

    def _create_budget(self) -> None:
        """Notify the operator at 80 % of the month's budget, and when the forecast exceeds it.

        A budget starts in the month of its creation, or Azure refuses it; the start of an existing one stays.
        """
        this_month = datetime.now(UTC).strftime("%Y-%m-01T00:00:00Z")
        consumption.Budget(
            SYSTEM,
            scope=self._group.id,
            category="Cost",
            amount=self._stack.budget,
            time_grain="Monthly",
            time_period=consumption.BudgetTimePeriodArgs(start_date=this_month),
            notifications={
                "spent": self._notification(80, "Actual"),
                "expected": self._notification(100, "Forecasted"),
            },
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["timePeriod"]),
        )

    def _notification(self, percent: int, kind: str) -> consumption.NotificationArgs:
        return consumption.NotificationArgs(
            contact_emails=[self._stack.operator_email],
            enabled=True,
            operator="GreaterThan",
            threshold=percent,
            threshold_type=kind,
        )
