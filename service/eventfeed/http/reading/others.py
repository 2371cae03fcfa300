"""The audit of pages that show a party other than the caller's own (contract section 9)."""

from msgspec.structs import replace

from eventfeed.domain.feed import Page
from eventfeed.domain.page_entries import whole_entries
from eventfeed.domain.party import PREFIX
from eventfeed.domain.principal import Principal
from eventfeed.http.approvals import VALID_TO_MAX, ApprovalServices
from eventfeed.http.reading.feed_request import FeedRequest
from eventfeed.http.reading.parameters import Parameters
from eventfeed.http.request import HttpRequest


class OthersGuard:
    """Records each page of a feed that shows another party than the caller's own. It takes no right away."""

    valid_to = VALID_TO_MAX

    def __init__(
        self, principal: Principal, services: ApprovalServices, *, request: HttpRequest, feed: str, filters: Parameters
    ) -> None:
        self._principal, self._services, self._request = principal, services, request
        self._feed, self._filters = feed, filters

    async def require(self) -> None:
        """See `Guard.require`. The token alone gives the right."""

    async def audit(self, page: Page) -> None:
        """See `Guard.audit`. The entry names the party if the page shows no other."""
        entries = whole_entries(page.entries)
        subjects = {subject for each in entries if (subject := each.event.subject or "").startswith(PREFIX)}
        principal = self._principal
        if subjects <= {f"{PREFIX}{principal.party}"}:
            return
        entry = self._services.audit_entry(self._request, principal.organisation or "", action="read")
        entry = replace(
            entry,
            feed=self._feed,
            user=principal.user or "",
            system_user=principal.system_user or "",
            subject=subjects.pop() if len(subjects) == 1 else "",
        )
        await self._services.record_page(entry, page, parameters=self._filters)


def with_audit(request: FeedRequest, services: ApprovalServices, *, principal: Principal) -> FeedRequest:
    """Return a request whose pages are recorded, with their parties."""
    feed = replace(request.feed, is_audited=True)
    guard = OthersGuard(principal, services, request=request.request, feed=feed.name, filters=request.parameters)
    return request._replace(feed=feed, guard=guard)
