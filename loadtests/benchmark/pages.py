"""The rate of pages: from the store, from memory, and without new events."""

import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import uvloop

from loadtests.benchmark.effort import Effort
from loadtests.benchmark.events import FEED, TYPE, log_end
from loadtests.benchmark.figures import Figure, comparison
from loadtests.benchmark.load_generator import Load, Script, responses, wrk_rate
from loadtests.benchmark.servers import Server, bare_server

Settings = Mapping[str, str]

CONNECTIONS = 32
PAGE_EVENTS = 50

# The filter of the measured pages.
_FILTER = f"&eventType={TYPE}&size={PAGE_EVENTS}"


class PageRequest(NamedTuple):
    """A request, the status and number of events of its response, and the file name of that at the bare handler."""

    name: str
    path: str
    headers: Mapping[str, str]
    status: int
    events: int
    bare: str

    @property
    def bare_path(self) -> str:
        """The path of the same request to the bare handler, with its query."""
        return f"/{self.bare}?{urlsplit(self.path).query}"


def load_generator_name() -> str:
    """The client that requests the pages: `wrk` if it is installed."""
    return f"{'wrk' if shutil.which('wrk') else 'an asyncio client'} on {CONNECTIONS} connections"


def page_figures(
    server: Server, headers: Mapping[str, str], *, folder: Path, telemetry: Settings, effort: Effort
) -> Iterator[Figure]:
    """Compare each page with handlers that send the same bytes, or an empty body.

    The service sends its telemetry, and the handlers once the same telemetry and once none.
    """
    requests = _page_requests(server, headers)
    responses = {each.bare: _response(server, each) for each in requests}
    bodies = {name: response.content if name != "empty" else b"" for name, response in responses.items()}
    rate = functools.partial(page_rate, seconds=effort.page_seconds)
    with (
        bare_server(folder / "bare", bodies=bodies, workers=server.workers) as bare,
        bare_server(folder / "telemetry", bodies=bodies, workers=server.workers, telemetry=telemetry) as bare_telemetry,
    ):
        for each in requests:
            for other, name in ((bare_telemetry, "the same telemetry"), (bare, "none")):
                yield comparison(
                    f"{each.name} / bare handler behind {name}",
                    functools.partial(rate, f"{server.url}{each.path}", each.headers, status=each.status),
                    bare=functools.partial(rate, f"{other.url}{each.bare_path}", each.headers, status=200),
                    rounds=effort.rounds,
                )
        if shutil.which("wrk"):
            last = next(each for each in requests if each.bare == "last")
            yield comparison(
                f"page of {PAGE_EVENTS} from memory, each from another cursor / one cursor",
                functools.partial(_rate_at_many_positions, server, headers, effort=effort),
                bare=functools.partial(rate, f"{bare_telemetry.url}{last.bare_path}", headers, status=200),
                rounds=effort.rounds,
            )


def page_rate(url: str, headers: Mapping[str, str], *, status: int, seconds: float) -> float:
    """Responses a second. Raises `RuntimeError` if a request failed."""
    if shutil.which("wrk"):
        return wrk_rate(url, headers, connections=CONNECTIONS, seconds=seconds)
    parts = urlsplit(url)
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": parts.netloc, **headers}.items())
    request = f"GET {parts.path}?{parts.query} HTTP/1.1\r\n{fields}\r\n".encode()
    load = Load(url, lambda: request, status=status, connections=CONNECTIONS, seconds=seconds)
    return uvloop.run(responses(load)).rate


def _rate_at_many_positions(server: Server, headers: Mapping[str, str], *, effort: Effort) -> float:
    """Full pages a second, each after another of the newest positions."""
    log, end = log_end(server, dict(headers))
    first = str(end - effort.positions - PAGE_EVENTS)
    arguments = (f"{FEED}?after={log}.", first, str(effort.positions), _FILTER)
    script = Script(Path(__file__).with_name("positions.lua"), arguments)
    return wrk_rate(server.url, headers, connections=CONNECTIONS, seconds=effort.page_seconds, script=script)


def _page_requests(server: Server, headers: Mapping[str, str]) -> list[PageRequest]:
    """The requests to measure: the log's first page, its last full one, and twice the empty one after its end."""
    log, end = log_end(server, dict(headers))
    first = f"{FEED}?after=0{_FILTER}"
    last = f"{FEED}?after={log}.{end - PAGE_EVENTS}{_FILTER}"
    empty = f"{FEED}?after={log}.{end}{_FILTER}"
    tag = server.client.get(empty, headers=dict(headers)).raise_for_status().headers["etag"]
    return [
        PageRequest(f"page of {PAGE_EVENTS} from the store", first, headers, 200, PAGE_EVENTS, "first"),
        PageRequest(f"page of {PAGE_EVENTS} from memory", last, headers, 200, PAGE_EVENTS, "last"),
        PageRequest("caught-up page", empty, headers, 200, 0, "empty"),
        PageRequest("caught-up 304", empty, {**headers, "If-None-Match": tag}, 304, 0, "empty"),
    ]


def _response(server: Server, request: PageRequest) -> httpx.Response:
    """The response to measure. Raises `RuntimeError` if it is not the right one: an error might be faster."""
    response = server.client.get(request.path, headers=dict(request.headers))
    events = len(response.json()) if response.content else 0
    if (response.status_code, events) != (request.status, request.events):
        raise RuntimeError(f"{request.name}: {response.status_code} with {events} events")
    return response
