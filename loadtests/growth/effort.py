"""The size of a growth run: the full form, and a short form that has every figure."""

from collections.abc import Sequence
from typing import NamedTuple


class Effort(NamedTuple):
    """The lengths of the logs, the numbers of apps and readers, and the repetitions of each measurement."""

    events: Sequence[int] = (100_000, 1_000_000, 10_000_000)
    log_apps: int = 100
    # One event in so many is rare: the shortest log has ten, so that no round reads the same rows as the one before.
    rare_every: int = 10_000
    # Starts of the services, and rounds of requests after each; and starts for the first touch of the files.
    runs: int = 4
    first_runs: int = 2
    rounds: int = 3
    # Requests of a round, and those after the cache of the operating system was dropped.
    requests: int = 30
    first_requests: int = 8
    # Retention deletes this many passes of `PASS_EVENTS` at a time.
    passes: int = 60
    trims: int = 3
    # Longer logs are not checked and copied: both read all of it.
    whole_log_events: int = 1_000_000
    apps: Sequence[int] = (10, 100, 1_000, 10_000)
    apps_events: int = 1_000_000
    apps_runs: int = 2
    readers: Sequence[int] = (1, 10, 100, 1_000, 10_000)
    readers_events: int = 100_000
    reader_rounds: int = 3
    # Pages of all readers together, and events that all followers together receive.
    pages: int = 10_000
    deliveries: int = 30_000


FULL = Effort()
SHORT = Effort(
    events=(12_000, 20_000),
    log_apps=10,
    rare_every=12_000,
    runs=1,
    first_runs=1,
    rounds=1,
    requests=3,
    first_requests=2,
    passes=20,
    trims=1,
    whole_log_events=20_000,
    apps=(10,),
    apps_events=20_000,
    apps_runs=1,
    readers=(1, 20),
    readers_events=20_000,
    reader_rounds=1,
    pages=40,
    deliveries=40,
)
