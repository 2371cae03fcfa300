"""Whether the service lives, and whether it should be sent requests."""

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from eventfeed.http.publishing.cloudevents import JSON
from eventfeed.http.request import AnyRequest
from eventfeed.http.routing import get
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader


def health_routes(reader: Reader, appender: Appender) -> list[HTTPRouteHandler]:
    """Liveness asks nobody; readiness looks at the store, and fails as any read or publish would."""

    @get("/health/live")
    async def live(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001  # handlers are called with it
        return Response(b'{"status":"live"}', media_type=JSON)

    @get("/health/ready")
    async def ready(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001  # handlers are called with it
        await reader.head()
        appender.require_clock()
        return Response(b'{"status":"ready"}', media_type=JSON)

    return [live, ready]
