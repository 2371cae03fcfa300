"""The routes that read feeds, and those of approvals, with their parts."""

from collections.abc import Sequence

from litestar.handlers import HTTPRouteHandler

from eventfeed.access.rate_limit import RateLimit
from eventfeed.app.access import Access
from eventfeed.app.store import Store
from eventfeed.domain.feed import PAGE_BYTES_MAX
from eventfeed.http.approvals import ApprovalServices, approval_routes
from eventfeed.http.authentication import Authenticator
from eventfeed.http.connections import Connections
from eventfeed.http.problems import Problems
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.reading.feed_request import ReadingServices
from eventfeed.http.reading.feeds import Feeds, feed_routes
from eventfeed.http.reading.instance_feed import InstanceFeeds, instance_routes
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.rate_limit import Quota, ReadingLimits
from eventfeed.http.reading.reportees import reportee_routes
from eventfeed.log.clock import MachineClock
from eventfeed.log.reader import Reader
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry

MIB = 1024 * 1024
# One caller holds at most this part of the memory of responses.
CALLER_PART = 4


class Reading:
    """Builds the routes that read; `secret` is the key of entity tags."""

    def __init__(self, settings: Settings, public_url: PublicUrl, *, secret: bytes, telemetry: Telemetry) -> None:
        self._settings, self._public_url, self._secret = settings, public_url, secret
        self.reset = Connections().reset
        self.telemetry = telemetry
        self.problems = Problems(public_url, telemetry)

    def routes(
        self, store: Store, reader: Reader, *, authenticator: Authenticator, access: Access
    ) -> Sequence[HTTPRouteHandler]:
        """Return the routes of all feeds and of approvals."""
        settings, public_url = self._settings, self._public_url
        pages = Pages(self._services(reader, store.clock), public_url, secret=self._secret)
        address_rate = RateLimit(settings.address_requests, seconds=60)
        instance_rate = RateLimit(settings.instance_requests, seconds=60)
        approvals = ApprovalServices(store.records, store.records, store.clock, self.telemetry)
        feeds = Feeds(pages, authenticator, access.register, access.relations, access.parties)
        if settings.audit == "others":
            feeds = feeds._replace(audit=approvals)
        return [
            *feed_routes(feeds, reader),
            *reportee_routes(feeds, services=approvals),
            *approval_routes(authenticator, approvals),
            *instance_routes(InstanceFeeds(pages, public_url, address_rate, instance_rate)),
        ]

    def _services(self, reader: Reader, clock: MachineClock) -> ReadingServices:
        limits = reading_limits(self._settings, self.telemetry)
        return ReadingServices(reader, clock, self.problems, limits, self.telemetry, self.reset)


def reading_limits(settings: Settings, telemetry: Telemetry) -> ReadingLimits:
    """Return the limits of the settings. Every part of the memory holds a whole page, else that would never be sent."""
    total, percent = settings.response_mib * MIB, settings.anonymous_percent
    memory = Quota(total, anonymous=max(_part(total, percent), PAGE_BYTES_MAX), each=total // CALLER_PART)
    telemetry.observe_memory(lambda: memory.used)
    return ReadingLimits(
        waits=Quota(settings.waits, anonymous=_part(settings.waits, percent), each=settings.caller_waits),
        streams=Quota(settings.streams, anonymous=_part(settings.streams, percent), each=settings.caller_streams),
        memory=memory,
        telemetry=telemetry,
    )


def _part(total: int, percent: int) -> int:
    """Return a part in percent, rounded up."""
    return -(-total * percent // 100)
