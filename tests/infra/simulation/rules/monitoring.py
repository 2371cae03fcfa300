"""Rules of logs, alerts and budgets."""

from collections.abc import Iterator
from datetime import date

from tests.infra.simulation.rules.rule import Write, rule, value_at

_INSIGHTS = "Microsoft.Insights"
_DOCS = "https://learn.microsoft.com/azure"
_CATEGORIES = {
    "Microsoft.DocumentDB/databaseAccounts": {
        *("DataPlaneRequests", "QueryRuntimeStatistics", "PartitionKeyStatistics", "PartitionKeyRUConsumption"),
        "ControlPlaneRequests",
    },
    "Microsoft.KeyVault/vaults": {"AuditEvent", "AzurePolicyEvaluationDetails"},
    "Microsoft.ContainerRegistry/registries": {"ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"},
    "Microsoft.App/managedEnvironments": {
        *("ContainerAppConsoleLogs", "ContainerAppSystemLogs", "AppEnvSpringAppConsoleLogs"),
    },
    "Microsoft.ApiManagement/service": {
        *("GatewayLogs", "WebSocketConnectionLogs", "DeveloperPortalAuditLogs", "GatewayLlmLogs"),
    },
}
_QUERY_WINDOWS = {5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440, 2880}
_METRIC_WINDOWS = {1, 5, 15, 30, 60, 360, 720, 1440}
_MINUTES = {"M": 1, "H": 60, "D": 1440}


@rule("https://github.com/hashicorp/terraform-provider-azurerm/issues/2985", f"{_INSIGHTS}/diagnosticSettings")
def a_type_has_its_categories(write: Write) -> Iterator[str]:
    """A diagnostic setting names categories of the resource's type."""
    target = write.cloud.find(str(write.value("resourceUri")))
    categories = _CATEGORIES.get(target.type.arm_name, set()) if target else set()
    for each in write.value("logs", []):
        if each["category"] not in categories:
            yield f"Category '{each['category']}' is not supported"


@rule("https://github.com/Azure/bicep-registry-modules/issues/3407", f"{_INSIGHTS}/diagnosticSettings")
def a_category_goes_to_a_workspace_once(write: Write) -> Iterator[str]:
    """Two settings of one resource cannot send the same category to the same workspace."""
    categories = {each["category"] for each in write.value("logs", [])}
    for other in write.cloud.of_type(f"{_INSIGHTS}/diagnosticSettings"):
        is_same = all(other.inputs.get(key) == write.value(key) for key in ("resourceUri", "workspaceId"))
        if other.id != write.id and is_same and categories & {each["category"] for each in other.inputs["logs"]}:
            yield f"Data sink is already used in diagnostic setting {other.id}"


@rule("https://github.com/Azure/azure-rest-api-specs/issues/21258", f"{_INSIGHTS}/scheduledQueryRules")
def a_query_has_a_listed_window(write: Write) -> Iterator[str]:
    """The window of a query alert is one of thirteen lengths, and not shorter than its frequency."""
    window, frequency = _minutes(write.inputs["windowSize"]), _minutes(write.inputs["evaluationFrequency"])
    if window not in _QUERY_WINDOWS:
        yield f"a window of {window} minutes: Supported granularities are {sorted(_QUERY_WINDOWS)}"
    if frequency > window:
        yield f"the frequency of {frequency} minutes is longer than the window"


@rule("https://github.com/Azure/azure-cli/issues/31138", f"{_INSIGHTS}/metricAlerts")
def a_metric_alert_has_a_listed_window(write: Write) -> Iterator[str]:
    """The window and the frequency of a metric alert are among eight lengths, and its location is global."""
    window, frequency = _minutes(write.inputs["windowSize"]), _minutes(write.inputs["evaluationFrequency"])
    if {window, frequency} - _METRIC_WINDOWS or frequency > window:
        yield f"a window of {window} minutes, every {frequency} minutes, is not supported"
    if write.value("location") != "global":
        yield f"its location is {write.value('location')}"


@rule(f"{_DOCS}/azure-monitor/app/availability", f"{_INSIGHTS}/webtests")
def a_web_test_is_linked_to_its_component(write: Write) -> Iterator[str]:
    """A tag `hidden-link` names an existing component. Tests of the kind `ping` end on 2026-09-30."""
    components = {each.id for each in write.cloud.of_type(f"{_INSIGHTS}/components")}
    links = {key.removeprefix("hidden-link:") for key in write.value("tags", {}) if key.startswith("hidden-link:")}
    if len(links) != 1 or not links <= components:
        yield "A single 'hidden-link' tag pointing to an existing component is required"
    if write.value("webTestKind") != "standard":
        yield f"the kind {write.value('webTestKind')} is retired"


@rule(f"{_DOCS}/azure-monitor/alerts/action-groups", f"{_INSIGHTS}/actionGroups")
def a_short_name_has_12_characters(write: Write) -> Iterator[str]:
    """The short name of an action group has at most 12 characters, and its receivers have distinct names."""
    if len(write.inputs["groupShortName"]) > 12:
        yield f"{write.inputs['groupShortName']} is longer than 12 characters"
    names = [each["name"] for each in write.value("emailReceivers", [])]
    if len(names) > len(set(names)):
        yield "two receivers have the same name"


@rule(f"{_DOCS}/azure-monitor/logs/data-retention-configure", "Microsoft.OperationalInsights/workspaces")
def a_workspace_keeps_30_to_730_days(write: Write) -> Iterator[str]:
    """A workspace with prices by GB keeps data for 30 to 730 days. A daily cap is at least 0.023 GB."""
    days = write.value("retentionInDays", 30)
    if not 30 <= days <= 730:
        yield f"{days} days are not in the range 30 to 730"
    if write.value("workspaceCapping.dailyQuotaGb", 1) < 0.023:
        yield "the daily cap is too small"


@rule("https://github.com/hashicorp/terraform-provider-azurerm/issues/12121", "Microsoft.Consumption/budgets")
def a_budget_starts_this_month_or_later(write: Write) -> Iterator[str]:
    """A budget starts on the first day of a month: this one, or one of the next twelve. The start is never updated."""
    path = "timePeriod.startDate"
    start = date.fromisoformat(write.value(path)[:10])
    if start.day != 1:
        yield f"{start} is not the first day of a month"
    if write.previous and value_at(write.previous.inputs, path) != write.value(path):
        yield "the start cannot be updated"
    months = (start.year - write.today.year) * 12 + start.month - write.today.month
    if write.previous is None and not 0 <= months <= 12:
        yield f"the start {start} is not in the current month or the next twelve"


@rule(f"{_DOCS}/cost-management-billing/costs/tutorial-acm-create-budgets", "Microsoft.Consumption/budgets")
def a_budget_has_5_notifications(write: Write) -> Iterator[str]:
    """A budget has at most five notifications, each with a threshold of at most 1,000 %."""
    notifications = write.value("notifications", {}).values()
    if len(notifications) > 5:
        yield f"{len(notifications)} notifications are more than 5"
    yield from (f"threshold {each['threshold']} %" for each in notifications if not 0 < each["threshold"] <= 1000)


def _minutes(duration: str) -> int:
    """Return the minutes of a duration with one unit, such as PT5M or P1D."""
    return int(duration.lstrip("PT")[:-1]) * _MINUTES[duration[-1]]
