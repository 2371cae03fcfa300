"""One consumer's ordeal, from an empty log to the verdict."""

import itertools
import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.end_to_end.test_publishing import APP, app_event
from tests.resilience.reconnect.severing import Severing
from tests.support.service import COMMAND, Served, bearer, clean_environment, serving

NAME = "ordeal"
# Few, so that there is always something new after a connection that broke.
BATCH = 10
SECONDS_MAX = 60.0


class Ordeal(NamedTuple):
    """So many events a second for so many seconds, and for as long as connections are cut and the consumer killed."""

    rate: int
    seconds: float
    cuts: int
    kills: int


class Verdict(NamedTuple):
    """What became of it. The last three must be 0."""

    events: int
    cuts: int
    kills: int
    missed: int
    doubled: int
    out_of_order: int

    @property
    def good(self) -> bool:
        """Whether the consumer has everything once and in order."""
        return not (self.missed or self.doubled or self.out_of_order)


def endured(ordeal: Ordeal, **settings: str) -> Verdict:
    """Publish, follow with the command line, cut and kill; then compare what was written with the receipts."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "service", **settings) as served:
        output, published, over = Path(folder) / "output.ndjson", list[str](), threading.Event()
        with Severing(served.url).running() as severing, Consumer(severing.url, output).running() as consumer:
            publisher = threading.Thread(target=_publish, args=(served, ordeal, published, over))
            publisher.start()
            for what in _in_between(ordeal):
                if what == "cut":
                    severing.cut(within=SECONDS_MAX)
                else:
                    consumer.kill()
            over.set()
            publisher.join()
            _wait_for(output, published[-1])
        return _judged(published, _sequences(output), cuts=severing.cuts, kills=consumer.kills)


class Consumer:
    """`eventfeed read --follow` with a cursor file and an output file, started again whenever it is killed."""

    def __init__(self, url: str, output: Path) -> None:
        self._url, self._output = url, output
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def kill(self) -> None:
        """Kill -9 it, wherever it is, and start it again."""
        assert self._process is not None
        assert self._process.poll() is None, "the consumer gave up"
        self._process.kill()
        self._process.wait()
        self.kills += 1
        self._start()

    def _start(self) -> None:
        command = [COMMAND, "read", "app", f"ttd/{NAME}", "--follow", "--output", str(self._output)]
        command += ["--cursor-file", str(self._output.with_suffix(".cursor")), "--url", self._url]
        self._process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL)

    @contextmanager
    def running(self) -> Iterator["Consumer"]:
        """While the block lasts."""
        self._start()
        try:
            yield self
        finally:
            assert self._process is not None
            self._process.kill()
            self._process.wait()


def _publish(served: Served, ordeal: Ordeal, published: list[str], over: threading.Event) -> None:
    """Publish at the rate, as far as the service bears it; notes the sequences of the receipts."""
    headers = {**bearer(served.token("altinn:events.publish")), "Content-Type": "application/json"}
    started, least = time.monotonic(), round(ordeal.rate * ordeal.seconds / BATCH)
    for number in itertools.count():
        if number >= least and over.is_set():
            return
        time.sleep(max(0.0, started + number * BATCH / ordeal.rate - time.monotonic()))
        body = json.dumps([app_event(NAME) for _ in range(BATCH)])
        answer = served.client.post(APP, content=body, headers=headers).raise_for_status()
        published += [receipt["sequence"] for receipt in answer.json()]


def _in_between(ordeal: Ordeal) -> Iterator[str]:
    """What happens, spread over the time at random."""
    happening = ["cut"] * ordeal.cuts + ["kill"] * ordeal.kills
    random.shuffle(happening)
    for what in happening:
        time.sleep(random.random() * 2 * ordeal.seconds / len(happening))
        yield what


def _wait_for(output: Path, last: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while last not in _sequences(output)[-1:]:
        assert time.monotonic() < deadline, "the consumer never got to the end"
        time.sleep(0.1)


def _sequences(output: Path) -> Sequence[str]:
    """The sequences of whole lines."""
    text = output.read_bytes() if output.exists() else b""
    return [json.loads(line)["sequence"] for line in text[: text.rfind(b"\n") + 1].splitlines()]


def _judged(published: Sequence[str], seen: Sequence[str], *, cuts: int, kills: int) -> Verdict:
    return Verdict(
        events=len(published),
        cuts=cuts,
        kills=kills,
        missed=len(set(published) - set(seen)),
        doubled=len(seen) - len(set(seen)),
        out_of_order=sum(one >= other for one, other in pairwise(seen)),
    )
