"""The application: the service's parts put together, its routes, and its life in a server process."""

import contextlib
import functools
import gc
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from litestar import Litestar, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from eventfeed.app.identity import Identity
from eventfeed.app.reading import Reading
from eventfeed.app.shutdown import Deadline, end_with_parent, on_sigterm
from eventfeed.app.store import Store
from eventfeed.domain.cloudevents import REQUEST_BYTES_MAX
from eventfeed.domain.errors import Failure
from eventfeed.http.authentication import Authenticator
from eventfeed.http.operations.gateway import GatewayCheck
from eventfeed.http.operations.health import health_routes
from eventfeed.http.operations.openapi import schema_routes
from eventfeed.http.problems import Problems
from eventfeed.http.public_url import PublicUrl
from eventfeed.http.publishing.routes import Publishing, publish_routes
from eventfeed.http.request import HttpRequest, options_routes
from eventfeed.log.reader import Reader
from eventfeed.settings import Settings, from_environment
from eventfeed.telemetry.export import exporting
from eventfeed.telemetry.logs import configure
from eventfeed.telemetry.requests import RequestTelemetry
from eventfeed.telemetry.telemetry import Telemetry

# Objects before a garbage collection. With the default, most of those it visits are of requests under way.
COLLECT_EVERY = 20_000


def create() -> RequestTelemetry:
    """Return the application of this environment with its telemetry: the factory of a server process."""
    end_with_parent()
    settings, telemetry = from_environment(), Telemetry()
    telemetry.observe_log(configure(settings.log_level, form=settings.log_format))
    entrance: Any = create_guarded(
        settings, telemetry
    )  # the framework and the middleware name ASGI's types differently
    application = RequestTelemetry(entrance, telemetry)
    # Objects of the start live as long as the process, and requests leave few: the collector may run seldom.
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    return application


def create_guarded(settings: Settings, telemetry: Telemetry) -> "Litestar | GatewayCheck":
    """Return the application, behind the gateway check if the settings have a secret for it."""
    application = create_application(settings, telemetry)
    if not settings.gateway_secret:
        return application
    problems = Problems(_public_url(settings), telemetry)
    return GatewayCheck(application, valid_secrets=settings.gateway_secret.split(), problems=problems)


def create_application(settings: Settings, telemetry: Telemetry) -> Litestar:
    """Return the application with all its parts. It opens its store when it starts."""
    public_url = _public_url(settings)
    store = Store(settings, telemetry)
    identity = Identity(settings, telemetry, clock=store.clock)
    access = identity.access()
    reader = Reader(store.log, store.tail, retention=store.retention, decisions=access.decisions, telemetry=telemetry)
    authenticator = Authenticator(identity.issuer, trusted=identity.trusted_issuer(access.register))
    reading = Reading(settings, public_url, secret=identity.keys.secret, telemetry=telemetry)
    publishing = Publishing(
        store.appender,
        access.parties,
        publishers=access.publishers(rate=settings.publish_rate),
        clock=time.time_ns,
        new_id=uuid.uuid4,
        telemetry=telemetry,
    )
    routes: Sequence[HTTPRouteHandler] = [
        *reading.routes(store, reader, authenticator=authenticator, access=access),
        *publish_routes(
            publishing,
            store.tail,
            authenticator=authenticator,
            app_tokens=identity.app_tokens(),
            public_url=public_url,
        ),
        *identity.routes(access.register),
        *health_routes(reader, store.appender, retention=store.retention, records=store.records_usability),
        *schema_routes(public_url, reset=reading.reset),
    ]
    return Litestar(
        route_handlers=[*options_routes(routes), *routes],
        exception_handlers=_exception_handlers(reading.problems),
        lifespan=[functools.partial(_run, identity, store, telemetry=telemetry)],
        request_max_body_size=REQUEST_BYTES_MAX,
        openapi_config=None,
        request_class=HttpRequest,
        logging_config=None,
    )


def _exception_handlers(problems: Problems) -> dict[int | type[Exception], Callable[[Any, Any], Response[bytes]]]:
    """Return the handler of each kind of exception. `request_class` makes each request an `HttpRequest`."""
    return {
        Failure: problems.on_failure,
        HTTPException: problems.on_refusal,
        Exception: problems.on_defect,
    }


@contextlib.asynccontextmanager
async def _run(identity: Identity, store: Store, *_: Litestar, telemetry: Telemetry) -> AsyncIterator[None]:
    """Run the store, the export of telemetry and the HTTP client while the application serves requests."""
    deadline = Deadline()
    with exporting(telemetry, flush_seconds=lambda: deadline.seconds_left):
        async with identity.client, store.run():
            with on_sigterm(store.tail.waiters.close, deadline):
                yield


def _public_url(settings: Settings) -> PublicUrl:
    return PublicUrl(
        public_url=settings.public_url, own_url=settings.own_url, client_header=settings.client_address_header
    )
