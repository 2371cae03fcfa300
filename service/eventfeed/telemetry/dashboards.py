"""Dashboard and alerts for Azure, of the panels of the local page: `python -m eventfeed.telemetry.dashboards FOLDER`.

Queries are Kusto over the table `AppMetrics` of the workspace, in the form that `application_insights` gives its rows.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from eventfeed.telemetry.application_insights import BOUND, named
from eventfeed.telemetry.instruments import Histogram, Instrument, UpDownCounter
from eventfeed.telemetry.metrics import (
    AGE,
    APPEND_DURATION,
    DECISIONS,
    PAGE_DURATION,
    PUBLISHED,
    QUEUE_DEPTH,
    REQUEST_DURATION,
    STORE_REQUESTS,
    TAIL_STALENESS,
    THROTTLED,
)
from eventfeed.telemetry.panels import HIGH, MEDIAN, PANELS, RATE, Panel

# What is put in for it is the workspace's id, which is known when it has been made.
WORKSPACE = "{workspace}"
_SOURCE = {"type": "grafana-azure-monitor-datasource", "uid": "azure-monitor-oob"}
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 7


class Alert(NamedTuple):
    """Something is wrong when `query` over the last `minutes` has a row; `severity` from 0 (critical) to 4."""

    name: str
    severity: int
    minutes: int
    meaning: str
    query: str


def _rows(*metrics: Instrument) -> str:
    names = ", ".join(f"'{named(each.described.name)}'" for each in metrics)
    return f"AppMetrics | where Name in ({names})"


def _high(of: Instrument, above: float, *, of_at_least: int) -> str:
    return (
        f"{_rows(of)} | summarize high = percentilew(todouble(Properties['{BOUND}']), ItemCount, 99),"
        f" counted = sum(ItemCount) | where counted >= {of_at_least} and high > {above}"
    )


def _part(of: Instrument, which: str, *, part: float, amount: str = "Sum", at_least: int) -> str:
    return (
        f"{_rows(of)} | summarize found = sumif({amount}, {which}), total = sum({amount})"
        f" | where found >= {at_least} and found > {part} * total"
    )


ALERTS = (
    Alert(
        "errors",
        1,
        5,
        "More than 1 % of requests fail.",
        _part(
            REQUEST_DURATION,
            "toint(Properties['http.response.status_code']) >= 500",
            part=0.01,
            amount="ItemCount",
            at_least=10,
        ),
    ),
    Alert(
        "slow-pages", 2, 10, "A page in a hundred takes more than 0.5 s.", _high(PAGE_DURATION, 0.5, of_at_least=100)
    ),
    Alert(
        "slow-publishes",
        2,
        10,
        "A write in a hundred takes more than 2.5 s.",
        _high(APPEND_DURATION, 2.5, of_at_least=20),
    ),
    Alert(
        "stale",
        1,
        5,
        "A process has not seen the end of the log for 30 s: what is published does not reach its readers.",
        f"{_rows(TAIL_STALENESS)} | summarize staleness = max(Sum) by AppRoleInstance | where staleness > 30",
    ),
    Alert(
        "lag",
        2,
        30,
        "No page that showed something was fresher than 10 minutes: readers are behind, all of them.",
        f"{_rows(AGE)} | summarize freshest = min(Min), pages = sum(ItemCount) | where pages >= 10 and freshest >= 600",
    ),
    Alert(
        "throttling",
        2,
        5,
        "Cosmos DB refuses more than 1 % of requests: it is too small for what it is asked.",
        f"{_rows(THROTTLED, STORE_REQUESTS)}"
        f" | summarize refused = sumif(Sum, Name == '{THROTTLED.described.name}'),"
        f" total = sumif(Sum, Name == '{STORE_REQUESTS.described.name}')"
        " | where refused >= 60 and refused > 0.01 * total",
    ),
    Alert(
        "queue",
        1,
        5,
        "5,000 events wait in a process to be written; at 10,000 publishers are refused.",
        f"{_rows(QUEUE_DEPTH)} | summarize waiting = max(Sum) by AppRoleInstance | where waiting >= 5000",
    ),
    Alert(
        "silence",
        1,
        60,
        "Nothing was published for an hour.",
        f"{_rows(PUBLISHED)} | summarize events = sum(Sum) | where isnull(events) or events == 0",
    ),
    Alert(
        "undecided",
        1,
        5,
        "The decision point leaves more than 5 % undecided: parties get no pages.",
        _part(DECISIONS, "tostring(Properties['outcome']) == 'undecided'", part=0.05, at_least=10),
    ),
)


def query(panel: Panel) -> str:
    """What a panel shows over the time that is looked at: a value for each line and moment."""
    metric, line = panel.metric, f"tostring(Properties['{panel.by}'])" if panel.by else "'all'"
    rows = f"{_rows(metric)} | where $__timeFilter(TimeGenerated)"
    moments = f"by bin(TimeGenerated, $__interval), line = {line}"
    if panel.show == RATE:
        amount = "ItemCount" if isinstance(metric, Histogram) else "Sum"
        rows += f" | summarize value = sum({amount}) / ($__interval / 1s) {moments}"
    elif panel.show in (MEDIAN, HIGH):
        percent = 50 if panel.show == MEDIAN else 99
        rows += f" | summarize value = percentilew(todouble(Properties['{BOUND}']), ItemCount, {percent}) {moments}"
    elif isinstance(metric, UpDownCounter):
        each = f"{moments}, AppRoleInstance"
        rows += f" | summarize value = avg(Sum) {each} | summarize value = sum(value) by TimeGenerated, line"
    else:
        rows += f" | summarize value = max(Sum) {moments}"
    return f"{rows} | order by TimeGenerated asc"


def dashboard() -> Mapping[str, Any]:
    """A Grafana dashboard of all panels."""
    return {
        "title": "eventfeed",
        "uid": "eventfeed",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-3h", "to": "now"},
        "panels": [_shown(number, panel) for number, panel in enumerate(PANELS)],
    }


def _shown(number: int, panel: Panel) -> Mapping[str, Any]:
    row, column = divmod(number, _COLUMNS)
    logs = {"resources": [WORKSPACE], "query": query(panel), "resultFormat": "time_series"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.metric.described.description,
        "datasource": _SOURCE,
        "interval": "1m",
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"min": 0}, "overrides": []},
        "targets": [
            {"refId": "A", "datasource": _SOURCE, "queryType": "Azure Log Analytics", "azureLogAnalytics": logs}
        ],
    }


def documents() -> Mapping[str, Any]:
    """What is written, by file name."""
    return {"dashboard.json": dashboard(), "alerts.json": [each._asdict() for each in ALERTS]}


if __name__ == "__main__":
    for name, document in documents().items():
        Path(sys.argv[1], name).write_text(json.dumps(document, indent=2) + "\n")
