"""`EventLog.expire`: old entries are deleted, the sequence continues, and the last entry stays."""

from eventfeed.domain.ports import EventLog
from tests.support.events import entries, entry


async def test_expire_deletes_entries_before_a_time(log: EventLog) -> None:
    """The log start moves to the last entry before the time; the next append has the next number."""
    await log.append(entries(1, 5), after=0)
    log_start = await log.expire(before=3_000_000)
    await log.append([entry(6)], after=5)
    remaining = [each.sequence for each in await log.follow(after=log_start, limit=9)]

    assert (2, [3, 4, 5, 6]) == (log_start, remaining)


async def test_expire_of_every_entry_keeps_the_last(log: EventLog) -> None:
    """The last entry stays at any age, and with it the next number."""
    await log.append(entries(1, 5), after=0)
    log_start = await log.expire(before=2**60)
    head = await log.head()

    assert (4, 4, 5) == (log_start, head.log_start, head.end_offset)
    assert [5] == [each.sequence for each in await log.follow(after=4, limit=9)]


async def test_expire_of_an_empty_log_changes_nothing(log: EventLog) -> None:
    """An empty log has nothing to delete."""
    assert 0 == await log.expire(before=2**60)
