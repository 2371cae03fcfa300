"""`ImportLog.adopt`: the name and the start of another log, for an empty one."""

import pytest

from eventfeed.domain.errors import TailMoved
from eventfeed.domain.feed import app_feed
from eventfeed.domain.ports import ImportLog
from tests.support.events import TTD, all_entries, entries, event, look_up, page_rows

NAME = "abcdefghij12"


# The start is within a segment of the tests, at the end of one, and several segments away.
@pytest.mark.parametrize("log_start", [0, 1, 3, 6, 7, 1_000])
async def test_log_continues_after_the_start_that_it_has_adopted(log: ImportLog, log_start: int) -> None:
    """Head, entries, lookups and times are those of a log whose first events have expired."""
    log_entries = entries(log_start + 1, log_start + 9)
    await log.adopt(NAME, log_start=log_start)
    before = await log.head()
    await log.append(log_entries, after=log_start)
    head = await log.head()
    scan = await log.scan(app_feed(TTD), after=log_start, through=head.end_offset, limit=100)

    assert (NAME, log_start, log_start) == (before.log, before.log_start, before.end_offset)
    assert (NAME, log_start, log_start + 9) == (head.log, head.log_start, head.end_offset)
    assert log_entries == await all_entries(log)
    assert page_rows(log_entries) == page_rows(scan.entries)
    assert log_start == await log.seek(log_entries[0].time)
    assert log_start + 4 == await log.seek(log_entries[4].time)
    assert log_start + 2 == await log.expire(before=log_entries[2].time)


async def test_log_may_adopt_again_until_it_has_an_entry(log: ImportLog) -> None:
    """A copy that was interrupted begins again."""
    await log.adopt(NAME, log_start=20)
    await log.adopt("x" * 12, log_start=3)
    await log.append(entries(4, 5), after=3)
    before = await log.head()

    with pytest.raises(TailMoved):
        await log.adopt(NAME, log_start=9)
    assert before == await log.head()
    assert ("x" * 12, 3, 5) == (before.log, before.log_start, before.end_offset)


async def test_log_that_has_adopted_a_start_is_empty(log: ImportLog) -> None:
    """Lookups find nothing, and nothing expires."""
    await log.adopt(NAME, log_start=20)

    assert [] == list(await all_entries(log))
    assert {} == (await look_up(log, event())).identities
    assert 20 == await log.seek(10**15)
    assert 20 == await log.expire(before=10**15)
