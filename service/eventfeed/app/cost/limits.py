"""The limit of Azure Cosmos DB or of the log that a growing load meets first."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from eventfeed.app.cost import azure, workload
from eventfeed.app.cost.model import Estimate, Load, estimate

# Far below and far above every limit.
EVENTS_A_SECOND_MIN, EVENTS_A_SECOND_MAX = 0.001, 1_000_000.0
# A use of exactly 1, as the model computes it.
_ROUNDING = 1e-9


class Limit(NamedTuple):
    """A limit, and the events a second at which a load meets it, to three digits."""

    name: str
    events_a_second: float


# Use of each limit, as a share of it.
_LIMITS: Mapping[str, Callable[[Estimate], float]] = {
    f"{azure.PARTITION_UNITS.figure} of the newest partition": lambda price: (
        price.log.busiest_units / azure.PARTITION_UNITS.value
    ),
    f"{azure.CONTAINER_UNITS.figure} of `commits`": lambda price: (
        price.log.throughput_max / azure.CONTAINER_UNITS.value
    ),
    f"commits of {workload.COMMIT_EVENTS.figure} one after another": lambda price: (
        price.commits.a_second * workload.COMMIT_SECONDS.value
    ),
}


def first_limit(load: Load) -> Limit:
    """Return the limit that the load meets first if its events a second grow and nothing else does."""
    return min((Limit(name, _meeting_point(load, use)) for name, use in _LIMITS.items()), key=lambda each: each[1])


def _meeting_point(load: Load, use: Callable[[Estimate], float]) -> float:
    """Return the events a second at which a use exceeds 1, or the largest number if it never does."""
    low, high = EVENTS_A_SECOND_MIN, EVENTS_A_SECOND_MAX
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        if use(estimate(load._replace(events_a_second=middle))) > 1 + _ROUNDING:
            high = middle
        else:
            low = middle
    return float(f"{high:.3g}")
