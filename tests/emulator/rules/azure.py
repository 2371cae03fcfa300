"""All rules together, in the order in which a request meets them."""

import dataclasses
import time
from collections.abc import Callable, Sequence

from tests.emulator.messages import Rule
from tests.emulator.rules.account import Account
from tests.emulator.rules.cross_partition import CrossPartition
from tests.emulator.rules.expiry import TimeToLive
from tests.emulator.rules.limits import Limits, describe_account, find_no_missing_document
from tests.emulator.rules.pages import BYTES_MAX as PAGE_BYTES_MAX
from tests.emulator.rules.pages import Pages
from tests.emulator.rules.partitions import Partitions
from tests.emulator.rules.replicas import Lag, Replicas
from tests.emulator.rules.storage import BYTES_MAX as PARTITION_BYTES_MAX
from tests.emulator.rules.storage import Storage
from tests.emulator.rules.throughput import Throughput


class Clock:
    """The time of the rules (s): the machine's, and what a test has moved it ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return time.monotonic() + self.ahead


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The numbers of the rules. Without `units_a_second` of each partition nothing is refused with 429."""

    partitions: int = 1
    units_a_second: float | None = None
    lag: Lag = dataclasses.field(default_factory=Lag)
    page_bytes: int = PAGE_BYTES_MAX
    partition_bytes: int = PARTITION_BYTES_MAX


class Azure:
    """The rules of an account, with their state."""

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] | None = None) -> None:
        settings, clock = settings or Settings(), clock or Clock()
        self.account = Account(partitions=settings.partitions)
        self.throughput = Throughput(self.account, clock, units_a_second=settings.units_a_second)
        self.expiry = TimeToLive(self.account, clock)
        self.partitions = Partitions(self.account)
        self.replicas = Replicas(self.account, clock, settings.lag)
        self.rules: Sequence[Rule] = (
            describe_account,
            find_no_missing_document,
            Limits(self.account),
            CrossPartition(self.account),
            self.throughput,
            self.expiry,
            Storage(bytes_max=settings.partition_bytes),
            Pages(bytes_max=settings.page_bytes),
            self.partitions,
            self.replicas,
        )
