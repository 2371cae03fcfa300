"""What a run tells beside Locust's own figures: a tab of feeds in its page, the verdict, and the exit code."""

import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flask import Flask, Response, request
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.web import WebUI

from loadtests.goals import AGE, BROKEN, GOALS, LAG, POLLED_AGE, PUBLISH, Measured, broken
from loadtests.verifying import Ledger

SHOWN_MAX = 10

TAB = "feeds"
_COLUMNS = {
    "name": "Scenario",
    "requests": "# Requests",
    "violations": "Violations",
    "lag50": "Lag p50 (ms)",
    "lag99": "Lag p99 (ms)",
    "age99": "Age at read p99 (ms)",
}
_log = logging.getLogger(__name__)


def attach(environment: Environment, ledger: Ledger) -> None:
    """Show violations and lag in the page, gather them from everywhere, and judge the run at its end."""
    if environment.web_ui is not None and environment.web_ui.app is not None:
        _show(environment.web_ui, environment.web_ui.app, rows=functools.partial(rows, environment, ledger))
    if isinstance(environment.runner, WorkerRunner):

        @environment.events.report_to_master.add_listener
        def _tell(data: dict[str, Any], **_: object) -> None:
            data["evidence"], data["counts"] = ledger.hand_over()

        return
    if isinstance(environment.runner, MasterRunner):

        @environment.events.worker_report.add_listener
        def _hear(data: Mapping[str, Any], **_: object) -> None:
            ledger.take_over(data["evidence"], data["counts"])

    @events.quitting.add_listener
    def _judge(environment: Environment, **_: object) -> None:
        # Who was interrupted has readers yet, and what they were never given counts too.
        if environment.runner is not None:
            environment.runner.stop()
        environment.process_exit_code = judged(environment, ledger)


def judged(environment: Environment, ledger: Ledger) -> int:
    """Say what was promised and not kept; the exit code."""
    faults = list(broken(measured(environment), goals=GOALS, violations=ledger.counts.total()))
    faults += _failed(environment)
    for (scenario, kind), count in sorted(ledger.counts.items()):
        _log.error("violated %d times: %s: %s", count, scenario, kind)
    for violation in ledger.evidence[:SHOWN_MAX]:
        _log.error("%s", violation)
    for fault in faults:
        _log.error("broken: %s", fault)
    if not faults:
        _log.info("kept: all %d promises, 0 violations", len(GOALS))
    return BROKEN if faults else 0


def _failed(environment: Environment) -> Iterator[str]:
    """What people stumbled over: an answer that nobody could read is no failed request to Locust."""
    if environment.runner is not None:
        for failure in environment.runner.exceptions.values():
            yield f"{failure['count']} times a person failed: {failure['msg']}"


def measured(environment: Environment) -> Mapping[str, Measured]:
    """What was measured, by name."""
    return {
        entry.name: Measured(entry.num_requests, entry.num_failures, entry.get_response_time_percentile)
        for entry in environment.stats.entries.values()
    }


def rows(environment: Environment, ledger: Ledger) -> Sequence[Mapping[str, object]]:
    """A line for each scenario and for publishing: its requests, its violations, and how late its events were."""
    found = measured(environment)
    scenarios = sorted({name.partition(",")[0] for name in found if name == PUBLISH or name.startswith("S")})
    return [_row(scenario, found, ledger) for scenario in scenarios]


def _row(scenario: str, found: Mapping[str, Measured], ledger: Ledger) -> Mapping[str, object]:
    asked = (scenario, f"{scenario}, page", f"{scenario}, wait")
    lag, age = found.get(f"{scenario}, {LAG}"), found.get(f"{scenario}, {AGE}")
    age = age or found.get(f"{scenario}, {POLLED_AGE}")
    return {
        "name": scenario,
        "safeName": scenario,
        "requests": sum(found[name].requests for name in asked if name in found),
        "violations": sum(count for (of, _), count in ledger.counts.items() if of == scenario),
        "lag50": round(lag.percentile(0.5)) if lag else "",
        "lag99": round(lag.percentile(0.99)) if lag else "",
        "age99": round(age.percentile(0.99)) if age else "",
    }


def _show(page: WebUI, app: Flask, *, rows: Callable[[], Sequence[Mapping[str, object]]]) -> None:
    page.template_args |= {
        "extended_tabs": [{"title": "Feeds", "key": TAB}],
        "extended_tables": [
            {"key": TAB, "structure": [{"key": key, "title": title} for key, title in _COLUMNS.items()]}
        ],
    }

    @app.after_request
    def _more(response: Response) -> Response:
        if request.path != "/stats/requests":
            return response
        told = {**response.get_json(), "extended_stats": [{"key": TAB, "data": rows()}]}
        response.set_data(json.dumps(told))
        return response
