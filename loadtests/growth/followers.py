"""The cost of an event by the number of streams that wait for it at one worker."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from loadtests.benchmark.events import PUBLISH, path_from_end
from loadtests.benchmark.figures import p99
from loadtests.benchmark.followers import Followers
from loadtests.benchmark.following import Side
from loadtests.growth.figures import Figure, figure
from loadtests.growth.long_logs import MICROSECONDS, rotate
from loadtests.growth.served_log import ServedLog

# Few events for many followers, and many for few.
EVENTS_MIN, EVENTS_MAX = 3, 100
_NANOSECOND = 1e-9

STREAM_SETTINGS = {"EVENTFEED_STREAMS": "10500", "EVENTFEED_CALLER_STREAMS": "10500", "EVENTFEED_WAITS": "0"}


class Deliveries(NamedTuple):
    """The cost of events to so many followers: for each delivery, until a receipt, and until an arrival (s); MiB."""

    cpu: float
    publish: float
    arrival: float
    arrival_p99: float
    memory: float


class _Kind(NamedTuple):
    """A figure: its name and unit, its value, the factor from that to the unit, and whether it must not grow."""

    name: str
    unit: str
    get: Callable[[Deliveries], float]
    factor: float
    is_bounded: bool = False


_KINDS = (
    _Kind("event to followers: processor time of a delivery", "µs", lambda each: each.cpu, MICROSECONDS, True),
    _Kind("publish with followers: median", "ms", lambda each: each.publish, 1_000),
    _Kind("arrival at followers: median", "ms", lambda each: each.arrival, 1_000),
    _Kind("arrival at followers: p99", "ms", lambda each: each.arrival_p99, 1_000),
    _Kind("memory of a worker with followers: private memory", "MiB", lambda each: each.memory, 1),
)


def follower_figures(log: ServedLog, *, numbers: Sequence[int], deliveries: int, rounds: int) -> Iterator[Figure]:
    """Measure events one after another: each is published when all followers have received the one before."""
    values = {number: list[Deliveries]() for number in numbers}
    for round_number in range(rounds):
        for number in rotate(values, round_number):
            events = min(EVENTS_MAX, max(EVENTS_MIN, deliveries // number))
            side = Side(log.server, PUBLISH, lambda: path_from_end(log.server, log.owner), log.owner)
            with side.followers(number) as streams:
                values[number].append(_deliver(side, streams, events=events))
    for kind in _KINDS:
        rounds_by_number = {number: [kind.get(each) for each in some] for number, some in values.items()}
        yield figure(kind.name, rounds_by_number, unit=kind.unit, factor=kind.factor, is_bounded=kind.is_bounded)


def _deliver(side: Side, streams: Followers, *, events: int) -> Deliveries:
    publisher, times, memory = side.publisher(), list[float](), side.server.memory_mib()
    before = side.server.cpu_seconds()
    for number in range(1, events + 1):
        times.append(publisher.publish(1))
        streams.wait_for(number * streams.number)
    cpu = (side.server.cpu_seconds() - before) / (events * streams.number)
    delays = streams.take_delays()
    return Deliveries(cpu, median(times), _NANOSECOND * median(delays), _NANOSECOND * p99(delays), memory)
