"""The dashboard and the alerts on Azure: every panel is present, and every query parses and names a metric."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eventfeed.log.appender import QUEUE_EVENTS_MAX
from eventfeed.telemetry.application_insights import BOUND, metric_name
from eventfeed.telemetry.dashboards import ALERTS, dashboard, documents, query
from eventfeed.telemetry.metrics import METRICS
from eventfeed.telemetry.panels import PANELS
from tests.emulator.running import MODULES, NODE

MONITORING = Path(__file__).parents[3] / "infra" / "monitoring"
NAMES = {metric_name(each.name): each for each in METRICS.values()}


def faults(*queries: str) -> Sequence[Sequence[str]]:
    """Return the faults that the query language's own parser finds in each query."""
    if not MODULES.exists():
        assert not os.environ.get("CI"), "`make test` installs the parser"
        pytest.skip("the parser is not installed: `make test` does it")
    plain = [each.replace("$__timeFilter(TimeGenerated)", "TimeGenerated > ago(1h)") for each in queries]
    process = subprocess.run(
        [str(NODE), str(Path(__file__).with_name("kusto.js"))],
        input=json.dumps([each.replace("$__interval", "1m") for each in plain]).encode(),
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        check=True,
    )
    result: Sequence[Sequence[str]] = json.loads(process.stdout)
    return result


def all_queries() -> Sequence[str]:
    """Return the queries of panels and alerts."""
    return [*(query(panel) for panel in PANELS), *(alert.query for alert in ALERTS)]


def test_every_query_parses_without_a_fault() -> None:
    """Three invalid queries prove that the parser finds faults."""
    good, bad = (
        all_queries(),
        ("AppMetrics | summarise count()", "AppMetrics | where Nam == 'x'", "AppMetrics | where no(Sum)"),
    )
    results = faults(*good, *bad)

    assert [] == [(text, result) for text, result in zip(good, results, strict=False) if result]
    assert all(results[len(good) :])


def test_every_query_names_metrics_and_their_attributes() -> None:
    """Every name in quotes is a metric, and every property an attribute of it."""
    for text in all_queries():
        metrics = re.search(r"Name in \(([^)]*)\)", text)
        assert metrics is not None
        names = re.findall(r"'([^']+)'", metrics[1])
        attributes = {BOUND, *(each for name in names for each in NAMES[name].attributes)}
        assert set(re.findall(r"Properties\['([^']+)'\]", text)) <= attributes
        assert set(re.findall(r"Name == '([^']+)'", text)) <= set(names)


def test_every_kind_of_failure_has_an_alert() -> None:
    """An alert has a severity, a sentence for the operator, and a window that Azure allows."""
    assert {
        "errors": 1,
        "slow-pages": 2,
        "slow-publishes": 2,
        "stale": 1,
        "lag": 2,
        "throttling": 2,
        "queue": 1,
        "silence": 1,
        "undecided": 1,
    } == {alert.name: alert.severity for alert in ALERTS}
    assert all(alert.meaning.endswith(".") for alert in ALERTS)
    assert all(alert.minutes in {5, 10, 15, 30, 45, 60} for alert in ALERTS), "Azure has no other windows"
    (queue,) = (alert for alert in ALERTS if alert.name == "queue")
    assert f">= {QUEUE_EVENTS_MAX // 2}" in queue.query


def test_panels_do_not_overlap_on_the_dashboard() -> None:
    """Each panel has its own area on Grafana's grid of 24 columns."""
    areas = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [
        (x, y)
        for each in areas
        for x in range(each["x"], each["x"] + each["w"])
        for y in range(each["y"], each["y"] + each["h"])
    ]

    assert len(PANELS) == len(areas)
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("name", sorted(documents()))
def test_committed_documents_are_up_to_date(name: str) -> None:
    """Run `make documents` after a change."""
    document: Any = json.loads((MONITORING / name).read_text())

    assert json.loads(json.dumps(documents()[name])) == document
