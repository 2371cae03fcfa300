"""Copies of logs, for tests."""

from contextlib import aclosing
from typing import NamedTuple

from eventfeed.app.copying.log_copy import LogCopy
from eventfeed.domain.ports import EventLog, ImportLog


class Report(NamedTuple):
    """The numbers of entries that were copied and compared, and their digest."""

    copies: int
    comparisons: int
    digest: str


async def copy_log(source: EventLog, target: ImportLog) -> Report:
    """Copy a log, and compare both."""
    copy = LogCopy(source, target)
    missing = await copy.start()
    async with aclosing(copy.steps()) as steps, aclosing(copy.comparison()) as comparison:
        copies = sum([entries async for entries in steps])
        comparisons = sum([entries async for entries in comparison])
    assert missing == copies
    return Report(copies, comparisons, copy.digest)
