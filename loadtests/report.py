"""The report of a run, in addition to Locust's own: a tab of feeds in its page, the verdict, and the exit code."""

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

from loadtests.goals import AGE, EXIT_MISSED, GOALS, LAG, POLL_AGE, PUBLISH, Measurement, missed_goals
from loadtests.verification import Ledger

VIOLATIONS_MAX = 10

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
    """Show violations and lag in Locust's page, collect them from all workers, and judge the run at its end."""
    if environment.web_ui is not None and environment.web_ui.app is not None:
        _add_tab(environment.web_ui, environment.web_ui.app, rows=functools.partial(rows, environment, ledger))
    if isinstance(environment.runner, WorkerRunner):

        @environment.events.report_to_master.add_listener
        def _hand_over(data: dict[str, Any], **_: object) -> None:
            data["evidence"], data["counts"] = ledger.hand_over()

        return
    if isinstance(environment.runner, MasterRunner):

        @environment.events.worker_report.add_listener
        def _take_over(data: Mapping[str, Any], **_: object) -> None:
            ledger.take_over(data["evidence"], data["counts"])

    @events.quitting.add_listener
    def _set_exit_code(environment: Environment, **_: object) -> None:
        # After an interrupt there are readers left: the end of each checks its last receipts.
        if environment.runner is not None:
            environment.runner.stop()
        environment.process_exit_code = verdict(environment, ledger)


def verdict(environment: Environment, ledger: Ledger) -> int:
    """Log every missed goal, and return the exit code."""
    misses = list(missed_goals(measurements(environment), goals=GOALS, violations=ledger.counts.total()))
    misses += _exceptions(environment)
    for (scenario, kind), count in sorted(ledger.counts.items()):
        _log.error("violated %d times: %s: %s", count, scenario, kind)
    for violation in ledger.evidence[:VIOLATIONS_MAX]:
        _log.error("%s", violation)
    for miss in misses:
        _log.error("missed: %s", miss)
    if not misses:
        _log.info("met: all %d goals, 0 violations", len(GOALS))
    return EXIT_MISSED if misses else 0


def _exceptions(environment: Environment) -> Iterator[str]:
    """Describe the exceptions of users. Locust does not count a response that cannot be parsed as a failed request."""
    if environment.runner is not None:
        for failure in environment.runner.exceptions.values():
            yield f"{failure['count']} times a user failed: {failure['msg']}"


def measurements(environment: Environment) -> Mapping[str, Measurement]:
    """The measurements of a run, by name."""
    return {
        entry.name: Measurement(entry.num_requests, entry.num_failures, entry.get_response_time_percentile)
        for entry in environment.stats.entries.values()
    }


def rows(environment: Environment, ledger: Ledger) -> Sequence[Mapping[str, object]]:
    """A row for each scenario and for publishing: its requests, its violations, and the delays of its events."""
    by_name = measurements(environment)
    scenarios = sorted({name.partition(",")[0] for name in by_name if name == PUBLISH or name.startswith("S")})
    return [_row(scenario, by_name, ledger) for scenario in scenarios]


def _row(scenario: str, by_name: Mapping[str, Measurement], ledger: Ledger) -> Mapping[str, object]:
    request_names = (scenario, f"{scenario}, page", f"{scenario}, wait")
    lag, age = by_name.get(f"{scenario}, {LAG}"), by_name.get(f"{scenario}, {AGE}")
    age = age or by_name.get(f"{scenario}, {POLL_AGE}")
    return {
        "name": scenario,
        "safeName": scenario,
        "requests": sum(by_name[name].requests for name in request_names if name in by_name),
        "violations": sum(count for (other, _), count in ledger.counts.items() if other == scenario),
        "lag50": round(lag.percentile(0.5)) if lag else "",
        "lag99": round(lag.percentile(0.99)) if lag else "",
        "age99": round(age.percentile(0.99)) if age else "",
    }


def _add_tab(page: WebUI, app: Flask, *, rows: Callable[[], Sequence[Mapping[str, object]]]) -> None:
    page.template_args |= {
        "extended_tabs": [{"title": "Feeds", "key": TAB}],
        "extended_tables": [
            {"key": TAB, "structure": [{"key": key, "title": title} for key, title in _COLUMNS.items()]}
        ],
    }

    def add_rows(response: Response) -> Response:
        if request.path != "/stats/requests":
            return response
        body = {**response.get_json(), "extended_stats": [{"key": TAB, "data": rows()}]}
        response.set_data(json.dumps(body))
        return response

    app.after_request(add_rows)
