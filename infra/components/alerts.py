"""What somebody is told of, by night if need be: the service's own alerts, and what only Azure can see."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import applicationinsights, monitor

from components.gateway import Gateway
from components.observability import MONITORING
from components.service import Service
from components.site import Site
from stack import SYSTEM

# In development nobody is woken for slowness or silence.
FEW = frozenset({"errors", "stale"})
# Where the gateway is asked from, in Azure's own names for places.
ASKED_FROM = ("emea-nl-ams-azr", "emea-gb-db3-azr", "emea-se-sto-edge", "emea-fr-pra-edge", "emea-ch-zrh-edge")
ASKED_SECONDS = 300
RESTARTS_MAX = 3


@dataclass(frozen=True, kw_only=True)
class AlertsArgs:
    """What is looked at, and whom to tell."""

    site: Site
    gateway: Gateway
    service: Service | None


class Alerts(pulumi.ComponentResource):
    """Alerts by query over the service's measurements; in production also from outside, and for restarts."""

    def __init__(self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Alerts", name, None, opts)
        self._args, self._mine = args, pulumi.ResourceOptions(parent=self)
        for alert in described():
            if args.site.stack.production or alert["name"] in FEW:
                self._rule(alert)
        # Being asked every five minutes would keep awake what may sleep in development.
        if args.site.stack.production and args.service:
            self._away(self._asked())
            self._restarts(args.service)
        self.register_outputs({})

    def _rule(self, alert: Mapping[str, object]) -> None:
        """An alert whose query has a row when something is wrong."""
        monitor.ScheduledQueryRule(
            str(alert["name"]),
            resource_group_name=self._args.site.place.group,
            location=self._args.site.place.location,
            kind="LogAlert",
            display_name=f"{SYSTEM}: {alert['name']}",
            description=str(alert["meaning"]),
            severity=float(str(alert["severity"])),
            enabled=True,
            scopes=[self._args.site.observability.workspace_id],
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
            # The table of measurements comes with the first one.
            skip_query_validation=True,
            actions=monitor.ActionsArgs(action_groups=[self._args.site.observability.action_group_id]),
            tags=self._args.site.place.tags,
            opts=self._mine,
        )

    def _asked(self) -> applicationinsights.WebTest:
        """The gateway's health, asked for from other places."""
        insights, tags = self._args.site.observability.insights_id, self._args.site.place.tags
        return applicationinsights.WebTest(
            "away",
            resource_group_name=self._args.site.place.group,
            location=self._args.site.place.location,
            kind=applicationinsights.WebTestKind.STANDARD,
            web_test_kind=applicationinsights.WebTestKind.STANDARD,
            web_test_name="away",
            synthetic_monitor_id="away",
            enabled=True,
            frequency=ASKED_SECONDS,
            timeout=30,
            retry_enabled=True,
            locations=[applicationinsights.WebTestGeolocationArgs(location=each) for each in ASKED_FROM],
            request=applicationinsights.WebTestPropertiesRequestArgs(
                http_verb="GET", request_url=pulumi.Output.concat(self._args.gateway.url, "/health/ready")
            ),
            validation_rules=applicationinsights.WebTestPropertiesValidationRulesArgs(
                expected_http_status_code=200, s_sl_check=True, s_sl_cert_remaining_lifetime_check=7
            ),
            # By this tag Azure knows where its results belong.
            tags=insights.apply(lambda found: {**tags, f"hidden-link:{found}": "Resource"}),
            opts=self._mine,
        )

    def _away(self, asked: applicationinsights.WebTest) -> None:
        monitor.MetricAlert(
            "away",
            resource_group_name=self._args.site.place.group,
            location="global",
            description="The gateway or the service does not answer in two places or more.",
            severity=0,
            enabled=True,
            scopes=[asked.id, self._args.site.observability.insights_id],
            evaluation_frequency="PT1M",
            window_size="PT5M",
            criteria=monitor.WebtestLocationAvailabilityCriteriaArgs(
                odata_type="Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria",
                web_test_id=asked.id,
                component_id=self._args.site.observability.insights_id,
                failed_location_count=2,
            ),
            actions=[monitor.MetricAlertActionArgs(action_group_id=self._args.site.observability.action_group_id)],
            tags=self._args.site.place.tags,
            opts=self._mine,
        )

    def _restarts(self, service: Service) -> None:
        monitor.MetricAlert(
            "restarts",
            resource_group_name=self._args.site.place.group,
            location="global",
            description="A replica of the service is started again and again.",
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
            actions=[monitor.MetricAlertActionArgs(action_group_id=self._args.site.observability.action_group_id)],
            tags=self._args.site.place.tags,
            opts=self._mine,
        )


def described() -> Iterator[Mapping[str, object]]:
    """The service's own alerts, as its telemetry describes them."""
    yield from json.loads((MONITORING / "alerts.json").read_text())
