"""Short runs of the load test: a run without faults, runs with faults that it must report, and Locust's page."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from loadtests.__main__ import main
from loadtests.benchmark import servers

from tests.loadtests.faulty_proxy import (
    Fault,
    drop_event,
    faulty_proxy,
    remove_header,
    repeat_event,
    replace_party,
    rotate_ids,
    stop_feed,
    swap_events,
)
from tests.support.browser import controlled_window
from tests.support.service import RunningService, free_port, running_service
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

ROOT = Path(__file__).parents[2]
NO_RATE_LIMITS = {"EVENTFEED_ADDRESS_REQUESTS": "1000000", "EVENTFEED_INSTANCE_REQUESTS": "1000000"}
SMALL = {"LOADTEST_USERS": "20", "LOADTEST_PUBLISHES_A_SECOND": "8"}
# On a busy machine a short run may not get far enough: it is repeated with more time.
RUN_SECONDS = (7, 20, 60)

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service for all runs of this module."""
    with running_service(tmp_path_factory.mktemp("service"), **NO_RATE_LIMITS) as running:
        yield running


def run(folder: Path, *arguments: str, seconds: float = RUN_SECONDS[0], **settings: str) -> Run:
    """Run the load test once."""
    return subprocess.run(
        [sys.executable, "-m", "loadtests", "--reports", str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, **SMALL, "LOADTEST_SECONDS": str(seconds), **settings},
        capture_output=True,
        text=True,
        timeout=seconds + 300,
        check=False,
    )


def run_until(condition: Callable[[Run], bool], folder: Path, *arguments: str) -> Run:
    """Run the load test until the condition holds, with more time in each run. Return the last run."""
    process = run(folder, *arguments)
    for seconds in RUN_SECONDS[1:]:
        if condition(process):
            break
        process = run(folder, *arguments, seconds=seconds)
    return process


def test_run_with_its_own_service_has_no_violation(tmp_path: Path) -> None:
    """The report has all figures. A slow machine may miss the goals for response times."""
    process = run_until(lambda process: "nothing was measured" not in process.stderr, tmp_path)

    assert process.returncode in (0, 3), process.stderr
    assert "violat" not in process.stderr.replace("0 violations", ""), process.stderr
    assert "failed requests" not in process.stderr
    assert "nothing was measured" not in process.stderr, process.stderr
    assert "memory of the service" in process.stderr
    assert (tmp_path / "memory.csv").read_text().count("\n") >= 3
    assert (tmp_path / "run_stats.csv").read_text().count("\n") > 10
    report = (tmp_path / "report.html").read_text()
    assert "S5 instance, page" in report
    assert f"<pre id='verdict'>{'missed: ' if process.returncode else 'met: '}" in report


@pytest.mark.parametrize(
    ("fault", "messages"),
    [
        (Fault(drop_event), [": missed"]),
        (Fault(repeat_event), [": duplicate"]),
        (Fault(swap_events), [": out of order"]),
        (Fault(replace_party), [": other feed"]),
        (Fault(rotate_ids), [": another event"]),
        (
            Fault(stop_feed, every=1, events=1),
            [f"{scenario}: late" for scenario in ("S2 citizen", "S3 organisation", "S5 instance")],
        ),
    ],
    ids=["event dropped", "event repeated", "events swapped", "party replaced", "ids rotated", "feed stopped"],
)
def test_faulty_page_fails_the_run_with_its_violation(
    service: RunningService, tmp_path: Path, fault: Fault, messages: Sequence[str]
) -> None:
    """The exit code is 3, and the messages have evidence."""
    with faulty_proxy(service.url, fault) as url:
        process = run_until(lambda run: all(each in run.stderr for each in messages), tmp_path, "--host", url)

    assert 3 == process.returncode, process.stderr
    for each in messages:
        assert each in process.stderr
    assert "violations: events missed" in process.stderr


