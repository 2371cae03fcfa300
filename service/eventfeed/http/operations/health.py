"""Health: whether the process is alive, and whether it can serve requests."""

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from eventfeed.http.request import HttpRequest, get
from eventfeed.http.response import JSON
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader


def health_routes(reader: Reader, appender: Appender) -> list[HTTPRouteHandler]:
    """Return the routes of both. Liveness uses nothing; readiness reads the store, and fails as a request would."""

    @get("/health/live")
    async def live(_: HttpRequest) -> Response[bytes]:
        return Response(b'{"status":"live"}', media_type=JSON)

    @get("/health/ready")
    async def ready(_: HttpRequest) -> Response[bytes]:
        await reader.head()
        appender.require_accurate_clock()
        return Response(b'{"status":"ready"}', media_type=JSON)

    return [live, ready]
