"""One trial: slow clients of a service in its own process, its memory, and the latency of another caller."""

import contextlib
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.publishing import APP_PATH, PUBLISH_SCOPE, cloud_event
from tests.support.service import RunningService, bearer, running_service
from tests.support.waiting import WAIT_SECONDS_MAX

EVENT_BYTES = 20_000
# Events of the app that is read: together more than a page of 8 MiB.
EVENTS = 500
# A slow client takes so many bytes now and then.
TAKEN_BYTES = 512
PAUSE_SECONDS = 0.5
# Requests of slow clients between two probes.
PROBE_EVERY = 20
# A worker returns free memory each minute.
RETURN_SECONDS_MAX = 75.0 + WAIT_SECONDS_MAX
_MIB = 1024


class Trial(NamedTuple):
    """The number of slow clients of each kind, and how long (s) they stay."""

    silent: int
    pages: int
    streams: int
    seconds: float


class Verdict(NamedTuple):
    """Memory of the worker (KiB) before, with streams, with all and after; probes (s); and the statuses of pages."""

    before: int
    with_streams: int
    highest: int
    after: int
    probes: Sequence[float]
    refusals: int

    def stream_kib(self, trial: Trial) -> float:
        """The memory of one slow stream."""
        return (self.with_streams - self.before) / trial.streams

    def __str__(self) -> str:
        worst, middle = max(self.probes) * 1_000, statistics.median(self.probes) * 1_000
        return (
            f"memory (MiB): {self.before // _MIB} before, {self.with_streams // _MIB} with the streams, "
            f"{self.highest // _MIB} with all, {self.after // _MIB} after; "
            f"probes (ms): {middle:.0f} median, {worst:.0f} worst of {len(self.probes)}; "
            f"{self.refusals} pages refused with 503"
        )


def run_trial(trial: Trial) -> Verdict:
    """Run a service with slow clients, and return what it held and how fast it responded to another caller."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_service(Path(name), EVENTFEED_CALLER_STREAMS="100000") as service,
    ):
        return _Run(service, trial).run()


class _Run:
    def __init__(self, service: RunningService, trial: Trial) -> None:
        self._service, self._trial = service, trial
        self._address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
        self._status = Path(f"/proc/{service.worker_pids()[0]}/status")
        self._clients: list[socket.socket] = []
        self._probes: list[float] = []
        self._highest = 0
        publish = bearer(service.token(PUBLISH_SCOPE))
        for _ in range(EVENTS // 50):
            events = [cloud_event("big", data="x" * EVENT_BYTES) for _ in range(50)]
            service.client.post(APP_PATH, json=events, headers=publish).raise_for_status()
        self._slow, self._other = service.token("altinn:events/ttd"), service.token("altinn:events/ttd/big")

    def run(self) -> Verdict:
        """Connect the clients of each kind, let them take little for a while, then close them."""
        trial = self._trial
        for _ in range(5):
            self._probe()
        before = self._memory()
        with self._slow_clients() as clients:
            self._request(trial.streams, "Accept: text/event-stream\r\n")
            self._stay(trial.seconds / 2)
            with_streams = self._memory()
            self._connect(trial.silent)
            self._request(trial.pages, "")
            pages = clients[-trial.pages :]
            heads = self._stay(trial.seconds / 2, pages)
        deadline = time.monotonic() + RETURN_SECONDS_MAX
        while (after := self._memory()) > before + 150 * _MIB and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
        refusals = sum(head.startswith(b"HTTP/1.1 503") for head in heads)
        return Verdict(before, with_streams, self._highest, after, self._probes, refusals)

    @contextlib.contextmanager
    def _slow_clients(self) -> Iterator[list[socket.socket]]:
        try:
            yield self._clients
        finally:
            for client in self._clients:
                client.close()

    def _connect(self, count: int) -> Sequence[socket.socket]:
        clients = [socket.create_connection(self._address, timeout=WAIT_SECONDS_MAX) for _ in range(count)]
        self._clients += clients
        return clients

    def _request(self, count: int, header: str) -> None:
        head = f"GET /events/api/v1/app/ttd/big?after=0&size=1000 HTTP/1.1\r\nHost: x\r\n{header}"
        request = f"{head}Authorization: Bearer {self._slow}\r\n\r\n".encode()
        for number, client in enumerate(self._connect(count)):
            client.sendall(request)
            if number % PROBE_EVERY == 0:
                self._probe()

    def _stay(self, seconds: float, pages: Sequence[socket.socket] = ()) -> Sequence[bytes]:
        """Let every client take some bytes now and then, and measure; return the first bytes of these pages."""
        heads, deadline = dict.fromkeys(pages, b""), time.monotonic() + seconds
        while time.monotonic() < deadline:
            for client in self._clients:
                client.setblocking(False)
                with contextlib.suppress(OSError):
                    taken = client.recv(TAKEN_BYTES)
                    if client in heads:
                        heads[client] = heads[client] or taken
            self._probe()
            self._highest = max(self._highest, self._memory())
            time.sleep(PAUSE_SECONDS)
        return list(heads.values())

    def _probe(self) -> None:
        began = time.monotonic()
        path, headers = "/events/api/v1/app/ttd/big?after=0&size=1", bearer(self._other)
        self._service.client.get(path, headers=headers).raise_for_status()
        self._probes.append(time.monotonic() - began)

    def _memory(self) -> int:
        """The resident memory of the worker (KiB)."""
        lines = self._status.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