def test_response_that_cannot_be_parsed_fails_the_run(service: RunningService, tmp_path: Path) -> None:
    """The exception of a user counts as a missed goal."""
    message = "times a user failed: 'feed-more'"
    with faulty_proxy(service.url, Fault(remove_header, events=1)) as url:
        process = run_until(lambda run: message in run.stderr, tmp_path, "--host", url)

    assert 3 == process.returncode, process.stderr
    assert message in process.stderr


def test_violation_of_a_worker_fails_the_run_of_the_master(service: RunningService, tmp_path: Path) -> None:
    """The master collects the violations of all processes."""
    with faulty_proxy(service.url, Fault(drop_event)) as url:
        process = run_until(lambda run: ": missed" in run.stderr, tmp_path, "--host", url, "--processes", "2")

    assert 3 == process.returncode, process.stderr
    assert ": missed" in process.stderr
    assert "violations: events missed" in process.stderr


def test_unknown_shape_is_refused_with_the_valid_ones(tmp_path: Path) -> None:
    """The run does not start."""
    process = run(tmp_path, "--host", "http://127.0.0.1:1", LOADTEST_SHAPE="wild")

    assert 0 != process.returncode
    assert "choose one of steady, step, spike, soak" in process.stderr


def test_service_that_does_not_start_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 1, and there is no traceback."""
    monkeypatch.setattr(servers, "READY_SECONDS_MAX", 0.0)
    monkeypatch.setattr(sys, "argv", ["loadtests", "--reports", str(tmp_path)])

    with pytest.raises(SystemExit, match="did not start"):
        main()


@contextmanager
def locust_page(url: str) -> Iterator[str]:
    """Run Locust's page for a service while the block lasts."""
    port = str(free_port())
    page = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "loadtests", "--ui", "--host", url, "--web-port", port]
    environment = {**os.environ, **SMALL, "LOADTEST_SECONDS": "900"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_ready() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(page, timeout=WAIT_SECONDS_MAX).is_success
        return False

    try:
        wait_until(is_ready)
        yield page
    finally:
        process.terminate()
        process.wait(timeout=WAIT_SECONDS_MAX)
    with pytest.raises(httpx.ConnectError):
        httpx.get(page)


def test_page_starts_a_run_and_shows_lag_and_violations(service: RunningService, tmp_path: Path) -> None:
    """In a browser, a click starts the run, the charts change, and the tab `Feeds` has the scenarios."""
    button = "document.querySelector('button[type=submit]')"
    with locust_page(service.url) as url, controlled_window(profile=tmp_path / "profile") as window:
        window.load(url, until=f"!!{button}")
        window.evaluate(f"{button}.click()")
        wait_until(lambda: httpx.get(f"{url}stats/requests").json()["state"] == "running")
        # Statistics from before the click show the form again, and nothing updates it: a new page shows the run.
        window.load(url, until="document.body.innerText.includes('RUNNING')")
        window.wait_until("document.body.innerText.includes('S1 app, lag')")
        window.evaluate("[...document.querySelectorAll('[role=tab]')].find(e => /charts/i.test(e.innerText)).click()")
        window.wait_until("document.querySelectorAll('canvas').length > 0")
        pixels = "[...document.querySelectorAll('canvas')].map(each => each.toDataURL()).join()"
        first = window.wait_until(pixels)
        window.wait_until(f"{pixels} !== {first!r}")
        window.evaluate("[...document.querySelectorAll('[role=tab]')].find(e => /feeds/i.test(e.innerText)).click()")
        text = window.wait_until(
            "/Lag p99[^]*S1 app[^]*S5 instance/.test(document.body.innerText) && document.body.innerText"
        )
        window.screenshot(tmp_path / "page.png")

        window.evaluate("[...document.querySelectorAll('[role=tab]')].find(e => /verdict/i.test(e.innerText)).click()")
        window.wait_until("/Verdict so far[^]*(missed|met): /.test(document.body.innerText)")

    assert "Violations" in text
    assert (tmp_path / "page.png").stat().st_size > 10_000
