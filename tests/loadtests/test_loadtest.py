"""A short run of the load test itself: it passes, it notices each planted fault, and its page shows what it sees."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.loadtests.planting import (
    Fault,
    doubled,
    dropped,
    of_another,
    planted,
    reordered,
    rotated,
    standing_still,
    unreadable,
)
from tests.support.browser import driving
from tests.support.service import Served, free_port, serving

ROOT = Path(__file__).parents[2]
OPEN = {"EVENTFEED_ADDRESS_REQUESTS": "1000000", "EVENTFEED_INSTANCE_REQUESTS": "1000000"}
SHORT = {"LOADTEST_SECONDS": "7", "LOADTEST_USERS": "20", "LOADTEST_PUBLISHES_A_SECOND": "8"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service for all runs."""
    with serving(tmp_path_factory.mktemp("service"), **OPEN) as found:
        yield found


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A run of the load test."""
    return subprocess.run(
        [sys.executable, "-m", "loadtests", "--reports", str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, **SHORT, **settings},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.timeout(120)
def test_a_run_against_a_service_of_its_own_finds_nothing(tmp_path: Path) -> None:
    """No violation and no failure; its promises are another machine's business. There is a report with charts."""
    done = run(tmp_path)

    assert done.returncode in (0, 3), done.stderr
    assert "violat" not in done.stderr.replace("0 violations", ""), done.stderr
    assert "failed requests" not in done.stderr
    assert "nothing was measured" not in done.stderr, done.stderr
    assert "memory of the service" in done.stderr
    assert (tmp_path / "memory.csv").read_text().count("\n") >= 3
    assert (tmp_path / "run_stats.csv").read_text().count("\n") > 10
    assert "S5 instance, page" in (tmp_path / "report.html").read_text()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (Fault(dropped), [": missed"]),
        (Fault(doubled), [": doubled"]),
        (Fault(reordered), [": out of order"]),
        (Fault(of_another), [": another's"]),
        (Fault(rotated), [": another event"]),
        (
            Fault(standing_still, every=1, events=1),
            [f"{who}: held back" for who in ("S2 citizen", "S3 organisation", "S5 instance")],
        ),
    ],
    ids=["dropped", "doubled", "reordered", "of another", "rotated", "standing still"],
)
def test_a_planted_fault_is_noticed_and_named(
    served: Served, tmp_path: Path, fault: Fault, named: Sequence[str]
) -> None:
    """With the exit code, and evidence."""
    with planted(served.url, fault) as url:
        done = run(tmp_path, "--host", url)

    assert 3 == done.returncode, done.stderr
    for each in named:
        assert each in done.stderr
    assert "violations: something was missed" in done.stderr


@pytest.mark.timeout(120)
def test_an_answer_that_nobody_can_read_fails_a_run(served: Served, tmp_path: Path) -> None:
    """Also where the people's own program stumbles over it."""
    with planted(served.url, Fault(unreadable, events=1)) as url:
        done = run(tmp_path, "--host", url)

    assert 3 == done.returncode, done.stderr
    assert "times a person failed: 'feed-more'" in done.stderr


@pytest.mark.timeout(120)
def test_machines_that_share_a_run_share_its_verdict(served: Served, tmp_path: Path) -> None:
    """What a worker finds is judged by the master."""
    with planted(served.url, Fault(dropped)) as url:
        done = run(tmp_path, "--host", url, "--processes", "2")

    assert 3 == done.returncode, done.stderr
    assert ": missed" in done.stderr
    assert "violations: something was missed" in done.stderr


def test_a_shape_that_is_none_is_refused(tmp_path: Path) -> None:
    """With those that there are."""
    done = run(tmp_path, "--host", "http://127.0.0.1:1", LOADTEST_SHAPE="wild")
    assert 0 != done.returncode
    assert "choose one of steady, step, spike, soak" in done.stderr


@contextmanager
def page(url: str) -> Iterator[str]:
    """Locust's page for a run against a service."""
    port = str(free_port())
    command = [sys.executable, "-m", "loadtests", "--ui", "--host", url, "--web-port", port]
    environment = {**os.environ, **SHORT, "LOADTEST_SECONDS": "60"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/").raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "there is no page"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(timeout=30)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")


@pytest.mark.timeout(120)
def test_its_page_starts_a_run_and_shows_lag_and_violations(served: Served, tmp_path: Path) -> None:
    """In a browser: a click starts it, its charts move, and a tab of its own tells of the feeds."""
    with page(served.url) as url, driving(url, profile=tmp_path / "profile") as window:
        window.until("!!document.querySelector('button[type=submit]')")
        window.evaluate("document.querySelector('button[type=submit]').click()")
        window.until("document.body.innerText.includes('RUNNING')")
        window.until("document.body.innerText.includes('S1 app, lag')")
        window.evaluate("[...document.querySelectorAll('[role=tab]')].find(e => /charts/i.test(e.innerText)).click()")
        window.until("document.querySelectorAll('canvas').length > 0")
        drawn = "[...document.querySelectorAll('canvas')].map(each => each.toDataURL()).join()"
        first = window.until(drawn)
        window.until(f"{drawn} !== {first!r}")
        window.evaluate("[...document.querySelectorAll('[role=tab]')].find(e => /feeds/i.test(e.innerText)).click()")
        shown = window.until(
            "/Lag p99[^]*S1 app[^]*S5 instance/.test(document.body.innerText) && document.body.innerText"
        )
        window.screenshot(tmp_path / "page.png")

    assert "Violations" in shown
    assert (tmp_path / "page.png").stat().st_size > 10_000
