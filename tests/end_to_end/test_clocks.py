"""Processes on one store, and the clock of one is wrong: nothing is deleted or stamped wrongly, on each engine."""

import asyncio
import functools
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from eventfeed.app.store import Store
from eventfeed.domain.event import Entry
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.events import event
from tests.support.faketime import FakeClock
from tests.support.feeds import event_ids, read_app_feed
from tests.support.publishing import APP_PATH, app_event, post_events
from tests.support.service import RunningService, launch, run_with_store, running_service, stop
from tests.support.waiting import wait_until

HOUR = 3_600
STEPS = [-5 * HOUR, 3 * HOUR, 60 * HOUR, 91 * 24 * HOUR]
# Ages of the first events (h): within the retention of two days, but for two.
AGES = [60, 50, 47, 46, 40, 20, 2, 1]
VISIBLE = 6


@pytest.fixture
def store(new_store: str, tmp_path: Path) -> str:
    """The address of a store of each engine with old events."""
    assert 0 == run_with_store(tmp_path, "store", "create", store=new_store).returncode
    asyncio.run(_fill(new_store))
    return new_store


async def _fill(address: str) -> None:
    now = time.time_ns() // 1_000
    times = [now - age * HOUR * 1_000_000 for age in AGES]
    old = [Entry(sequence=each, time=at, write_id="old", event=event()) for each, at in enumerate(times, start=1)]
    async with (store := Store(Settings(store=address), Telemetry())).open(create=True):
        await store.log.append(old, after=0)


async def _entries(address: str) -> list[Entry]:
    async with (store := Store(Settings(store=address), Telemetry())).open(create=True):
        return list(await store.log.follow(after=0, limit=1_000))


def health(service: RunningService) -> tuple[int, str]:
    """Return status and detail of the readiness; 0 if the service does not listen yet."""
    assert service.process.poll() is None, log_of(service)
    try:
        response = service.client.get("/health/ready")
    except httpx.TransportError:
        return 0, ""
    return response.status_code, response.json().get("detail", "")


def wait_until_wrong(service: RunningService) -> None:
    """Wait until the service says that its clock is wrong."""
    wait_until(lambda: health(service)[0] == 503)
    assert "clock" in health(service)[1]


def test_wrong_clock_of_one_process_harms_no_event(store: str, tmp_path: Path) -> None:
    """A process is not ready, appends, deletes and hides nothing: wrong at its start, or while it runs."""
    clock, ids = FakeClock(tmp_path / "clock", ahead=STEPS[-1]), list[str]()
    settings = {"EVENTFEED_STORE": store, "EVENTFEED_RETENTION_DAYS": "2"}
    with running_service(tmp_path / "right", **settings) as right, ExitStack() as stack:
        wrong = launch(tmp_path / "wrong", **settings, **clock.environment)
        stack.callback(stop, wrong)
        for step in (STEPS[-1], *STEPS):
            clock.move(step)
            wait_until_wrong(wrong)
            refusal = post_events(wrong, APP_PATH, app_event("bolig"))
            assert (503, "5", True) == (refusal.status_code, refusal.headers["retry-after"], "clock" in refusal.text)
            assert (201, 200) == (post_events(right, APP_PATH, app_event("bolig")).status_code, health(right)[0])
            ids = event_ids(read_app_feed(right, "bolig", "after=0"))
            wait_until(functools.partial(feed_has, wrong, ids))
            clock.move(0)
            wait_until(lambda: health(wrong)[0] == 200)
            assert 201 == post_events(wrong, APP_PATH, app_event("bolig")).status_code
        # A step back makes a sleep of libfaketime fail: the process may end before it has written its last line.
        wait_until(lambda: log_of(wrong).count("clock of this machine is right") == 1 + len(STEPS))
    entries = asyncio.run(_entries(store))
    published, now = 2 * (1 + len(STEPS)), time.time_ns() // 1_000

    assert list(range(1, len(AGES) + published + 1)) == [each.sequence for each in entries]
    assert all(now - HOUR * 1_000_000 < each.time <= now for each in entries[len(AGES) :])
    assert VISIBLE + published - 1 == len(ids)
    assert "clock of this machine" not in log_of(right)
    log = log_of(wrong)
    assert (1, 5) == (log.count("s behind the store's, so"), log.count("clock of this machine is right"))
    # The process that starts the workers compares its clock too.
    assert log.count("s ahead of the store's, so") in (4, 5)


def test_process_that_starts_the_workers_holds_the_reference(service: RunningService) -> None:
    """A worker that starts again after a crash is compared with the clock of its predecessor."""
    files = [each.resolve() for each in Path(f"/proc/{service.process.pid}/fd").iterdir()]

    assert (service.folder / ".eventfeed/log.clock").resolve() in files


def feed_has(service: RunningService, ids: list[str]) -> bool:
    """True if the whole feed of the app has these events."""
    return ids == event_ids(read_app_feed(service, "bolig", "after=0"))


def log_of(service: RunningService) -> str:
    """The output of a service so far."""
    return (service.folder / "output").read_text()
