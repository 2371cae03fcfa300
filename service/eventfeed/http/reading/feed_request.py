"""A request for a feed: the caller's rights, and the services that answer it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Feed, Page
from eventfeed.domain.ports import Clock
from eventfeed.domain.principal import Principal
from eventfeed.http.problems import Problems
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.reading.rate_limit import ConcurrencyLimits
from eventfeed.http.reading.representation import entry_json
from eventfeed.http.request import AnyRequest
from eventfeed.log.reader import Reader
from eventfeed.telemetry.telemetry import Telemetry


class Guard(Protocol):
    """The right to read a feed. Pages, waits and streams call it at the same places.

    `rights` is all that visibility depends on, `caller` the key for limits, `expires` the last second of the caller's
    token (Unix time).
    """

    rights: str
    caller: str
    expires: int | None

    async def require(self) -> None:
        """Check again that the caller may read the feed. Raises the refusal."""

    async def audit(self, page: Page) -> None:
        """Record a page with events before it is sent."""


class TokenGuard:
    """The rights in a caller's token. Nothing is recorded."""

    def __init__(self, principal: Principal) -> None:
        self.rights, self.caller = principal.rights, principal.caller
        self.expires: int | None = principal.expires

    async def require(self) -> None:
        """See `Guard.require`: the token was checked when the request came."""

    async def audit(self, page: Page) -> None:
        """See `Guard.audit`."""


class OpenGuard:
    """The rights of anyone, counted by the client's address. Nothing is recorded."""

    rights = "anyone"
    expires: int | None = None

    def __init__(self, address: str) -> None:
        self.caller = address

    async def require(self) -> None:
        """See `Guard.require`: anyone may read."""

    async def audit(self, page: Page) -> None:
        """See `Guard.audit`."""


class FeedRequest(NamedTuple):
    """A request for a feed. `serialise` returns the JSON of an entry that its caller may see."""

    request: AnyRequest
    feed: Feed
    parameters: Parameters
    guard: Guard
    serialise: Callable[[Entry], bytes] = entry_json


class ReadingServices(NamedTuple):
    """The services behind pages, waits and streams."""

    reader: Reader
    clock: Clock
    problems: Problems
    limits: ConcurrencyLimits
    telemetry: Telemetry
