"""`EventLog.rename`: a new name, which invalidates earlier cursors."""

from eventfeed.domain.ports import EventLog
from tests.support.events import entries


async def test_renamed_log_keeps_its_entries(log: EventLog) -> None:
    """Only the name changes."""
    await log.append(entries(1, 2), after=0)
    before = await log.head()
    name = await log.rename()
    after = await log.head()

    assert name == after.log != before.log
    assert (2, 0) == (after.end_offset, after.log_start)
