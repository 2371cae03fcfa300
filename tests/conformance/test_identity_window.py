"""The identity window (`EVENTFEED_IDENTITY_DAYS`): the time in which a repeated event is recognised."""

from pathlib import Path

import pytest

from eventfeed.app.store import Store
from eventfeed.domain.event import Entry
from eventfeed.log.cosmos.log import CosmosLog
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry
from tests.emulator.running import new_database, skip_without_emulator
from tests.support.engines import ManualClock, new_name, open_sqlite_log, running_appender
from tests.support.events import event, look_up, submission

HOUR = 3_600 * 1_000_000
DAY = 24 * HOUR


@pytest.mark.parametrize(("age", "is_duplicate"), [(7 * DAY - HOUR, True), (7 * DAY + HOUR, False)])
async def test_repeat_after_the_identity_window_is_a_new_event_on_cosmos_db(
    emulator_url: str, age: int, *, is_duplicate: bool
) -> None:
    """Within the window it gets the first receipt, also if the event was published again before."""
    skip_without_emulator(emulator_url)
    same = event()
    async with new_database(emulator_url) as database:
        now = database.clock() // 1_000
        log = CosmosLog(database, new_name=new_name, keep=90 * DAY, identity_keep=7 * DAY, segment_entries=100)
        await log.open()
        old = [Entry(sequence=1, time=now - 30 * DAY, write_id="old", event=same)]
        await log.append([*old, Entry(sequence=2, time=now - age, write_id="old", event=same)], after=0)
        async with running_appender(log, clock=database.clock) as (appender, _):
            (receipt,) = await appender.publish(submission(same))

    assert (2 if is_duplicate else 3, is_duplicate) == (receipt.sequence, receipt.duplicate)


async def test_repeat_is_recognised_on_sqlite_as_long_as_the_event_is_kept(tmp_path: Path) -> None:
    """The window of Cosmos DB does not apply."""
    clock, same = ManualClock(), event()
    async with open_sqlite_log(tmp_path / "log.db") as log:
        await log.append([Entry(sequence=1, time=clock.now - 80 * DAY, write_id="old", event=same)], after=0)
        async with running_appender(log, clock=clock) as (appender, _):
            (receipt,) = await appender.publish(submission(same))

    assert (1, True) == (receipt.sequence, receipt.duplicate)


@pytest.mark.parametrize(("days", "is_found"), [(1.0, True), (0.000001, False)])
async def test_setting_is_the_identity_window_of_a_store(emulator_url: str, days: float, *, is_found: bool) -> None:
    """`EVENTFEED_IDENTITY_DAYS` reaches the engine."""
    skip_without_emulator(emulator_url)
    address = f"cosmos://{emulator_url.removeprefix('http://').rstrip('/')}/window-{new_name()}"
    settings, same = Settings(store=address, identity_days=days), event()
    await Store(settings, Telemetry()).create()
    async with (store := Store(settings, Telemetry())).open():
        old = Entry(sequence=1, time=store.clock() // 1_000 - 3_600_000_000, write_id="old", event=same)
        await store.log.append([old], after=0)
        lookup = await look_up(store.log, same)

    assert is_found == (same.identity in lookup.identities)
