"""Trace one publish and one page through the application: files, moves between files, carrier types.

Run `python -m tests.support.call_trace [--check] [--list]`. `--list` prints every call, `--check` exits with 1 if a
limit is exceeded. The application runs in this process as a server runs it, on a store in a temporary folder, and
receives its requests through ASGI. Earlier requests fill its caches. Of several equal requests the one with the fewest
calls is printed: no cache has expired, and no refresh was due.

- A file is entered when a function of it starts, or resumes after an `await`, on the thread of the event loop.
- A move is a pair of successive entries in different files. Calls on the threads of SQLite are counted apart.
- A carrier is a class of the service with an instance that is made during the request and passed on: an argument, a
  local variable or a result. The request itself is none, nor are objects that outlive it (components, cached
  values, events in memory).
"""

import asyncio
import contextlib
import functools
import os
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import httpx
import msgspec

import eventfeed
from eventfeed.app.application import create
from eventfeed.http.request import HttpRequest
from eventfeed.telemetry.requests import RequestTelemetry
from tests.support.service import bearer, free_port, running_service

SOURCE = str(Path(eventfeed.__file__).parent) + os.sep
PAGE_EVENTS = 50
WARM_UP_EVENTS = 20
EQUAL_REQUESTS = 10
PUBLISH, PAGE = "altinn:events.publish", "altinn:events/ttd/trace"
DEPTH_MAX = 3


class Limits(NamedTuple):
    """Maxima for one kind of request."""

    files: int
    moves: int
    carriers: int | None


# Carriers are limited for the page only: a publish also makes the values that the domain decides with.
LIMITS = {
    "publish": Limits(files=14, moves=40, carriers=None),
    "page": Limits(files=14, moves=30, carriers=5),
}


class Call(NamedTuple):
    """A function that starts or resumes."""

    file: str
    function: str
    is_main: bool


class Trace(NamedTuple):
    """The calls of one request in their order, and the names of its carriers."""

    calls: Sequence[Call]
    carriers: Sequence[str]

    def on_event_loop(self) -> Sequence[Call]:
        """The calls on the thread of the event loop."""
        return [call for call in self.calls if call.is_main]

    def on_store_threads(self) -> Sequence[Call]:
        """The calls on the other threads."""
        return [call for call in self.calls if not call.is_main]


class Recorder:
    """A profile function that notes the calls into the service during a request."""

    def __init__(self) -> None:
        self._record_in_progress: _Record | None = None
        self._main = threading.get_ident()
        # Threads start during the first request and keep their profile function.
        threading.setprofile(self._profile)

    async def trace(self, request: Callable[[], Awaitable[object]]) -> Trace:
        """Send equal requests and return the trace with the fewest calls: the others also refreshed what had expired.

        An object that occurs in several of the requests outlives them and is no carrier.
        """
        records = [await self._record(request) for _ in range(EQUAL_REQUESTS)]
        occurrences = Counter(key for record in records for key in record.objects)
        record = min(records, key=lambda each: len(each.calls))
        short_lived_objects = (each for key, each in record.objects.items() if occurrences[key] == 1)
        carriers = {_class_of(each) for each in short_lived_objects if not isinstance(each, HttpRequest)}
        return Trace(record.calls, sorted(carriers))

    async def _record(self, request: Callable[[], Awaitable[object]]) -> "_Record":
        record = self._record_in_progress = _Record([], {})
        sys.setprofile(self._profile)
        try:
            await request()
        finally:
            sys.setprofile(None)
            self._record_in_progress = None
        return record

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        code, record = frame.f_code, self._record_in_progress
        if record is None or event not in ("call", "return") or not code.co_filename.startswith(SOURCE):
            return
        if event == "call":
            file = code.co_filename.removeprefix(SOURCE)
            record.calls.append(Call(file, code.co_qualname, threading.get_ident() == self._main))
        record.keep([argument, *frame.f_locals.values()])


class _Record(NamedTuple):
    """The calls of a request, and the service's objects that they pass, by their addresses."""

    calls: list[Call]
    objects: dict[int, object]

    def keep(self, values: Iterable[object], depth: int = 0) -> None:
        """Keep the objects among the values and their members. A reference to each keeps its address unique."""
        for value in values:
            if type(value).__module__.startswith(eventfeed.__name__):
                self.objects[id(value)] = value
            if depth < DEPTH_MAX:
                self.keep(_members(value), depth + 1)


def _members(value: object) -> Iterable[object]:
    if isinstance(value, msgspec.Struct):
        return [getattr(value, field) for field in value.__struct_fields__]
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, tuple | list | set | frozenset) else ()


def _class_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix(f"{eventfeed.__name__}.")


def files(calls: Sequence[Call]) -> Sequence[str]:
    """Files in the order of their first call."""
    return list(dict.fromkeys(call.file for call in calls))


