"""Feeds that need a token: an app's, a party's, a resource's; and the head of the log (contract section 5)."""

from typing import NamedTuple

import msgspec
from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

from eventfeed.access.parties import Parties
from eventfeed.domain.app_source import app_of, parse_app, party_of_subject
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.feed import (
    NOBODY,
    SUBJECTS_MAX,
    ByDecision,
    Feed,
    app_feed,
    party_feed,
    resource_feed,
    subject_condition,
    unit_feed,
)
from eventfeed.domain.moment import format_moment
from eventfeed.domain.party import PREFIX
from eventfeed.domain.ports import Head, Register, Relations
from eventfeed.domain.principal import SCOPE_SUBSCRIBE, Principal, require_app, require_scope
from eventfeed.http.approvals import ApprovalServices
from eventfeed.http.authentication import Authenticator
from eventfeed.http.reading.feed_request import FeedRequest
from eventfeed.http.reading.others import with_audit
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.parameters import (
    ANY_FEED,
    HTTP_FEED,
    PARTY_FEED,
    RESOURCE_FEED,
    Parameters,
    ParameterSet,
    body_parameters,
    query_parameters,
)
from eventfeed.http.request import HttpRequest, HttpResponse, get, post
from eventfeed.http.response import JSON
from eventfeed.log.reader import Reader

# The routes of the app feed, with their parameters.
APP_ROUTES = {
    "/events/api/v1/app/{org:str}/{app:str}": ANY_FEED,
    "/events/api/v1/http-feeds/{org:str}/{app:str}": HTTP_FEED,
}


class HeadResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The newest cursor, and the registration time of the last entry (null without entries)."""

    cursor: str
    time: str | None


class Feeds(NamedTuple):
    """The services behind these feeds; `audit` only if pages about other parties are recorded."""

    pages: Pages
    authenticator: Authenticator
    register: Register
    relations: Relations
    parties: Parties
    audit: ApprovalServices | None = None

    async def respond(
        self, request: HttpRequest, feed: Feed, *, parameters: Parameters, principal: Principal
    ) -> HttpResponse:
        """Respond with a feed and its filters, and filter it by party."""
        if parameters.names_party:
            subject, is_decided = await find_subject(parameters, self.register), isinstance(feed.visibility, ByDecision)
            if subject is None and is_decided and party_of_subject(parameters.subject):  # named by the filter alone
                subject = parameters.subject
            if subject is not None:
                subjects = await self._with_subunits(subject, parameters)
                if is_decided:
                    subjects = await self._with_relation(subjects, principal)
                feed = feed.where(subject_condition(_require_few(subjects, request)))
        feed_request = FeedRequest(request, feed, parameters, principal)
        if self.audit is not None:
            feed_request = with_audit(feed_request, self.audit, principal=principal)
        return await self.pages.respond(feed_request)

    async def respond_party(
        self, request: HttpRequest, parameters: Parameters, *, principal: Principal
    ) -> HttpResponse:
        """Respond with a party's feed; with the caller's own if the request names no party."""
        subject = await find_subject(parameters, self.register)
        is_own = subject is None
        if subject is None:
            subject = NOBODY if principal.party is None else f"{PREFIX}{principal.party}"
        if is_own and not parameters.include_subunits:
            feed = party_feed(subject, principal)
        else:
            subjects = await self._with_relation(await self._with_subunits(subject, parameters), principal)
            feed = unit_feed(_require_few(subjects, request), principal)
        feed = feed.where(*parameters.conditions)
        feed_request = FeedRequest(request, feed, parameters, principal)
        if self.audit is not None:
            feed_request = with_audit(feed_request, self.audit, principal=principal)
        return await self.pages.respond(feed_request)

    async def _with_subunits(self, subject: str, parameters: Parameters) -> frozenset[str]:
        """Return the subject, and those of its sub-units if the request includes them."""
        if not parameters.include_subunits:
            return frozenset({subject})
        parties = await self.register.subunits(party_of_subject(subject))
        return frozenset({subject, *(f"{PREFIX}{party}" for party in parties)})

    async def _with_relation(self, subjects: frozenset[str], principal: Principal) -> frozenset[str]:
        """Return the subjects of parties to which the caller has a relation, or `NOBODY`: nothing is scanned then.

        A party that does not exist takes the same steps, so that neither an answer nor its time tells which one it is.
        """
        parties = await self.relations.with_relation(principal, {party_of_subject(each) for each in subjects})
        return frozenset(each for each in subjects if party_of_subject(each) in parties) or frozenset({NOBODY})


def feed_routes(feeds: Feeds, reader: Reader) -> list[HTTPRouteHandler]:
    """Return the routes that read with a token."""

    @get("/events/api/v1/app/party")
    async def read_own_party_feed(request: HttpRequest) -> HttpResponse:
        principal = await feeds.authenticator.principal(request)
        parameters = await with_party(query_parameters(request, parameter_set=PARTY_FEED), feeds.parties)
        return await feeds.respond_party(request, parameters, principal=principal)

    @post("/events/api/v1/party")
    async def read_party_feed(request: HttpRequest) -> HttpResponse:
        principal = await feeds.authenticator.principal(request)
        parameters = await with_party(await body_parameters(request, parameter_set=PARTY_FEED), feeds.parties)
        return await feeds.respond_party(request, parameters, principal=principal)

    @get("/events/api/v1/events")
    async def read_resource_feed(request: HttpRequest) -> HttpResponse:
        principal = await feeds.authenticator.principal(request)
        require_scope(principal, SCOPE_SUBSCRIBE)
        parameters = await with_party(query_parameters(request, parameter_set=RESOURCE_FEED), feeds.parties)
        resource = parameters.resource or ""
        is_owner = app_of(resource) is None and await feeds.relations.owns(principal, resource)
        feed = resource_feed(resource, principal, is_owner=is_owner).where(*parameters.conditions)
        return await feeds.respond(request, feed, parameters=parameters, principal=principal)

    @get("/events/api/v1/head")
    async def read_head(request: HttpRequest) -> Response[bytes]:
        await feeds.authenticator.principal(request)
        head = await reader.head()
        return _head_response(str(await reader.cursor_at(head.end_offset, log=head.log)), head)

    app_routes = [_app_route(feeds, path, parameter_set=each) for path, each in APP_ROUTES.items()]
    return [*app_routes, read_own_party_feed, read_party_feed, read_resource_feed, read_head]


def _app_route(feeds: Feeds, path: str, *, parameter_set: ParameterSet) -> HTTPRouteHandler:
    @get(path)
    async def read_app_feed(request: HttpRequest) -> HttpResponse:
        principal = await feeds.authenticator.principal(request)
        app = parse_app(request.path_params["org"], request.path_params["app"])
        if app is None:
            raise NotFoundException
        require_app(principal, app)
        parameters = query_parameters(request, parameter_set=parameter_set)
        if parameters.names_party:
            parameters = await with_party(parameters, feeds.parties)
        feed = app_feed(app).where(*parameters.app_conditions)
        return await feeds.respond(request, feed, parameters=parameters, principal=principal)

    return read_app_feed


def _require_few(subjects: frozenset[str], request: HttpRequest) -> frozenset[str]:
    """Return the subjects. Raises `InvalidRequest` for more than a request may read."""
    if len(subjects) > SUBJECTS_MAX:
        detail = f"includes {len(subjects)} parties, more than {SUBJECTS_MAX}: read the sub-units on their own"
        is_body = request.method == "POST"
        fault = Fault(
            detail=detail,
            pointer="/includeSubunits" if is_body else None,
            parameter=None if is_body else "includeSubunits",
        )
        raise InvalidRequest("The unit has too many sub-units.", faults=[fault])
    return subjects


def _head_response(cursor: str, head: Head) -> Response[bytes]:
    body = HeadResponse(cursor=cursor, time=format_moment(head.time) if head.end_offset else None)
    return Response(msgspec.json.encode(body), media_type=JSON, headers={"Cache-Control": "private, no-cache"})


async def with_party(parameters: Parameters, parties: Parties) -> Parameters:
    """Return the parameters, with the filter `subject` as feeds match it: an event's party in any of its forms."""
    subject = parameters.subject
    return parameters if subject is None else replace(parameters, subject=await parties.subject(subject))


async def find_subject(parameters: Parameters, register: Register) -> str | None:
    """Return the subject that a request names; `NOBODY` if the register does not know it, or two are named."""
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
    return f"{PREFIX}{parties[0]}" if None not in parties and len(set(parties)) == 1 else NOBODY
