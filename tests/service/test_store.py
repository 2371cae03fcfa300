"""The store of a process: what runs beside the requests."""

import asyncio
from pathlib import Path

from eventfeed.app.application import Store
from eventfeed.domain.publishing import Submission
from eventfeed.settings import Settings
from tests.support.events import event


async def test_a_process_that_starts_knows_the_newest_events(tmp_path: Path) -> None:
    """Its readers need not go to the store for what was there before."""
    settings = Settings(store=f"sqlite:///{tmp_path}/log.db")
    async with (before := Store(settings)).running():
        await before.appender.publish(Submission(events=[event(), event()], pointers=["", ""], admin=True))
    async with (store := Store(settings)).running():
        known = store.tail.recent(after=0)
        for _ in range(1_000):
            if known is not None:
                break
            await asyncio.sleep(0.01)
            known = store.tail.recent(after=0)

    assert [1, 2] == [each.sequence for each in known or ()]