def moves(calls: Sequence[Call]) -> Counter[tuple[str, str]]:
    """The number of moves from one file to another, for each pair of files."""
    return Counter((one.file, two.file) for one, two in pairwise(calls) if one.file != two.file)


async def traces(url: str, *, publisher: str, reader: str) -> dict[str, Trace]:
    """Trace a publish and a page of an application in this process, with the tokens of a publisher and a reader."""
    recorder, application = Recorder(), create()
    transport = httpx.ASGITransport(application)
    async with lifespan(application), httpx.AsyncClient(transport=transport, base_url=url) as client:
        publish = functools.partial(_publish, client, publisher)
        for _ in range(WARM_UP_EVENTS):
            await publish()
        cursor = await _page(client, reader, after="0", size=WARM_UP_EVENTS)
        for _ in range(PAGE_EVENTS):
            await publish()
        publish_trace = await recorder.trace(publish)
        page = functools.partial(_page, client, reader, after=cursor, size=PAGE_EVENTS)
        return {"publish": publish_trace, "page": await recorder.trace(page)}


async def _publish(client: httpx.AsyncClient, token: str) -> None:
    source = f"https://ttd.apps.example.no/ttd/trace/instances/50000001/{uuid.uuid4()}"
    event = {"specversion": "1.0", "source": source, "type": "instance.created", "subject": "/party/50000001"}
    (await client.post("/events/api/v1/app", json=event, headers=bearer(token))).raise_for_status()


async def _page(client: httpx.AsyncClient, token: str, *, after: str, size: int) -> str:
    """Read a page of so many events and return the next cursor."""
    path = f"/events/api/v1/app/ttd/trace?after={after}&size={size}"
    response = (await client.get(path, headers=bearer(token))).raise_for_status()
    assert size == len(response.json())
    return response.headers["feed-cursor"]


@contextlib.asynccontextmanager
async def lifespan(application: RequestTelemetry) -> AsyncIterator[None]:
    """Start an ASGI application, and stop it at the end of the block."""
    inbox, outbox = asyncio.Queue[dict[str, str]](), asyncio.Queue[dict[str, str]]()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(application(scope, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    message = await outbox.get()
    if message["type"] != "lifespan.startup.complete":
        raise RuntimeError(message)
    yield
    await inbox.put({"type": "lifespan.shutdown"})
    await task


def trace_all() -> dict[str, Trace]:
    """Trace both requests on a new store. A service process on the same store issues the tokens."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["EVENTFEED_PORT"] = port = str(free_port())
        with running_service(Path(folder), EVENTFEED_PORT=port) as service:
            url, publisher, reader = service.url, service.token(PUBLISH), service.token(PAGE)
        return asyncio.run(traces(url, publisher=publisher, reader=reader))


def main(arguments: Sequence[str]) -> int:
    """Print both traces, with `--list` every call, then the figures. Return the exit status for `--check`."""
    results = trace_all()
    for name, trace in results.items():
        _print_trace(name, trace)
        if "--list" in arguments:
            _print_calls(trace)
    for name, trace in results.items():
        _print_figures(name, trace)
    excesses = [excess for name, trace in results.items() for excess in excesses_of(name, trace)]
    print("over a limit: " + ", ".join(excesses) if excesses else "within the limits")
    return 1 if excesses and "--check" in arguments else 0


def excesses_of(name: str, trace: Trace) -> Sequence[str]:
    """Name the figures that are over a limit."""
    limits, calls = LIMITS[name], trace.on_event_loop()
    figures = [
        ("files", len(files(calls)), limits.files),
        ("moves", moves(calls).total(), limits.moves),
        ("carriers", len(trace.carriers), limits.carriers),
    ]
    return [f"{figure} of a {name} ({maximum})" for figure, value, maximum in figures if maximum and value > maximum]


def _print_trace(name: str, trace: Trace) -> None:
    calls = trace.on_event_loop()
    pairs = (f"{count:>3}  {one} -> {two}" for (one, two), count in moves(calls).most_common())
    print(f"{name}\n  files in the order of entry:", *files(calls), sep="\n    ")
    print("  carriers:", *trace.carriers, sep="\n    ")
    print("  moves:", *pairs, sep="\n    ")


def _print_calls(trace: Trace) -> None:
    print("  calls:")
    for call in trace.calls:
        print(f"    {'' if call.is_main else '(store thread) '}{call.file} {call.function}")


def _print_figures(name: str, trace: Trace) -> None:
    calls, others = trace.on_event_loop(), trace.on_store_threads()
    print(f"{name}: {len(files(calls))} files, {moves(calls).total()} moves, {len(trace.carriers)} carriers", end="")
    print(f" (and on store threads {len(files(others))} files, {moves(others).total()} moves)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
