"""The events of an instance, reduced, for anyone who has its id (contract section 5, S5)."""

import asyncio
import math
import re
from typing import NamedTuple

from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.access.rate_limit import RateLimit
from eventfeed.domain.errors import TooManyRequests
from eventfeed.domain.feed import instance_feed
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.feed_request import AnonymousReader, FeedRequest
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import INSTANCE_FEED, body_parameters
from eventfeed.http.reading.representation import public_array, public_events
from eventfeed.http.request import HttpRequest, HttpResponse, post

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
# A person number is no party id, and would travel in links.
_PARTY = re.compile(r"(?![0-9]{11}$)[0-9]{1,18}", re.ASCII)
_PATHS = [
    f"{base}/instanceeventsforinstance/{instance}"
    for base in ("/events", "/events/api/v1")
    for instance in ("{guid:str}", "{party:str}/{guid:str}")
]


class InstanceFeeds(NamedTuple):
    """The services behind the instance feed, and its rate limits by address and by instance."""

    pages: Pages
    public_url: PublicUrl
    address_rate: RateLimit
    instance_rate: RateLimit

    def admit(self, address: str, guid: str | None) -> None:
        """Count a request, for its address and for its instance. Raises `TooManyRequests` without counting it."""
        now = asyncio.get_running_loop().time()
        rates = [(self.address_rate, address), *([] if guid is None else [(self.instance_rate, guid)])]
        if (seconds := max(rate.wait(key, now=now) for rate, key in rates)) > 0:
            raise TooManyRequests("Too many requests.", retry_seconds=math.ceil(seconds))
        for rate, key in rates:
            rate.count(key, now=now)


def instance_routes(feeds: InstanceFeeds) -> list[HTTPRouteHandler]:
    """Return the route without authentication, at all of its paths."""

    @post(_PATHS)
    async def read_instance_feed(request: HttpRequest) -> HttpResponse:
        guid, party = request.path_params["guid"].lower(), request.path_params.get("party")
        is_valid = _GUID.fullmatch(guid) is not None and (party is None or _PARTY.fullmatch(party) is not None)
        address = feeds.public_url.client_address(request)
        feeds.admit(address, guid if is_valid else None)
        if not is_valid:
            raise NotFoundException
        parameters = await body_parameters(request, parameter_set=INSTANCE_FEED)
        feed = instance_feed(guid, party).where(*parameters.conditions)
        reader = AnonymousReader(address)
        return await feeds.pages.respond(
            FeedRequest(request, feed, parameters, reader, serialise=public_events, serialise_all=public_array)
        )

    return [read_instance_feed]
