"""One storm, from an empty log to the verdict."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.resilience.stress.callers import APPS, TYPES, Follower, Seen, follow, publish
from tests.support.service import Served, bearer, serving

FOLLOWERS = [
    *(Follower(app, ()) for app in APPS for _ in range(2)),
    *(Follower(app, types) for app in APPS for types in (TYPES[:1], TYPES[1:])),
]


class Size(NamedTuple):
    """How hard it blows: four publishers in each publishing process."""

    events: int
    publishing_processes: int
    followers: int
    workers: int
    kills: int


class Verdict(NamedTuple):
    """What was found. All counts but the first three must be 0."""

    events: int
    followers: int
    killed: int
    lost_acknowledged: int
    missed: int
    doubled: int
    out_of_order: int
    holes: int
    seconds: float
    rest_mib: float
    storm_mib: float

    @property
    def good(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.lost_acknowledged or self.missed or self.doubled or self.out_of_order or self.holes)


def blow(size: Size, **settings: str) -> Verdict:
    """Publish, follow and kill; then compare everything with everything. `settings` name another store."""
    settings["EVENTFEED_WORKERS"] = str(size.workers)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), **settings) as served:
        rest, started = _memory(served), time.monotonic()
        publishing = served.token("altinn:events.publish")
        reading = served.token("altinn:events/ttd")
        ended, weather = Path(folder) / "ended", Weather()
        processes = size.publishing_processes + size.followers
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            followers = [pool.submit(follow, served.url, reading, each, ended) for each in FOLLOWERS[: size.followers]]
            publishers = [
                pool.submit(
                    publish, served.url, publishing, first, range(first, size.events, size.publishing_processes)
                )
                for first in range(size.publishing_processes)
            ]
            killer = threading.Thread(target=_kill, args=(served, size, publishers, weather))
            killer.start()
            receipts = [seen for publisher in publishers for seen in publisher.result()]
            killer.join()
            _end(ended, str(max(seen.sequence for seen in receipts)))
            followed = [follower.result() for follower in followers]
        everything = _everything(served)
        return _judge(receipts, followed, everything)._replace(
            seconds=time.monotonic() - started,
            rest_mib=rest,
            storm_mib=weather.memory,
            killed=weather.killed,
        )


def _end(ended: Path, last: str) -> None:
    draft = ended.with_suffix(".draft")
    draft.write_text(last)
    draft.rename(ended)


class Weather:
    """What happened while it blew."""

    def __init__(self) -> None:
        self.killed = 0
        self.memory = 0.0


def _kill(served: Served, size: Size, publishers: Sequence[Future[list[Seen]]], weather: Weather) -> None:
    """Kill a worker each time another part of the events is in; meanwhile note the memory."""
    headers = bearer(served.token("altinn:events/ttd"))
    write_ids = [size.events * (number + 1) // (size.kills + 1) for number in range(size.kills)]
    while write_ids and not all(publisher.done() for publisher in publishers):
        weather.memory = max(weather.memory, _memory(served))
        with contextlib.suppress(httpx.HTTPError):  # it asked the one that was just killed, or one that is starting
            answer = served.client.get("/events/api/v1/head", headers=headers)
            if int(answer.raise_for_status().json()["cursor"].partition(".")[2]) >= write_ids[0]:
                os.kill(_workers(served)[0], signal.SIGKILL)
                write_ids.pop(0)
                weather.killed += 1
        time.sleep(0.1)


def _workers(served: Served) -> list[int]:
    """The serving processes, the oldest first."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(served.process.pid)], capture_output=True, check=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if b"spawn_main" in line]


def _memory(served: Served) -> float:
    """What all serving processes hold of their own (MiB)."""
    total = 0
    for pid in _workers(served):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it was killed just now
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
    return total / 1024


def _everything(served: Served) -> list[Seen]:
    """Both apps' feeds, read once more at the end, in the order of their sequence."""
    seen = list[Seen]()
    for app in APPS:
        seen += _read(served, app)
    return sorted(seen)


def _read(served: Served, app: str) -> Iterator[Seen]:
    headers, cursor, more = bearer(served.token("altinn:events/ttd")), "0", True
    while more:
        answer = served.client.get(f"/events/api/v1/app/ttd/{app}?after={cursor}&size=1000", headers=headers)
        if answer.status_code == 503:
            continue
        yield from (Seen(int(event["sequence"]), event["id"]) for event in answer.raise_for_status().json())
        cursor, more = answer.headers["feed-cursor"], answer.headers["feed-more"] == "true"


def _judge(receipts: Sequence[Seen], followed: Sequence[Sequence[Seen]], everything: Sequence[Seen]) -> Verdict:
    missed = doubled = disordered = 0
    for follower, seen in zip(FOLLOWERS, followed, strict=False):
        expected = {each for each in everything if follower.wants(each.id)}
        missed += len(expected - set(seen))
        doubled += len(seen) - len(set(seen))
        disordered += sum(one.sequence >= other.sequence for one, other in pairwise(seen))
    sequences = [each.sequence for each in everything]
    return Verdict(
        events=len(everything),
        followers=len(followed),
        lost_acknowledged=len(set(receipts) - set(everything)),
        missed=missed,
        doubled=doubled + len(everything) - len({each.id for each in everything}),
        out_of_order=disordered,
        holes=len(set(range(1, len(sequences) + 1)) - set(sequences)),
        seconds=0,
        rest_mib=0,
        storm_mib=0,
        killed=0,
    )
