"""How fast pages are served: from the store, from memory, and when there is nothing new."""

import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import uvloop

from loadtests.benchmark.calling import Calls, Script, answered_a_second, rate_of_wrk
from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import FEED, TYPE
from loadtests.benchmark.figures import Figure, compared
from loadtests.benchmark.serving import Server, bare

Telemetry = Mapping[str, str]

CONNECTIONS = 32
PAGE_EVENTS = 50

# What the measured pages are filtered by.
_WANTED = f"&eventType={TYPE}&size={PAGE_EVENTS}"


class Asked(NamedTuple):
    """A request, what its answer must be, and the name of what a bare handler sends for it."""

    name: str
    path: str
    headers: Mapping[str, str]
    status: int
    events: int
    bare: str

    @property
    def bare_path(self) -> str:
        """The same request to a bare handler: what is compared is what becomes of it."""
        return f"/{self.bare}?{urlsplit(self.path).query}"


def load_generator() -> str:
    """What asks for the pages: `wrk` where it is installed."""
    return f"{'wrk' if shutil.which('wrk') else 'an asyncio client'} on {CONNECTIONS} connections"


def page_figures(
    server: Server, authorized: Mapping[str, str], *, folder: Path, sent: Telemetry, effort: Effort
) -> Iterator[Figure]:
    """Each page over handlers that send the same bytes, or nothing where there is nothing to send.

    The service sends its telemetry; the handlers once the same, and once none.
    """
    asked = _asked(server, authorized)
    answers = {each.bare: _checked(server, each) for each in asked}
    bodies = {name: answer.content if name != "empty" else b"" for name, answer in answers.items()}
    asking = functools.partial(rate, seconds=effort.page_seconds)
    with (
        bare(folder / "bare", bodies=bodies, workers=server.workers) as naked,
        bare(folder / "observed", bodies=bodies, workers=server.workers, telemetry=sent) as observed,
    ):
        for each in asked:
            for other, called in ((observed, "the same telemetry"), (naked, "none")):
                yield compared(
                    f"{each.name} / bare handler behind {called}",
                    functools.partial(asking, f"{server.url}{each.path}", each.headers, status=each.status),
                    bare=functools.partial(asking, f"{other.url}{each.bare_path}", each.headers, status=200),
                    rounds=effort.rounds,
                )
        if shutil.which("wrk"):
            last = next(each for each in asked if each.bare == "last")
            yield compared(
                f"page of {PAGE_EVENTS} from memory, each at another place / the same",
                functools.partial(_rate_of_places, server, authorized, effort=effort),
                bare=functools.partial(asking, f"{observed.url}{last.bare_path}", authorized, status=200),
                rounds=effort.rounds,
            )


def rate(url: str, headers: Mapping[str, str], *, status: int, seconds: float) -> float:
    """Answers a second. Raises `RuntimeError` when something was refused."""
    if shutil.which("wrk"):
        return rate_of_wrk(url, headers, connections=CONNECTIONS, seconds=seconds)
    parts = urlsplit(url)
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": parts.netloc, **headers}.items())
    request = f"GET {parts.path}?{parts.query} HTTP/1.1\r\n{fields}\r\n".encode()
    calls = Calls(url, lambda: request, status=status, connections=CONNECTIONS, seconds=seconds)
    return uvloop.run(answered_a_second(calls))


def _rate_of_places(server: Server, authorized: Mapping[str, str], *, effort: Effort) -> float:
    """Full pages a second that begin at one place after another among the newest events: no two alike in a row."""
    end = server.client.get("/events/api/v1/head", headers=authorized).raise_for_status().json()["cursor"]
    log, _, position = end.partition(".")
    told = (f"{FEED}?after={log}.", str(int(position) - effort.places - PAGE_EVENTS), str(effort.places), _WANTED)
    script = Script(Path(__file__).with_name("places.lua"), told)
    return rate_of_wrk(server.url, authorized, connections=CONNECTIONS, seconds=effort.page_seconds, script=script)


def _asked(server: Server, authorized: Mapping[str, str]) -> list[Asked]:
    """The requests that are measured: the log's first page, its last full one, and nothing after its end, twice."""
    end = server.client.get("/events/api/v1/head", headers=authorized).raise_for_status().json()["cursor"]
    log, _, position = end.partition(".")
    first = f"{FEED}?after=0{_WANTED}"
    last = f"{FEED}?after={log}.{int(position) - PAGE_EVENTS}{_WANTED}"
    nothing = f"{FEED}?after={end}{_WANTED}"
    tag = server.client.get(nothing, headers=authorized).raise_for_status().headers["etag"]
    return [
        Asked(f"page of {PAGE_EVENTS} from the store", first, authorized, 200, PAGE_EVENTS, "first"),
        Asked(f"page of {PAGE_EVENTS} from memory", last, authorized, 200, PAGE_EVENTS, "last"),
        Asked("caught-up page", nothing, authorized, 200, 0, "empty"),
        Asked("caught-up 304", nothing, {**authorized, "If-None-Match": tag}, 304, 0, "empty"),
    ]


def _checked(server: Server, asked: Asked) -> httpx.Response:
    """The answer that is measured, once looked at: the load generator would take a wrong one for a fast one."""
    answer = server.client.get(asked.path, headers=dict(asked.headers))
    events = len(answer.json()) if answer.content else 0
    if (answer.status_code, events) != (asked.status, asked.events):
        raise RuntimeError(f"{asked.name}: {answer.status_code} with {events} events")
    return answer
