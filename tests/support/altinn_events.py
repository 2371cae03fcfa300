"""A server with the reading routes of the replaced platform, by the rules of its code.

Rules, with their place in Altinn/altinn-events:

1. A feed is ordered by `sequenceno` (src/Events/Migration/FunctionsAndProcedures/getappevents.sql).
2. `after` is an event id: the feed goes on after the lowest `sequenceno` with it, and an unknown id is the beginning
   (the same file).
3. Events registered in the last 30 s are hidden (the same file).
4. `from` bounds `time`, compared as text (the same file).
5. `after` or `from` is required, `size` is 50 by default, and a size below 1 is 400 (src/Events/Controllers/
   AppController.cs). A larger size than 1000 is reduced for the resource feed alone (EventsController.cs).
6. Rights are asked for the events of a page, so a page may be shorter than `size` (src/Events/Services/
   EventsService.cs).
7. A page with events has the header `next`: the platform's own address, the id of the last event, and the other
   parameters, none of them encoded (AppController.cs).
8. Times are written in UTC (src/Events/Repository/CloudEventRepository.cs).
9. A request without a token is 401.

Not played: `to`, filters by type and source, subjects of persons, and the JSON text of .NET.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.altinn_rows import AltinnRow

HIDDEN_TIME = timedelta(seconds=30)
PUBLIC_URL = "https://platform.altinn.example"


class AltinnEvents:
    """The platform with these rows, at a URL.

    It shows a caller the events for which `may_read` is true. It refuses the token `expired`, and calls `renew`.
    """

    def __init__(
        self,
        rows: Sequence[AltinnRow],
        *,
        may_read: Callable[[AltinnRow], bool] = lambda _: True,
        renew: Callable[[], object] = lambda: None,
    ) -> None:
        self.rows, self.may_read, self.renew = rows, may_read, renew
        self.url = ""
        self.requests: list[str] = []
        self.failures = 0

    def page(self, path: str, query: Mapping[str, str]) -> tuple[int, list[dict[str, Any]], str]:
        """Return status, events and `next` of a request."""
        after, since = query.get("after", ""), query.get("from", "")
        size = int(query.get("size", "50"))
        if not (after or since) or size < 1:
            return 400, [], ""
        matches = (row for row in self.rows if _is_in_feed(row, path, query))
        limit = min(size, 1000) if path.endswith("/events") else size
        found = [row for row in self._after(list(matches), after) if not since or str(row.event["time"]) >= since]
        events = [_in_utc(row.event) for row in found[:limit] if self.may_read(row)]
        others = "".join(f"&{name}={value}" for name, value in query.items() if name != "after")
        return 200, events, f"{PUBLIC_URL}{path}?after={events[-1]['id']}{others}" if events else ""

    def _after(self, rows: Sequence[AltinnRow], after: str) -> Sequence[AltinnRow]:
        newest = datetime.now(UTC) - HIDDEN_TIME
        number = min((row.number for row in self.rows if row.event["id"] == after), default=-1)
        return [row for row in rows if row.number > number and datetime.fromisoformat(row.registered) <= newest]


def _is_in_feed(row: AltinnRow, path: str, query: Mapping[str, str]) -> bool:
    if path.endswith("/app/party"):
        return row.event.get("subject") == f"/party/{query['party']}"
    if path.endswith("/events"):
        return row.event.get("resource") == query["resource"]
    org, app = path.split("/")[-2:]
    return row.event.get("resource") == f"urn:altinn:resource:app_{org}_{app}"


def _in_utc(event: Mapping[str, Any]) -> dict[str, Any]:
    # Of .NET's seven digits `datetime` reads six.
    time = str(event["time"])
    return {**event, "time": time if time.endswith("Z") else datetime.fromisoformat(time).astimezone(UTC).isoformat()}


class _Handler(BaseHTTPRequestHandler):
    platform: AltinnEvents

    def do_GET(self) -> None:
        """Answer a request for a page."""
        url = urlsplit(self.path)
        self.platform.requests.append(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        status, events, link = self.platform.page(url.path, query)
        if self.platform.failures:
            self.platform.failures -= 1
            status = 503
        if self.headers.get("Authorization") in (None, "Bearer expired"):
            status = 401
            self.platform.renew()
        body = json.dumps(events if status == 200 else {"title": "no page"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if link and status == 200:
            self.send_header("next", link)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def running_platform(platform: AltinnEvents) -> Iterator[AltinnEvents]:
    """Serve the platform while the block lasts."""
    handler = type("Handler", (_Handler,), {"platform": platform, "protocol_version": "HTTP/1.1"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    platform.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
