"""`EventLog.follow`: the entries right after a position, of any feed."""

from eventfeed.domain.ports import EventLog
from tests.support.events import entries


async def test_follow_returns_at_most_limit_entries(log: EventLog) -> None:
    """The entries begin right after the position."""
    population = entries(1, 9)
    await log.append(population, after=0)

    assert population[2:6] == await log.follow(after=2, limit=4)


async def test_follow_at_the_end_returns_nothing(log: EventLog) -> None:
    """A position at the end is not an error."""
    await log.append(entries(1, 2), after=0)

    assert [] == list(await log.follow(after=2, limit=4))
