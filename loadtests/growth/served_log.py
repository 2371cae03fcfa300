"""A log that a service serves, with what is needed to request from it."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.benchmark.events import PUBLISH, authorization, log_end
from loadtests.benchmark.servers import Server
from loadtests.growth.costs import Caller, Request
from loadtests.growth.series import FIRST_PARTY, ORG, PARTIES, Event, Series

PAGE_EVENTS = 50

_READER = "310000022"
_SCOPES = "altinn:events.subscribe"


class ServedLog:
    """A log that a service serves, to request from."""

    def __init__(self, server: Server, series: Series) -> None:
        self.server, self.series = server, series
        self.caller = Caller(server)
        self.random = random.Random(series.events)  # noqa: S311  # load
        self.owner = {**authorization(server), "Content-Type": "application/json"}
        # Nobody else publishes, so that new events have the numbers of their positions.
        _, self.end = log_end(server, self.owner)
        self.reader = {**authorization(server, organisation=_READER, scopes=_SCOPES)}

    def position_in(self, start: float, end: float) -> int:
        """Return a random position between two shares of the log."""
        return round(self.series.events * self.random.uniform(start, end))

    def new_events(self, number: int) -> Sequence[Event]:
        """Return events that the log does not have yet."""
        events = [self.series.event(self.end + each) for each in range(1, number + 1)]
        self.end += number
        return events

    def page(self, query: str, *, app: str | None = None, events: int = PAGE_EVENTS) -> Request:
        """Return the request for a page of an app, by default of a random one."""
        name = app or f"app-{self.random.randrange(self.series.apps)}"
        return Request(f"/events/api/v1/app/{ORG}/{name}?{query}&size={events}", events, self.owner)

    def publish(self, events: Sequence[Event]) -> Request:
        """Return the request to publish events."""
        body = b",".join(each.as_sent() for each in events)
        return Request(PUBLISH, len(events), self.owner, body if len(events) == 1 else b"[%b]" % body)


def write_register(file: Path) -> Mapping[str, str]:
    """Write a register in which one organisation may read for all parties, and return the settings for a service."""
    parties = [str(FIRST_PARTY + number) for number in range(PARTIES)]
    clients = [
        {"number": str(400_000_000 + number), "party": party, "name": party} for number, party in enumerate(parties)
    ]
    reader = {"number": _READER, "party": "51000022", "name": "reader", "acts_for": parties}
    owner = {"number": "991825827", "party": "50002001", "name": "owner", "org": ORG}
    file.write_text(json.dumps({"organisations": [owner, reader, *clients], "people": []}))
    return {
        "EVENTFEED_REGISTER": str(file),
        "EVENTFEED_ADDRESS_REQUESTS": "1000000",
        "EVENTFEED_INSTANCE_REQUESTS": "1000000",
    }
