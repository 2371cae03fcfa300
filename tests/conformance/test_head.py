"""`EventLog.head`: both ends of the log."""

from eventfeed.domain.ports import EventLog, Head
from tests.support.events import entries


async def test_head_after_an_append_is_the_last_entry(log: EventLog) -> None:
    """The end of the log is the position and the time of the last entry."""
    before = await log.head()
    await log.append(entries(1, 3), after=0)

    assert Head(log=before.log, log_start=0, end_offset=3, time=3_000_000) == await log.head()
