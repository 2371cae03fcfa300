"""The size of the comparison: the full form, and a short form to see that everything works."""

from collections.abc import Sequence
from typing import NamedTuple

# The whole program ends within this time: a measurement that would begin later is left out.
PROGRAM_SECONDS_MAX = 540.0
# One command of the load generator ends within this time.
COMMAND_SECONDS_MAX = 150.0


class Effort(NamedTuple):
    """The durations of loads (s), and the numbers of events, followers and wakes."""

    publish_seconds: float = 6.0
    events: int = 200_000
    followers: int = 500
    follow_seconds: float = 10.0
    most_seconds: float = 5.0
    idle_followers: Sequence[int] = (5_000, 19_000)
    wakes: int = 5


FULL = Effort()
SHORT = Effort(
    publish_seconds=0.5,
    events=4_000,
    followers=20,
    follow_seconds=0.5,
    most_seconds=0.5,
    idle_followers=(50, 100),
    wakes=2,
)
