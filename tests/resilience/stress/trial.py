"""One trial of the stress test, from an empty log to the verdict."""

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.resilience.stress.clients import APPS, TYPES, Follower, Item, Target, follow, publish
from tests.support.service import REQUEST_SECONDS_MAX, RunningService, bearer, running_service

FOLLOWERS = [
    *(Follower(app, ()) for app in APPS for _ in range(2)),
    *(Follower(app, types) for app in APPS for types in (TYPES[:1], TYPES[1:])),
]


class Size(NamedTuple):
    """The size of a trial. Each publishing process has four publishers; `workers` are processes of the service."""

    events: int
    publishing_processes: int
    followers: int
    workers: int
    kills: int = 0


class Verdict(NamedTuple):
    """The outcome of a trial. The five counts after the kills must be 0."""

    events: int
    followers: int
    kills: int
    lost_receipts: int
    missing: int
    duplicates: int
    out_of_order: int
    gaps: int
    seconds: float
    idle_mib: float
    peak_mib: float

    @property
    def good(self) -> bool:
        """True if no event was lost, missing, duplicated or out of order."""
        return not (self.lost_receipts or self.missing or self.duplicates or self.out_of_order or self.gaps)


class Results(NamedTuple):
    """The items of the receipts, the items that each follower read, and the items of the whole log."""

    receipts: Sequence[Item]
    followers: Sequence[Sequence[Item]]
    log: Sequence[Item]


class Observations:
    """The number of kills and the maximum memory (MiB) during a trial."""

    def __init__(self) -> None:
        self.kills = 0
        self.peak_mib = 0.0


def run_trial(size: Size) -> Verdict:
    """Publish, follow and kill workers of one service; then compare all results."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder), EVENTFEED_WORKERS=str(size.workers)) as service,
    ):
        idle_mib, start, observations = _memory(service), time.monotonic(), Observations()

        def kill(is_over: Callable[[], bool]) -> None:
            _kill_workers(service, size, is_over, observations)

        results = run_clients([target_of(service)], size, Path(folder) / "end", kill=kill)
        return verdict_of(results)._replace(
            kills=observations.kills,
            seconds=time.monotonic() - start,
            idle_mib=idle_mib,
            peak_mib=observations.peak_mib,
        )


def target_of(service: RunningService) -> Target:
    """Return a service as clients use it."""
    return Target(service.url, service.token("altinn:events.publish"), service.token("altinn:events/ttd"))


def run_clients(
    targets: Sequence[Target], size: Size, end_file: Path, *, kill: Callable[[Callable[[], bool]], None]
) -> Results:
    """Publish and follow, while `kill` kills processes of the services until its argument is true."""
    processes, step = size.publishing_processes + size.followers, size.publishing_processes
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        followers = [pool.submit(follow, targets, each, end_file) for each in FOLLOWERS[: size.followers]]
        publishers = [pool.submit(publish, targets, first, range(first, size.events, step)) for first in range(step)]
        killer = threading.Thread(target=kill, args=(lambda: all(each.done() for each in publishers),))
        killer.start()
        receipts = [item for publisher in publishers for item in publisher.result()]
        killer.join()
        _write_end(end_file, str(max(item.sequence for item in receipts)))
        items = [follower.result() for follower in followers]
    return Results(receipts, items, sorted(item for app in APPS for item in _feed(targets[0], app)))


def _write_end(end_file: Path, last_sequence: str) -> None:
    draft = end_file.with_suffix(".draft")
    draft.write_text(last_sequence)
    draft.rename(end_file)


def _kill_workers(service: RunningService, size: Size, is_over: Callable[[], bool], observations: Observations) -> None:
    """Kill a worker after each equal part of the events, and record the memory."""
    headers = bearer(service.token("altinn:events/ttd"))
    thresholds = [size.events * (number + 1) // (size.kills + 1) for number in range(size.kills)]
    while thresholds and not is_over():
        observations.peak_mib = max(observations.peak_mib, _memory(service))
        with contextlib.suppress(httpx.HTTPError):  # the request met a killed worker, or one that is starting
            response = service.client.get("/events/api/v1/head", headers=headers)
            if int(response.raise_for_status().json()["cursor"].split(".")[1]) >= thresholds[0]:
                os.kill(service.worker_pids()[0], signal.SIGKILL)
                thresholds.pop(0)
                observations.kills += 1
        time.sleep(0.1)


def _memory(service: RunningService) -> float:
    """The private memory of all workers (MiB)."""
    total = 0
    for pid in service.worker_pids():
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # the worker has ended
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
    return total / 1024


def _feed(target: Target, app: str) -> Iterator[Item]:
    cursor, more = "0", True
    with httpx.Client(base_url=target.url, headers=bearer(target.read_token), timeout=REQUEST_SECONDS_MAX) as client:
        while more:
            response = client.get(f"/events/api/v1/app/ttd/{app}?after={cursor}&size=1000")
            if response.status_code == 503:
                continue
            yield from (Item(int(event["sequence"]), event["id"]) for event in response.raise_for_status().json())
            cursor, more = response.headers["feed-cursor"], response.headers["feed-more"] == "true"


def verdict_of(results: Results) -> Verdict:
    """Compare the receipts and what each follower read with the log."""
    missing_count = duplicate_count = out_of_order_count = 0
    for follower, items in zip(FOLLOWERS, results.followers, strict=False):
        feed = {item for item in results.log if follower.wants(item.id)}
        missing_count += len(feed - set(items))
        duplicate_count += len(items) - len(set(items))
        out_of_order_count += sum(one.sequence >= other.sequence for one, other in pairwise(items))
    sequences = [item.sequence for item in results.log]
    return Verdict(
        events=len(results.log),
        followers=len(results.followers),
        kills=0,
        lost_receipts=len(set(results.receipts) - set(results.log)),
        missing=missing_count,
        duplicates=duplicate_count + len(results.log) - len({item.id for item in results.log}),
        out_of_order=out_of_order_count,
        gaps=len(set(range(1, len(sequences) + 1)) - set(sequences)),
        seconds=0,
        idle_mib=0,
        peak_mib=0,
    )
