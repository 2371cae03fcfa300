"""The report of a run, in addition to Locust's own: a tab of feeds in its page, the verdict, and the exit code."""

import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from locust.web import WebUI

from loadtests.goals import AGE, EXIT_MISSED, GOALS, LAG, POLL_AGE, PUBLISH, Measurement, missed_goals, verdict_file
from loadtests.verification import Ledger

VIOLATIONS_MAX = 10

MET = f"met: all {len(GOALS)} goals, 0 violations"
TAB, VERDICT_TAB = "feeds", "verdict"
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
        tables = {
            TAB: functools.partial(rows, environment, ledger),
            VERDICT_TAB: functools.partial(verdict_rows, environment, ledger),
        }
        _add_tabs(environment.web_ui, environment.web_ui.app, tables=tables)
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
    """Log every missed goal, write the verdict for the report, and return the exit code."""
    lines = _verdict_lines(environment, ledger)
    for line in lines:
        _log.error("%s", line)
    if not lines:
        _log.info(MET)
    if environment.parsed_options is not None and environment.parsed_options.html_file:
        text = "\n".join(lines or [MET])
        verdict_file(Path(environment.parsed_options.html_file)).write_text(f"{text}\n")
    return EXIT_MISSED if lines else 0


def _verdict_lines(environment: Environment, ledger: Ledger) -> Sequence[str]:
    """Describe every violation and every missed goal."""
    misses = list(missed_goals(measurements(environment), goals=GOALS, violations=ledger.counts.total()))
    misses += _exceptions(environment)
    return [
        *(f"violated {count} times: {scenario}: {kind}" for (scenario, kind), count in sorted(ledger.counts.items())),
        *map(str, ledger.evidence[:VIOLATIONS_MAX]),
        *(f"missed: {miss}" for miss in misses),
    ]


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


def verdict_rows(environment: Environment, ledger: Ledger) -> Sequence[Mapping[str, object]]:
    """A row for each line of the verdict so far."""
    return [{"name": line, "safeName": line} for line in _verdict_lines(environment, ledger) or [MET]]


def _add_tabs(page: WebUI, app: Flask, *, tables: Mapping[str, Callable[[], Sequence[Mapping[str, object]]]]) -> None:
    columns = {TAB: _COLUMNS, VERDICT_TAB: {"name": "Verdict so far"}}
    page.template_args |= {
        "extended_tabs": [{"title": key.capitalize(), "key": key} for key in tables],
        "extended_tables": [
            {"key": key, "structure": [{"key": name, "title": title} for name, title in columns[key].items()]}
            for key in tables
        ],
    }

    def add_rows(response: Response) -> Response:
        if request.path != "/stats/requests":
            return response
        extended = [{"key": key, "data": table()} for key, table in tables.items()]
        response.set_data(json.dumps({**response.get_json(), "extended_stats": extended}))
        return response

    app.after_request(add_rows)
