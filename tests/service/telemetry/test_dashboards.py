"""The dashboard and the alerts for Azure: of all panels, asking for what is measured, in queries that parse."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eventfeed.log.appender import QUEUE_EVENTS_MAX
from eventfeed.telemetry.application_insights import BOUND, named
from eventfeed.telemetry.dashboards import ALERTS, dashboard, documents, query
from eventfeed.telemetry.metrics import ALL
from eventfeed.telemetry.panels import PANELS
from tests.emulator.running import MODULES, NODE

COMMITTED = Path(__file__).parents[3] / "infra" / "monitoring"
NAMES = {named(each.describe_settings.name): each for each in ALL}


def faults(*queries: str) -> Sequence[Sequence[str]]:
    """What the language's own parser says against each query."""
    if not MODULES.exists():
        assert not os.environ.get("CI"), "`make test` installs the parser"
        pytest.skip("the parser is not installed: `make test` does it")
    plain = [each.replace("$__timeFilter(TimeGenerated)", "TimeGenerated > ago(1h)") for each in queries]
    told = subprocess.run(
        [str(NODE), str(Path(__file__).with_name("kusto.js"))],
        input=json.dumps([each.replace("$__interval", "1m") for each in plain]).encode(),
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        check=True,
    )
    found: Sequence[Sequence[str]] = json.loads(told.stdout)
    return found


def shown() -> Sequence[str]:
    """All queries that there are."""
    return [*(query(panel) for panel in PANELS), *(alert.query for alert in ALERTS)]


def test_every_query_parses() -> None:
    """No fault in any; and the parser finds faults where there are."""
    good, bad = (
        shown(),
        ("AppMetrics | summarise count()", "AppMetrics | where Nam == 'x'", "AppMetrics | where no(Sum)"),
    )
    found = faults(*good, *bad)
    assert [] == [(text, told) for text, told in zip(good, found, strict=False) if told]
    assert all(found[len(good) :])


def test_queries_ask_for_what_is_measured() -> None:
    """Every name in quotes is a metric, and every attribute is one of its own."""
    for text in shown():
        metrics = re.search(r"Name in \(([^)]*)\)", text)
        assert metrics is not None
        names = re.findall(r"'([^']+)'", metrics[1])
        attributes = {BOUND, *(each for name in names for each in NAMES[name].describe_settings.attributes)}
        assert set(re.findall(r"Properties\['([^']+)'\]", text)) <= attributes
        assert set(re.findall(r"Name == '([^']+)'", text)) <= set(names)


def test_everything_that_was_asked_for_is_watched() -> None:
    """Each kind of trouble has its alert, with words for whoever is woken."""
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
    assert all(alert.minutes in {5, 10, 15, 30, 45, 60} for alert in ALERTS), "Azure knows no other windows"
    (queue,) = (alert for alert in ALERTS if alert.name == "queue")
    assert f">= {QUEUE_EVENTS_MAX // 2}" in queue.query


def test_panels_do_not_cover_each_other() -> None:
    """Each has a place of its own on Grafana's grid of 24."""
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [
        (x, y)
        for each in places
        for x in range(each["x"], each["x"] + each["w"])
        for y in range(each["y"], each["y"] + each["h"])
    ]
    assert len(PANELS) == len(places)
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("name", sorted(documents()))
def test_what_is_committed_is_what_is_made(name: str) -> None:
    """Otherwise: `make documents`."""
    committed: Any = json.loads((COMMITTED / name).read_text())
    assert json.loads(json.dumps(documents()[name])) == committed
