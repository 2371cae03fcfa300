"""Health: whether the process is alive, and whether it can serve requests."""

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from eventfeed.http.request import HttpRequest, get
from eventfeed.http.response import JSON
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.usability import Usability


def health_routes(
    reader: Reader, appender: Appender, *, retention: Retention, records: Usability
) -> list[HTTPRouteHandler]:
    """Return the routes of both. Liveness uses nothing; readiness fails as a read or a publish would.

    `records` judges the store of approvals and the audit log.
    """

    @get("/health/live")
    async def live(_: HttpRequest) -> Response[bytes]:
        return Response(b'{"status":"live"}', media_type=JSON)

    @get("/health/ready")
    async def ready(_: HttpRequest) -> Response[bytes]:
        await appender.require_usable()
        await records.require_usable()
        await reader.head()
        notice = " ".join(filter(None, (appender.notice, records.notice, retention.notice)))
        body = {"status": "ready", **({"notice": notice} if notice else {})}
        return Response(msgspec.json.encode(body), media_type=JSON)

    return [live, ready]
