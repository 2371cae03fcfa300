"""A trial on Cosmos DB: several services on one emulator, behind a network with faults and Azure's rules."""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.emulator.fault_proxy import Fault
from tests.emulator.rules.azure import Settings
from tests.emulator.rules.replicas import Lag
from tests.emulator.running import bad_network, emulator
from tests.resilience.stress.trial import Size, Verdict, run_clients, target_of, verdict_of
from tests.support.service import COMMAND, RunningService, clean_environment, free_port, start, stop

# Four of five of these faults are a response lost after the request was executed.
FAULTS_RATE = 0.52
LOST_SHARE_MIN = 0.4
# Small, so that commits often meet the end of a segment.
SEGMENT_ENTRIES = 1_000
# A process is killed after a random time between these.
KILL_SECONDS_MIN, KILL_SECONDS_MAX = 8.0, 16.0
POLL_SECONDS = 0.2
# The rules of a trial: small partitions, and replicas that lag.
RULES = Settings(partitions=3, units_a_second=1_000, lag=Lag(writes=3, seconds=0.2))


@dataclasses.dataclass(frozen=True)
class Plan:
    """A trial: its size, the rate of faults, the rules (None: none), and the seed of all random numbers."""

    size: Size
    faults_rate: float = FAULTS_RATE
    rules: Settings | None = None
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests to the store in a trial: of each process, refused with 429, and by fault."""

    seconds: float
    requests: Sequence[int]
    refusals: int
    faults: Mapping[str, int]

    @property
    def peak(self) -> float:
        """The requests a second of the busiest process."""
        return max(self.requests) / self.seconds


class Fleet:
    """Services, each of one process, with its own way to the store."""

    def __init__(self, folder: Path, stores: Sequence[str]) -> None:
        self._folder = folder
        self._settings = [
            {"EVENTFEED_STORE": store, "EVENTFEED_PORT": str(free_port()), "EVENTFEED_WORKERS": "1"} for store in stores
        ]
        with ThreadPoolExecutor() as pool:
            self.services = list(pool.map(self._start, range(len(stores))))
        self.kills = 0

    def _start(self, number: int) -> RunningService:
        return start(self._folder / f"service-{number}", **self._settings[number])

    def kill(self, number: int) -> None:
        """Kill all processes of a service, and start it again."""
        service = self.services[number]
        os.killpg(service.process.pid, signal.SIGKILL)
        service.process.wait()
        service.client.close()
        self.services[number] = self._start(number)
        self.kills += 1

    def kill_at_random(self, is_over: Callable[[], bool], rng: random.Random) -> None:
        """Kill a service every 8 to 16 s, until it is over."""
        due = time.monotonic() + rng.uniform(KILL_SECONDS_MIN, KILL_SECONDS_MAX)
        while not is_over():
            if time.monotonic() >= due:
                self.kill(rng.randrange(len(self.services)))
                due = time.monotonic() + rng.uniform(KILL_SECONDS_MIN, KILL_SECONDS_MAX)
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop every service."""
        for service in self.services:
            stop(service)


def run_cosmos_trial(plan: Plan) -> tuple[Verdict, Load]:
    """Run a trial with a new emulator, and check that the network was bad enough."""
    with emulator() as url, tempfile.TemporaryDirectory() as folder:
        size, seed = plan.size, plan.seed
        with bad_network(url, seed=seed, rate=plan.faults_rate, ports=size.workers, rules=plan.rules) as (urls, counts):
            create = [COMMAND, "store", "create", "--segment-entries", str(SEGMENT_ENTRIES)]
            environment = clean_environment(EVENTFEED_STORE=_store(url))
            subprocess.run(create, env=environment, cwd=folder, check=True, capture_output=True)
            start_time = time.monotonic()
            verdict = _run(plan, Path(folder), [_store(each) for each in urls])
            seconds = time.monotonic() - start_time
    faults = counts.faults
    if plan.faults_rate:
        assert {fault.name for fault in Fault} <= set(faults), "some kind of fault did not occur"
        assert faults[Fault.RESPONSE_LOST.name] >= LOST_SHARE_MIN * faults.total(), "the network lost too few responses"
    return verdict, Load(seconds, counts.ports, counts.statuses["429"], faults)


def _run(plan: Plan, folder: Path, stores: Sequence[str]) -> Verdict:
    with _fleet(folder, stores) as fleet:
        rng, start_time = random.Random(plan.seed), time.monotonic()
        targets = [target_of(service) for service in fleet.services]

        def kill(is_over: Callable[[], bool]) -> None:
            if plan.size.kills:
                fleet.kill_at_random(is_over, rng)

        results = run_clients(targets, plan.size, folder / "end", kill=kill)
        return verdict_of(results)._replace(kills=fleet.kills, seconds=time.monotonic() - start_time)


@contextlib.contextmanager
def _fleet(folder: Path, stores: Sequence[str]) -> Iterator[Fleet]:
    fleet = Fleet(folder, stores)
    try:
        yield fleet
    finally:
        fleet.stop()


def _store(url: str) -> str:
    return f"cosmos://{url.removeprefix('http://').rstrip('/')}/stress"
