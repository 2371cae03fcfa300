"""Has my submission got feedback? An instance's events for anyone who holds its id (contract section 5, S5)."""

import asyncio
import math
import re
from typing import NamedTuple

from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.errors import TooManyRequests
from eventfeed.domain.event import served_reduced
from eventfeed.domain.feed import Filter, InstanceFeed, Query
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import ANONYMOUS, posted_parameters
from eventfeed.http.reading.rate_limit import Rate
from eventfeed.http.reading.representation import View
from eventfeed.http.request import AnyRequest, PublicUrl
from eventfeed.http.routing import post

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
# A person's number is no party's, and would travel in links.
_PARTY = re.compile(r"(?![0-9]{11}$)[0-9]{1,18}", re.ASCII)
_PATHS = [
    f"{place}/instanceeventsforinstance/{instance}"
    for place in ("/events", "/events/api/v1")
    for instance in ("{guid:str}", "{party:str}/{guid:str}")
]


class Instances(NamedTuple):
    """What the open feed stands on: pages, where a caller is, and how often it may ask from there and for one id."""

    pages: Pages
    addresses: PublicUrl
    address_rate: Rate
    instance_rate: Rate

    def admit(self, request: AnyRequest, guid: str | None) -> None:
        """Count this request, for its address and for the instance it is about. Raises `TooManyRequests`, uncounted."""
        now, caller = asyncio.get_running_loop().time(), self.addresses.caller(request)
        rates = [(self.address_rate, caller), *([] if guid is None else [(self.instance_rate, guid)])]
        if (wait := max(rate.wait(key, now=now) for rate, key in rates)) > 0:
            raise TooManyRequests("This was asked too often.", retry_seconds=math.ceil(wait))
        for rate, key in rates:
            rate.count(key, now=now)


def instance_routes(instances: Instances) -> list[HTTPRouteHandler]:
    """The one open feed, at the paths it is known by."""

    @post(_PATHS)
    async def instance_feed(request: AnyRequest) -> Response[bytes]:
        guid, party = request.path_params["guid"].lower(), request.path_params.get("party")
        known = _GUID.fullmatch(guid) is not None and (party is None or _PARTY.fullmatch(party) is not None)
        instances.admit(request, guid if known else None)
        if not known:
            raise NotFoundException
        parameters = await posted_parameters(request, expected=ANONYMOUS)
        wanted = Filter(types=parameters.types, source=parameters.source)
        query = Query(feed=InstanceFeed(guid=guid, party=party), filter=wanted)
        view = View(query, rights="anyone", caller=instances.addresses.caller(request), shown=served_reduced)
        return await instances.pages.answered(request, view, parameters=parameters)

    return [instance_feed]
