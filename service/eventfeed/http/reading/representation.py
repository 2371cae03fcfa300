"""A feed as one caller sees it: what whoever answers needs to know of it."""

from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import NamedTuple

from eventfeed.domain.event import Entry
from eventfeed.domain.feed import Page, Query

served: Callable[[Entry], bytes] = attrgetter("served")


async def _always() -> None:
    """Nothing but its token lets this caller read."""


async def _unrecorded(_: Page) -> None:
    """Nobody keeps a record of this feed."""


class View(NamedTuple):
    """A question for a feed by one caller.

    `rights` is whatever decides what it sees, `caller` who it counts for, `expires` the last second of its token (Unix
    time), `shown` what of an entry is sent. `allowed` asks again whether it may read at all and raises when it may not;
    `recorded` is called with each page of events before it is sent.
    """

    query: Query
    rights: str
    caller: str
    expires: int | None = None
    shown: Callable[[Entry], bytes] = served
    allowed: Callable[[], Awaitable[None]] = _always
    recorded: Callable[[Page], Awaitable[None]] = _unrecorded
