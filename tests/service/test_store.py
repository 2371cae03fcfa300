"""The store of a process: its background work."""

import asyncio
from pathlib import Path

import pytest

from eventfeed.app.store import Store, may_pass
from eventfeed.domain.errors import LogDamaged, NotDone, StoreAway, StoreUnusable, Unavailable
from eventfeed.domain.publishing import Submission
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry
from tests.support.events import event


async def test_process_reads_the_newest_events_into_memory_at_start(tmp_path: Path) -> None:
    """Pages with earlier events need no read of the store."""
    settings = Settings(store=f"sqlite:///{tmp_path}/log.db")
    async with (before := Store(settings, Telemetry())).run(create=True):
        await before.appender.publish(Submission(events=[event(), event()], pointers=["", ""], admin=True))
    async with (store := Store(settings, Telemetry())).run(create=True):
        entries = store.tail.entries_after(0)
        for _ in range(1_000):
            if entries is not None:
                break
            await asyncio.sleep(0.01)
            entries = store.tail.entries_after(0)

    assert [1, 2] == [each.sequence for each in entries or ()]


async def test_open_store_gives_log_and_records_without_background_work(tmp_path: Path) -> None:
    """Commands use the log and the records of a store without running it."""
    settings = Settings(store=f"sqlite:///{tmp_path}/log.db")
    async with (store := Store(settings, Telemetry())).open(create=True):
        head = await store.log.head()
        approval = await store.records.approval("310000033")

    assert (0, None) == (head.end_offset, approval)


async def test_running_store_reports_its_queue_and_its_end(tmp_path: Path) -> None:
    """Gauges read the appender and the tail of this store."""
    telemetry = Telemetry()
    async with (store := Store(Settings(store=f"sqlite:///{tmp_path}/log.db"), telemetry)).run(create=True):
        await store.appender.publish(Submission(events=[event()], pointers=[""], admin=True))
        gauges = {name: read() for name, read in telemetry.gauges.items()}

    assert (0, 1) == (gauges["eventfeed.queue.depth"], gauges["eventfeed.tail.sequence"])
    assert gauges["eventfeed.tail.staleness"] >= 0


async def test_store_without_a_file_does_not_open(tmp_path: Path) -> None:
    """A worker or a command creates no empty log where one was removed."""
    with pytest.raises(StoreUnusable, match="no store at"):
        async with Store(Settings(store=f"sqlite:///{tmp_path}/log.db"), Telemetry()).open():
            pass

    assert [] == list(tmp_path.iterdir())


def test_start_waits_only_for_failures_that_pass_without_an_operator() -> None:
    """A store that refuses the service, is damaged or is not as required ends the start."""
    kinds = [StoreAway, Unavailable, NotDone, StoreUnusable, LogDamaged]

    assert [True, True, False, False, False] == [may_pass(kind("x")) for kind in kinds]
