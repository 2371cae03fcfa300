"""Readiness of an application in this process, whose clock is wrong from its start."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar

from eventfeed.app.application import create_application
from eventfeed.app.store import Store
from eventfeed.domain.event import Entry
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.asgi import AsgiRequest, send_request
from tests.support.events import event

HOUR = 3_600_000_000
# Ages of events (h): within the retention of two days, but for two.
AGES = [60, 50, 47, 46, 40, 20, 2, 1]
# It only ends what hangs.
SECONDS_MAX = 120.0


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """The settings of a store with old events."""
    settings, now = Settings(store=f"sqlite:///{tmp_path}/log.db", retention_days=2), time.time_ns() // 1_000
    old = [
        Entry(sequence=number, time=now - age * HOUR, write_id="old", event=event(instance=1))
        for number, age in enumerate(AGES, start=1)
    ]
    async with (store := Store(settings, Telemetry())).open(create=True):
        await store.log.append(old, after=0)
    return settings


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[Litestar]:
    """Run the application of these settings while the block lasts."""
    application = create_application(settings, Telemetry())
    async with application.lifespan():
        yield application


async def notice_of_trim(application: Litestar) -> str:
    """Return the notice of the readiness as soon as it names a command. On a busy machine there may be another one."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            response = await send_request(application, AsgiRequest("GET", b"/health/ready"))
            assert 200 == response.status
            text = str(msgspec.json.decode(response.body).get("notice"))
            if "eventfeed store trim" in text:
                return text
            await asyncio.sleep(0.01)


async def test_wrong_clock_of_the_only_process_is_told_by_a_notice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing shows that the clock is wrong. The notice, beside 200, and a line of the log name a command."""
    guid, true_time = event(instance=1).instance, time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: true_time() + 91 * 24 * HOUR * 1_000)
        async with application(settings) as wrong:
            text = await notice_of_trim(wrong)
            page = await send_request(wrong, AsgiRequest("POST", f"/events/instanceeventsforinstance/{guid}".encode()))
    async with (store := Store(settings, Telemetry())).open():
        entries = await store.log.follow(after=0, limit=1_000)

    assert "eventfeed store trim --before 20" in text
    assert 1 == caplog.text.count("eventfeed store trim")
    # The newest event shows that the first one has expired.
    assert (b"[]", AGES[1:]) == (page.body, [(true_time() // 1_000 - each.time) // HOUR for each in entries])
