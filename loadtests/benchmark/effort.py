"""How much is done: by the whole benchmark, or by a short form that shows that every figure can be had."""

from collections.abc import Sequence
from typing import NamedTuple


class Effort(NamedTuple):
    """Rounds of what is compared, how long each measurement lasts (s), and how large everything is."""

    workers: Sequence[int] = (1, 2)
    rounds: int = 5
    # Far more than the service reads from memory.
    events: int = 30_000
    places: int = 8_000
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
    # What a stream that is measured catches up with, and when all slow ones have what fits into their windows.
    stream_events: int = 5_000
    settle_seconds: float = 15.0


WHOLE = Effort()
# Two workers are one and more; a second is the least that `wrk` can do.
SHORT = Effort(
    workers=(2,),
    rounds=1,
    events=11_000,
    places=500,
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
)
