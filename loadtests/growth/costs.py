"""The cost of requests to a service: the processor time of all its processes, and the time that a caller waits."""

import time
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPConnection
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtests.benchmark.servers import Server


class Cost(NamedTuple):
    """The cost of one operation (s)."""

    cpu: float
    wall: float


class Request(NamedTuple):
    """A request, and the number of events that its response has."""

    path: str
    events: int
    headers: Mapping[str, str]
    body: bytes | None = None


class Caller:
    """Sends requests to a service, one after another on one connection."""

    def __init__(self, server: Server) -> None:
        parts = urlsplit(server.url)
        self.server = server
        self._connection = HTTPConnection(parts.hostname or "", parts.port)

    def send(self, request: Request) -> float:
        """Send a request, and return the time until the response (s). Raises `RuntimeError` if that is not expected."""
        start = time.perf_counter()
        method = "GET" if request.body is None else "POST"
        self._connection.request(method, request.path, request.body, dict(request.headers))
        response = self._connection.getresponse()
        text = response.read()
        seconds = time.perf_counter() - start
        if response.status not in (200, 201) or text.count(b'"source":') != request.events:
            raise RuntimeError(f"{request.path}: {response.status} {text[:500].decode()}")
        return seconds

    def cost(self, requests: Iterable[Request]) -> Cost:
        """Return the cost of a request: the mean of processor times, the median of the others."""
        start = self.server.cpu_seconds()
        times = [self.send(each) for each in requests]
        return Cost((self.server.cpu_seconds() - start) / len(times), median(times))


def cost_of(work: Callable[[], object]) -> Cost:
    """Return the cost of work in other processes, which end with it."""
    start, before = time.perf_counter(), _children_seconds()
    work()
    return Cost(_children_seconds() - before, time.perf_counter() - start)


def _children_seconds() -> float:
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
