"""Alerts: queries over the service's telemetry, and in production an availability test and a restart alert."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import applicationinsights, monitor

from components.context import Context
from components.gateway import Gateway
from components.observability import MONITORING
from components.service import Service
from stack import SYSTEM

# In development slowness and silence are normal and raise no alert.
DEVELOPMENT_ALERTS = frozenset({"errors", "stale"})
# The locations of the availability test, by Azure's names.
TEST_LOCATIONS = ("emea-nl-ams-azr", "emea-gb-db3-azr", "emea-se-sto-edge", "emea-fr-pra-edge", "emea-ch-zrh-edge")
TEST_INTERVAL_SECONDS = 300
RESTARTS_MAX = 3


@dataclass(frozen=True, kw_only=True)
class AlertsArgs:
    """The arguments of `Alerts`. There is no service before its first image."""

    context: Context
    gateway: Gateway
    service: Service | None


class Alerts(pulumi.ComponentResource):
    """Alerts that notify the operator by the action group."""

    def __init__(self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Alerts", name, None, opts)
        self._args, self._group = args, args.context.group
        self._action_group_id = args.context.observability.action_group_id
        self._child_options = pulumi.ResourceOptions(parent=self)
        for alert in service_alerts():
            if args.context.stack.production or alert["name"] in DEVELOPMENT_ALERTS:
                self._create_query_alert(alert)
        # A test every five minutes would keep development from scaling to zero.
        if args.context.stack.production and args.service:
            self._create_availability_alert(self._create_availability_test())
            self._create_restart_alert(args.service)
        self.register_outputs({})

    def _create_query_alert(self, alert: Mapping[str, object]) -> None:
        """Alert when the query returns a row."""
        monitor.ScheduledQueryRule(
            str(alert["name"]),
            resource_group_name=self._group.name,
            location=self._group.location,
            kind="LogAlert",
            display_name=f"{SYSTEM}: {alert['name']}",
            description=str(alert["meaning"]),
            severity=float(str(alert["severity"])),
            enabled=True,
            scopes=[self._args.context.observability.workspace_id],
            evaluation_frequency="PT5M",
            window_size=f"PT{alert['minutes']}M",
            criteria=monitor.ScheduledQueryRuleCriteriaArgs(
                all_of=[
                    monitor.ConditionArgs(
                        query=str(alert["query"]), time_aggregation="Count", operator="GreaterThan", threshold=0
                    )
                ]
            ),
            auto_mitigate=True,
            # The metrics table exists only after the first metric.
            skip_query_validation=True,
            actions=monitor.ActionsArgs(action_groups=[self._action_group_id]),
            tags=self._group.tags,
            opts=self._child_options,
        )

    def _create_availability_test(self) -> applicationinsights.WebTest:
        """Request the gateway's health endpoint from several locations."""
        insights_id = self._args.context.observability.insights_id
        return applicationinsights.WebTest(
            "away",
            resource_group_name=self._group.name,
            location=self._group.location,
            kind=applicationinsights.WebTestKind.STANDARD,
            web_test_kind=applicationinsights.WebTestKind.STANDARD,
            web_test_name="away",
            synthetic_monitor_id="away",
            enabled=True,
            frequency=TEST_INTERVAL_SECONDS,
            timeout=30,
            retry_enabled=True,
            locations=[applicationinsights.WebTestGeolocationArgs(location=name) for name in TEST_LOCATIONS],
            request=applicationinsights.WebTestPropertiesRequestArgs(
                http_verb="GET", request_url=pulumi.Output.concat(self._args.gateway.url, "/health/ready")
            ),
            validation_rules=applicationinsights.WebTestPropertiesValidationRulesArgs(
                expected_http_status_code=200, s_sl_check=True, s_sl_cert_remaining_lifetime_check=7
            ),
            # Azure links a test to Application Insights by this tag.
            tags=insights_id.apply(lambda resource_id: {**self._group.tags, f"hidden-link:{resource_id}": "Resource"}),
            opts=self._child_options,
        )

    def _create_availability_alert(self, test: applicationinsights.WebTest) -> None:
        monitor.MetricAlert(
            "away",
            resource_group_name=self._group.name,
            location="global",
            description="The gateway or the service does not respond in two or more locations.",
            severity=0,
            enabled=True,
            scopes=[test.id, self._args.context.observability.insights_id],
            evaluation_frequency="PT1M",
            window_size="PT5M",
            criteria=monitor.WebtestLocationAvailabilityCriteriaArgs(
                odata_type="Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria",
                web_test_id=test.id,
                component_id=self._args.context.observability.insights_id,
                failed_location_count=2,
            ),
            actions=[monitor.MetricAlertActionArgs(action_group_id=self._action_group_id)],
            tags=self._group.tags,
            opts=self._child_options,
        )

    def _create_restart_alert(self, service: Service) -> None:
        monitor.MetricAlert(
            "restarts",
            resource_group_name=self._group.name,
            location="global",
            description="A replica of the service restarts repeatedly.",
            severity=1,
            enabled=True,
            scopes=[service.id],
            evaluation_frequency="PT5M",
            window_size="PT15M",
            criteria=monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
                odata_type="Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                all_of=[
                    monitor.MetricCriteriaArgs(
                        criterion_type="StaticThresholdCriterion",
                        name="restarts",
                        metric_namespace="Microsoft.App/containerApps",
                        metric_name="RestartCount",
                        operator="GreaterThan",
                        threshold=RESTARTS_MAX,
                        time_aggregation="Maximum",
                    )
                ],
            ),
            actions=[monitor.MetricAlertActionArgs(action_group_id=self._action_group_id)],
            tags=self._group.tags,
            opts=self._child_options,
        )


def service_alerts() -> Iterator[Mapping[str, object]]:
    """Yield the alerts that the service's telemetry defines."""
    yield from json.loads((MONITORING / "alerts.json").read_text())
