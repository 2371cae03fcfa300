"""Reading with a token: an app's feed, a party's, a resource's, and the head of the log (contract section 5)."""

from typing import NamedTuple

import msgspec
from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.cursor import Cursor
from eventfeed.domain.event import app_named
from eventfeed.domain.feed import NOBODY, AppFeed, Filter, PartyFeed, Query, ResourceFeed
from eventfeed.domain.moment import format_moment
from eventfeed.domain.ports import Register
from eventfeed.domain.principal import SCOPE_SUBSCRIBE, Principal, require_app, require_scope
from eventfeed.http.authentication import Authenticator
from eventfeed.http.publishing.cloudevents import JSON
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import OF_RESOURCE, Parameters, posted_parameters, sent_parameters
from eventfeed.http.reading.representation import View
from eventfeed.http.request import AnyRequest
from eventfeed.http.routing import get, post
from eventfeed.log.reader import Reader


class Newest(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the log: its cursor, and when its last entry was registered (null when it has none)."""

    cursor: str
    time: str | None


class Feeds(NamedTuple):
    """What the feeds stand on."""

    pages: Pages
    callers: Authenticator
    register: Register

    async def of_party(self, request: AnyRequest, parameters: Parameters, *, principal: Principal) -> Response[bytes]:
        """A page of a party's events; of the caller's own when the request names none."""
        subject = await subject_of(parameters, self.register)
        if subject is None:
            subject = NOBODY if principal.party is None else f"/party/{principal.party}"
        feed = PartyFeed(subject=subject, reader=principal)
        query = Query(feed=feed, filter=Filter(types=parameters.types, source=parameters.source))
        return await self.pages.answered(request, view_of(query, principal), parameters=parameters)

    async def filter(self, parameters: Parameters) -> Filter:
        """What parameters want of a feed that is not a party's own."""
        subject = await subject_of(parameters, self.register)
        return Filter(types=parameters.types, source=parameters.source, subject=subject)


def feed_routes(feeds: Feeds, reader: Reader) -> list[HTTPRouteHandler]:
    """The routes that read with a token."""

    @get("/events/api/v1/app/{org:str}/{app:str}")
    async def app_feed(request: AnyRequest) -> Response[bytes]:
        principal = feeds.callers.principal(request)
        app = app_named(request.path_params["org"], request.path_params["app"])
        if app is None:
            raise NotFoundException
        require_app(principal, app)
        parameters = sent_parameters(request)
        # Nothing is awaited that most requests need not ask for.
        query = Query(feed=AppFeed(app=app), filter=parameters.filter or await feeds.filter(parameters))
        return await feeds.pages.answered(request, view_of(query, principal), parameters=parameters)

    @get("/events/api/v1/app/party")
    async def app_party_feed(request: AnyRequest) -> Response[bytes]:
        principal = feeds.callers.principal(request)
        return await feeds.of_party(request, sent_parameters(request), principal=principal)

    @post("/events/api/v1/party")
    async def party_feed(request: AnyRequest) -> Response[bytes]:
        principal = feeds.callers.principal(request)
        return await feeds.of_party(request, await posted_parameters(request), principal=principal)

    @get("/events/api/v1/events")
    async def resource_feed(request: AnyRequest) -> Response[bytes]:
        principal = feeds.callers.principal(request)
        require_scope(principal, SCOPE_SUBSCRIBE)
        parameters = sent_parameters(request, expected=OF_RESOURCE)
        feed = ResourceFeed(resource=parameters.resource or "", reader=principal)
        query = Query(feed=feed, filter=await feeds.filter(parameters))
        return await feeds.pages.answered(request, view_of(query, principal), parameters=parameters)

    @get("/events/api/v1/head")
    async def head(request: AnyRequest) -> Response[bytes]:
        feeds.callers.principal(request)
        ends = await reader.head()
        newest = Newest(
            cursor=str(Cursor(log=ends.log, position=ends.end_offset)),
            time=format_moment(ends.time) if ends.end_offset else None,
        )
        return Response(msgspec.json.encode(newest), media_type=JSON, headers={"Cache-Control": "private, no-cache"})

    return [app_feed, app_party_feed, party_feed, resource_feed, head]


async def subject_of(parameters: Parameters, register: Register) -> str | None:
    """The one subject asked for; `NOBODY` when the register knows none, or two are asked for at once."""
    parties = list[str | None]()
    if parameters.party is not None:
        parties.append(parameters.party)
    if parameters.unit is not None:
        organisation = await register.organisation(parameters.unit)
        parties.append(organisation.party if organisation else None)
    if parameters.person is not None:
        person = await register.person(parameters.person)
        parties.append(person.party if person else None)
    if not parties:
        return None
    return f"/party/{parties[0]}" if None not in parties and len(set(parties)) == 1 else NOBODY


def view_of(query: Query, principal: Principal) -> View:
    """What this caller sees of a feed, as long as its token lasts."""
    return View(query, principal.rights, caller=principal.caller, expires=principal.expires)
