"""A request for a feed: the caller's rights, and the services that answer it."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Feed, Page
from eventfeed.domain.ports import CLOCK_SECOND, Clock
from eventfeed.domain.principal import Principal
from eventfeed.http.problems import Problems
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.reading.rate_limit import ConcurrencyLimits
from eventfeed.http.reading.representation import entry_json
from eventfeed.http.request import HttpRequest
from eventfeed.log.reader import Reader
from eventfeed.telemetry.telemetry import Telemetry


class AnonymousReader(NamedTuple):
    """Anyone, counted by the client's address: what a feed needs of a `Principal`."""

    caller: str
    rights: str = "anyone"
    expires: int | None = None


class Guard(Protocol):
    """Checks beyond the token. Pages, waits and streams call them at the same places."""

    async def require(self) -> None:
        """Check again that the caller may read the feed. Raises the refusal."""

    async def audit(self, page: Page) -> None:
        """Record a page with events before it is sent."""


class FeedRequest(NamedTuple):
    """A request for a feed, with a guard unless the token alone gives the right.

    `serialise` returns the JSON of an entry that the reader may see.
    """

    request: HttpRequest
    feed: Feed
    parameters: Parameters
    reader: Principal | AnonymousReader
    guard: Guard | None = None
    serialise: Callable[[Entry], bytes] = entry_json


class ReadingServices(NamedTuple):
    """The services behind pages, waits and streams."""

    page_reader: Reader
    clock: Clock
    problems: Problems
    limits: ConcurrencyLimits
    telemetry: Telemetry

    def seconds_left(self, reader: Principal | AnonymousReader) -> float:
        """Return the time until the reader's token expires (s), infinity without a token."""
        return math.inf if reader.expires is None else (reader.expires * CLOCK_SECOND - self.clock()) / CLOCK_SECOND
