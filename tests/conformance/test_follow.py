"""Following: what comes right after a position, whatever it is."""

from eventfeed.domain.ports import EventLog
from tests.support.events import entries


async def test_at_most_limit_entries_come(log: EventLog) -> None:
    """A step of following is bounded, and begins right after the position."""
    written = entries(1, 9)
    await log.append(written, after=0)

    assert written[2:6] == await log.follow(after=2, limit=4)


async def test_nothing_comes_after_the_end(log: EventLog) -> None:
    """At the end there is nothing, and that is no error."""
    await log.append(entries(1, 2), after=0)

    assert [] == list(await log.follow(after=2, limit=4))
