"""The dashboard and the alerts on Azure: `python -m eventfeed.telemetry.dashboards FOLDER` writes both.

The dashboard has the panels of the local page. Queries are Kusto over the table `AppMetrics` of the workspace, whose
rows `application_insights` makes.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from eventfeed.telemetry.application_insights import BOUND, metric_name
from eventfeed.telemetry.metrics import HISTOGRAM, METRICS, UP_DOWN_COUNTER
from eventfeed.telemetry.panels import HIGH, MEDIAN, PANELS, RATE, Panel

# Replaced by the id of the workspace, which exists only after the deployment.
WORKSPACE = "{workspace}"
_SOURCE = {"type": "grafana-azure-monitor-datasource", "uid": "azure-monitor-oob"}
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 7


class Alert(NamedTuple):
    """An alert fires if `query` over the last `minutes` has a row. `severity` is from 0 (critical) to 4."""

    name: str
    severity: int
    minutes: int
    meaning: str
    query: str


def _rows(*metrics: str) -> str:
    """Return the part of a query that selects the rows of these metrics."""
    names = ", ".join(f"'{metric_name(METRICS[each].name)}'" for each in metrics)
    return f"AppMetrics | where Name in ({names})"


def _high_percentile(metric: str, above: float, *, count_min: int) -> str:
    """Return a query with a row if the 99th percentile of at least so many values is above a bound."""
    return (
        f"{_rows(metric)} | summarize high = percentilew(todouble(Properties['{BOUND}']), ItemCount, 99),"
        f" counted = sum(ItemCount) | where counted >= {count_min} and high > {above}"
    )


def _high_share(metric: str, condition: str, *, share: float, amount: str = "Sum", count_min: int) -> str:
    """Return a query with a row if the rows that meet the condition are too many and too large a share of all."""
    return (
        f"{_rows(metric)} | summarize found = sumif({amount}, {condition}), total = sum({amount})"
        f" | where found >= {count_min} and found > {share} * total"
    )


ALERTS = (
    Alert(
        "errors",
        1,
        5,
        "More than 1 % of requests fail.",
        _high_share(
            "http.server.request.duration",
            "toint(Properties['http.response.status_code']) >= 500",
            share=0.01,
            amount="ItemCount",
            count_min=10,
        ),
    ),
    Alert(
        "slow-pages",
        2,
        10,
        "A page in a hundred takes more than 0.5 s.",
        _high_percentile("eventfeed.page.duration", 0.5, count_min=100),
    ),
    Alert(
        "slow-publishes",
        2,
        10,
        "A write in a hundred takes more than 2.5 s.",
        _high_percentile("eventfeed.append.duration", 2.5, count_min=20),
    ),
    Alert(
        "stale",
        1,
        5,
        "A process has not read the end of the log for 30 s: new events do not reach its readers.",
        f"{_rows('eventfeed.tail.staleness')}"
        " | summarize staleness = max(Sum) by AppRoleInstance | where staleness > 30",
    ),
    Alert(
        "lag",
        2,
        30,
        "Every page with events was older than 10 minutes: all readers are behind.",
        f"{_rows('eventfeed.age_at_read')}"
        " | summarize freshest = min(Min), pages = sum(ItemCount) | where pages >= 10 and freshest >= 600",
    ),
    Alert(
        "throttling",
        2,
        5,
        "Cosmos DB refuses more than 1 % of requests: its throughput is too low.",
        f"{_rows('eventfeed.store.throttled', 'eventfeed.store.requests')}"
        " | summarize refused = sumif(Sum, Name == 'eventfeed.store.throttled'),"
        " total = sumif(Sum, Name == 'eventfeed.store.requests')"
        " | where refused >= 60 and refused > 0.01 * total",
    ),
    Alert(
        "queue",
        1,
        5,
        "5,000 events wait in a process to be written; at 10,000 publishers are refused.",
        f"{_rows('eventfeed.queue.depth')} | summarize waiting = max(Sum) by AppRoleInstance | where waiting >= 5000",
    ),
    Alert(
        "silence",
        1,
        60,
        "Nothing was published for an hour.",
        f"{_rows('eventfeed.events.published')} | summarize events = sum(Sum) | where isnull(events) or events == 0",
    ),
    Alert(
        "undecided",
        1,
        5,
        "More than 5 % of decisions are undecided: party feeds return no pages.",
        _high_share("eventfeed.decisions", "tostring(Properties['outcome']) == 'undecided'", share=0.05, count_min=10),
    ),
)


def query(panel: Panel) -> str:
    """Return the query of a panel over the time range of the dashboard: a value for each line and moment."""
    line = f"tostring(Properties['{panel.by}'])" if panel.by else "'all'"
    rows = f"{_rows(panel.metric_name)} | where $__timeFilter(TimeGenerated)"
    moments, kind = f"by bin(TimeGenerated, $__interval), line = {line}", panel.metric.kind
    if panel.show == RATE:
        amount = "ItemCount" if kind == HISTOGRAM else "Sum"
        rows += f" | summarize value = sum({amount}) / ($__interval / 1s) {moments}"
    elif panel.show in (MEDIAN, HIGH):
        percent = 50 if panel.show == MEDIAN else 99
        rows += f" | summarize value = percentilew(todouble(Properties['{BOUND}']), ItemCount, {percent}) {moments}"
    elif kind == UP_DOWN_COUNTER:
        each = f"{moments}, AppRoleInstance"
        rows += f" | summarize value = avg(Sum) {each} | summarize value = sum(value) by TimeGenerated, line"
    else:
        rows += f" | summarize value = max(Sum) {moments}"
    return f"{rows} | order by TimeGenerated asc"


def dashboard() -> Mapping[str, Any]:
    """Return a Grafana dashboard of all panels."""
    return {
        "title": "eventfeed",
        "uid": "eventfeed",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-3h", "to": "now"},
        "panels": [_grafana_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _grafana_panel(number: int, panel: Panel) -> Mapping[str, Any]:
    row, column = divmod(number, _COLUMNS)
    logs = {"resources": [WORKSPACE], "query": query(panel), "resultFormat": "time_series"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.metric.description,
        "datasource": _SOURCE,
        "interval": "1m",
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"min": 0}, "overrides": []},
        "targets": [
            {"refId": "A", "datasource": _SOURCE, "queryType": "Azure Log Analytics", "azureLogAnalytics": logs}
        ],
    }


def documents() -> Mapping[str, Any]:
    """Return the content of each file by its name."""
    return {"dashboard.json": dashboard(), "alerts.json": [each._asdict() for each in ALERTS]}


if __name__ == "__main__":
    for name, document in documents().items():
        Path(sys.argv[1], name).write_text(json.dumps(document, indent=2) + "\n")
