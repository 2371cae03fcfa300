"""One trial of a consumer, from an empty log to the verdict."""

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

from tests.support.breaking_proxy import BreakingProxy
from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, app_event
from tests.support.service import COMMAND, RunningService, bearer, clean_environment, running_service
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

APP = "reconnect"
# Small, so that there is always a new event after a connection broke.
BATCH_EVENTS = 10


class Trial(NamedTuple):
    """The load and the disruptions: events a second, the minimum duration, broken connections and killed consumers."""

    rate: int
    seconds: float
    cuts: int
    kills: int


class Verdict(NamedTuple):
    """The outcome of a trial. The last three counts must be 0."""

    events: int
    cuts: int
    kills: int
    missing: int
    duplicates: int
    out_of_order: int

    @property
    def good(self) -> bool:
        """True if the consumer has every event exactly once and in order."""
        return not (self.missing or self.duplicates or self.out_of_order)


def run_trial(trial: Trial, **settings: str) -> Verdict:
    """Publish, follow with the command line, cut and kill; then compare the consumer's output with the receipts."""
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder) / "service", **settings) as service:
        output, sequences, end = Path(folder) / "output.ndjson", list[str](), threading.Event()
        with BreakingProxy(service.url).running() as proxy, Consumer(proxy.url, output).running() as consumer:
            publisher = threading.Thread(target=_publish, args=(service, trial, sequences, end))
            publisher.start()
            for disruption in _disruptions(trial):
                if disruption == "cut":
                    proxy.cut(within=WAIT_SECONDS_MAX)
                else:
                    consumer.kill()
            end.set()
            publisher.join()
            wait_until(lambda: sequences[-1] in _sequences_of(output)[-1:])
        return _verdict(sequences, _sequences_of(output), cuts=proxy.cuts, kills=consumer.kills)


class Consumer:
    """`eventfeed read --follow` with a cursor file and an output file. It starts again after each kill."""

    def __init__(self, url: str, output: Path) -> None:
        self._url, self._output = url, output
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def kill(self) -> None:
        """Kill the process with SIGKILL, and start it again."""
        assert self._process is not None
        assert self._process.poll() is None, "the consumer ended by itself"
        self._process.kill()
        self._process.wait()
        self.kills += 1
        self._start()

    def _start(self) -> None:
        command = [COMMAND, "read", "app", f"ttd/{APP}", "--follow", "--output", str(self._output)]
        command += ["--cursor-file", str(self._output.with_suffix(".cursor")), "--url", self._url]
        self._process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL)

    @contextmanager
    def running(self) -> Iterator["Consumer"]:
        """Run while the block lasts."""
        self._start()
        try:
            yield self
        finally:
            assert self._process is not None
            self._process.kill()
            self._process.wait()


def _publish(service: RunningService, trial: Trial, sequences: list[str], end: threading.Event) -> None:
    """Publish at the rate of the trial, or as fast as the service permits, and append the sequences of the receipts."""
    headers = {**bearer(service.token(PUBLISH_SCOPE)), "Content-Type": "application/json"}
    start, batches_min = time.monotonic(), round(trial.rate * trial.seconds / BATCH_EVENTS)
    for number in itertools.count():
        if number >= batches_min and end.is_set():
            return
        time.sleep(max(0.0, start + number * BATCH_EVENTS / trial.rate - time.monotonic()))
        body = json.dumps([app_event(APP) for _ in range(BATCH_EVENTS)])
        response = service.client.post(APP_PATH, content=body, headers=headers).raise_for_status()
        sequences += [receipt["sequence"] for receipt in response.json()]


def _disruptions(trial: Trial) -> Iterator[str]:
    """Yield "cut" and "kill" in random order, spread at random over the time of the trial."""
    disruptions = ["cut"] * trial.cuts + ["kill"] * trial.kills
    random.shuffle(disruptions)
    for disruption in disruptions:
        time.sleep(random.random() * 2 * trial.seconds / len(disruptions))
        yield disruption


def _sequences_of(output: Path) -> Sequence[str]:
    """The sequences of the complete lines of a file."""
    text = output.read_bytes() if output.exists() else b""
    return [json.loads(line)["sequence"] for line in text[: text.rfind(b"\n") + 1].splitlines()]


def _verdict(receipts: Sequence[str], output: Sequence[str], *, cuts: int, kills: int) -> Verdict:
    return Verdict(
        events=len(receipts),
        cuts=cuts,
        kills=kills,
        missing=len(set(receipts) - set(output)),
        duplicates=len(output) - len(set(output)),
        out_of_order=sum(one >= other for one, other in pairwise(output)),
    )
