"""The size of the benchmark: the full form, and a short form to see every figure quickly."""

from collections.abc import Sequence
from typing import NamedTuple


class Effort(NamedTuple):
    """The rounds of each comparison, the duration of each measurement (s), and the sizes of logs and loads."""

    workers: Sequence[int] = (1, 2)
    idle_followers: Sequence[int] = (5_000, 19_000)
    rounds: int = 5
    # Far more than the service keeps in memory.
    events: int = 30_000
    positions: int = 8_000
    page_seconds: float = 3.0
    publish_seconds: float = 4.0
    raw_seconds: float = 2.0
    short_log: int = 100_000
    long_log: int = 10_000_000
    log_pages: int = 400
    party_pages: int = 60
    waiters: int = 2_000
    waiting_seconds: float = 15.0
    slow_readers: int = 1_000
    # The events that a measured stream reads, and the time until all slow streams have filled their windows.
    stream_events: int = 5_000
    settle_seconds: float = 15.0
    followers: int = 500
    # The duration of a steady rate, and of the search for the most deliveries.
    follow_seconds: float = 5.0
    wakes: int = 5


FULL = Effort()
# Two workers stand for both forms; a second is the minimum of `wrk`.
SHORT = Effort(
    workers=(2,),
    idle_followers=(30, 60),
    rounds=1,
    events=11_000,
    positions=500,
    page_seconds=1.0,
    publish_seconds=1.0,
    raw_seconds=0.2,
    short_log=2_000,
    long_log=20_000,
    log_pages=20,
    party_pages=4,
    waiters=50,
    waiting_seconds=1.0,
    slow_readers=20,
    stream_events=500,
    settle_seconds=1.0,
    followers=20,
    follow_seconds=0.4,
    wakes=2,
)
