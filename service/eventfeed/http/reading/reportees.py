"""The events of every party, for organisations with an approval (contract sections 1 and 5, S4)."""

from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

from eventfeed.domain.approval import require_approval
from eventfeed.domain.conditions import Equal
from eventfeed.domain.feed import Page, reportee_feed
from eventfeed.domain.principal import SCOPE_REPORTEES, Principal, require_scope
from eventfeed.http.approvals import ApprovalServices
from eventfeed.http.reading.feed_request import FeedRequest
from eventfeed.http.reading.feeds import Feeds, find_subject, with_party
from eventfeed.http.reading.parameters import REPORTEE_FEED, query_parameters
from eventfeed.http.request import HttpRequest, HttpResponse, get


class ApprovalGuard:
    """The rights of an organisation's approval. Each page is recorded before it is sent."""

    def __init__(self, principal: Principal, services: ApprovalServices, *, request: HttpRequest) -> None:
        self._organisation, self._services, self._request = principal.organisation or "", services, request
        self.parameters = query_parameters(request, parameter_set=REPORTEE_FEED)
        self.subject: str | None = None
        self.valid_to = 0

    async def require(self) -> None:
        """See `Guard.require`. Raises `NotApproved`."""
        approval = await self._services.approvals.approval(self._organisation)
        now = self._services.clock() // 1_000
        self.valid_to = require_approval(approval, types=self.parameters.types, now=now).valid_to

    async def audit(self, page: Page) -> None:
        """See `Guard.audit`."""
        entry = self._services.audit_entry(self._request, self._organisation, action="read")
        subject = self.subject or self.parameters.subject or ""
        await self._services.record_page(replace(entry, subject=subject), page, parameters=self.parameters)


def reportee_routes(feeds: Feeds, *, services: ApprovalServices) -> list[HTTPRouteHandler]:
    """Return the route of the reportees feed."""

    @get("/events/api/v1/reportees")
    async def read_reportees(request: HttpRequest) -> HttpResponse:
        principal = await feeds.authenticator.principal(request)
        require_scope(principal, SCOPE_REPORTEES)
        guard = ApprovalGuard(principal, services, request=request)
        await guard.require()
        parameters = await with_party(guard.parameters, feeds.parties)
        guard.subject = await find_subject(parameters, feeds.register)
        feed = reportee_feed(parameters.types).where(*parameters.filters)
        if guard.subject is not None:
            feed = feed.where(Equal("subject", guard.subject))
        return await feeds.pages.respond(FeedRequest(request, feed, parameters, principal, guard))

    return [read_reportees]
