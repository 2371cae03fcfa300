"""The composition root: what the service is made of, and the only place that chooses engines."""

import asyncio
import base64
import contextlib
import functools
import gc
import logging
import os
import random
import secrets
import signal
import string
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from eventfeed.access.cedar import CedarDecisionPoint, policies_file
from eventfeed.access.decisions import Decisions
from eventfeed.access.local import LocalRegister, population_file
from eventfeed.access.platform import Platform, PlatformDecisionPoint, PlatformRegister
from eventfeed.domain.approval import Approval
from eventfeed.domain.cursor import LOG_NAME_LETTERS
from eventfeed.domain.errors import Failure
from eventfeed.domain.event import REQUEST_BYTES_MAX, marker
from eventfeed.domain.ports import DecisionPoint, Register
from eventfeed.domain.publishing import Submission
from eventfeed.http.authentication import Authenticator
from eventfeed.http.identity_routes import development_routes, identity_routes
from eventfeed.http.operations.gateway import OnlyThroughGateway
from eventfeed.http.operations.health import health_routes
from eventfeed.http.operations.openapi import schema_routes
from eventfeed.http.problems import Problems
from eventfeed.http.publishing.routes import Publishing, publish_routes
from eventfeed.http.reading.event_stream import Source
from eventfeed.http.reading.feeds import Feeds, feed_routes
from eventfeed.http.reading.instance_feed import Instances, instance_routes
from eventfeed.http.reading.long_poll import ConcurrencyLimits
from eventfeed.http.reading.pages import Pages
from eventfeed.http.reading.rate_limit import Rate
from eventfeed.http.reading.reportees import Reportees, reportee_routes
from eventfeed.http.request import PublicUrl
from eventfeed.identity.development import PROVIDERS, DevelopmentIssuer
from eventfeed.identity.exchange import ID_PORTEN, MASKINPORTEN, Exchange, service_token
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.tokens import PlatformTokens, Provider
from eventfeed.log.appender import Appender
from eventfeed.log.cosmos.containers import containers
from eventfeed.log.memory.tail import Tail
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite.log import SqliteLog
from eventfeed.records.sqlite import SqliteAccess
from eventfeed.settings import Settings, SettingsError, from_environment
from eventfeed.telemetry.export import exporting
from eventfeed.telemetry.logs import configure
from eventfeed.telemetry.metrics import QUEUE_DEPTH, TAIL_SEQUENCE, TAIL_STALENESS
from eventfeed.telemetry.requests import Observed

if TYPE_CHECKING:
    from eventfeed.log.cosmos.database import Database
    from eventfeed.log.cosmos.log import CosmosLog
    from eventfeed.records.cosmos import CosmosAccess

_log = logging.getLogger(__name__)

# New objects that the garbage collector waits for: of the default's, most are of requests that are still under way.
COLLECT_EVERY = 20_000
DAY = 24 * 3_600 * 1_000_000
# Deletion is far behind what is shown; a minute more does not matter.
LOOK_AFTER_SECONDS = 60.0
# Some emulators take any key, in the form of one.
EMULATOR_KEY = base64.b64encode(b"emulator").decode()


class Access(NamedTuple):
    """Who there is, and who may read what."""

    register: Register
    decisions: DecisionPoint


class Store:
    """The log, approvals and the audit log, and what stands on them: one of each a process."""

    def __init__(self, settings: Settings, *, segment_entries: int | None = None) -> None:
        engines = _embedded(settings) if settings.cosmos is None else _in_cosmos(settings, segment_entries)
        self.log, self.access, self._database = engines
        self.tail = Tail(self.log)
        keep = int(settings.retention_days * DAY)
        self._containers = containers(keep_seconds=keep // 1_000_000)
        self.retention = Retention(self.log, clock=now, keep=keep)
        self.appender = Appender(self.log, self.tail, clock=now, new_write_id=_unique, random=random.random)

    async def create(self) -> None:
        """Make the store where there is none: in a Cosmos DB emulator database and containers, and the log."""
        if self._database is not None:
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(self._database.close)
                await self._database.open()
                await self._database.create(self._containers)
                await self._database.require(self._containers, indexes=True)
        async with self.opened():
            pass

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the store while the block lasts."""
        async with contextlib.AsyncExitStack() as stack:
            if self._database is not None:
                stack.push_async_callback(self._database.close)
                await self._database.open()
                await self._database.require(self._containers, indexes=False)
            for engine in (self.log, self.access):
                stack.push_async_callback(engine.close)
                await engine.open()
            yield

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the store, append and delete while the block lasts, close the store."""
        async with self.opened():
            await self.tail.start()
            QUEUE_DEPTH.look = lambda: [((), self.appender.depth)]
            TAIL_SEQUENCE.look = lambda: [((), self.tail.head.end_offset)]
            TAIL_STALENESS.look = lambda: [((), self.tail.staleness)]
            work = [
                asyncio.create_task(each) for each in (self.appender.run(), self.tail.remember(), self._look_after())
            ]
            try:
                yield
            finally:
                await self.tail.stop()
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)

    async def _look_after(self) -> None:
        """Keep the end of the log from growing old, delete what has, and tell what the store has charged."""
        while True:
            for task in (self._mark, self.retention.delete):
                try:
                    await task()
                except Exception:  # noqa: BLE001  # it can wait a minute, must not end for good, and stops no other
                    _log.exception("the store could not be looked after")
            self._tell_costs()
            await asyncio.sleep(LOOK_AFTER_SECONDS)

    async def _mark(self) -> None:
        if self.retention.end_is_old(await self.tail.look()):
            await self.appender.publish(Submission(events=[marker(_unique())], pointers=[""], admin=True))

    def _tell_costs(self) -> None:
        if self._database is not None:
            costs = sorted(self._database.costs.items())
            told = ", ".join(f"{verb} {cost.requests}/{cost.units:.0f}" for verb, cost in costs)
            _log.info("requests and request units so far: %s", told)


class Engines(NamedTuple):
    """What keeps a store: the log, approvals with the audit log, and the database that both are in, if any."""

    log: "SqliteLog | CosmosLog"
    access: "SqliteAccess | CosmosAccess"
    database: "Database | None"


def _embedded(settings: Settings) -> Engines:
    log = SqliteLog(settings.sqlite_path, new_name=_log_name)
    return Engines(log, SqliteAccess(settings.access_path), None)


def _in_cosmos(settings: Settings, segment_entries: int | None) -> Engines:
    # Not at the top: 30 MB and half a second that the embedded store does without.
    from eventfeed.log.cosmos.database import Database  # noqa: PLC0415
    from eventfeed.log.cosmos.log import SEGMENT_ENTRIES, CosmosLog  # noqa: PLC0415
    from eventfeed.records.cosmos import CosmosAccess  # noqa: PLC0415

    if settings.cosmos is None:
        raise SettingsError("The store is not in Cosmos DB.")
    key = (settings.cosmos_key or EMULATOR_KEY) if settings.cosmos.emulator else None
    database = Database(settings.cosmos.url, settings.cosmos.database, key=key, random=random.random, clock=now)
    size = segment_entries or SEGMENT_ENTRIES
    log = CosmosLog(database, new_name=_log_name, segment_entries=size)
    return Engines(log, CosmosAccess(database, new_write_id=_unique), database)


def create() -> Observed:
    """The application of this environment, observed: what a server process runs."""
    settings = from_environment()
    configure(settings.log_level, form=settings.log_format)
    observed = Observed(entrance(settings))
    # What is there now stays, and a request leaves next to nothing: the garbage collector need not look so often.
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    return observed


def entrance(settings: Settings) -> "Litestar | OnlyThroughGateway":
    """The application, and before it whoever keeps others than the gateway out, where there is one."""
    served = application(settings)
    if not settings.gateway_secret:
        return served
    accepted, problems = settings.gateway_secret.split(), Problems(_addresses(settings))
    return OnlyThroughGateway(served, accepted=accepted, problems=problems)


def application(settings: Settings) -> Litestar:
    """The application, with everything it is made of. It opens its store when it starts."""
    # A proxy of the environment is for the world outside: in development the issuers are this very machine.
    client = httpx.AsyncClient(follow_redirects=False, trust_env=not settings.development)
    addresses = _addresses(settings)
    keys = SigningKeys.load(settings.keys_path / "platform")
    access = access_of(settings, client=client, keys=keys)
    store = Store(settings)
    reader = Reader(store.log, store.tail, retention=store.retention, decisions=access.decisions)
    callers = Authenticator(PlatformTokens(keys, issuer=_issuer(settings), clock=now))
    problems = Problems(addresses)
    places = ConcurrencyLimits(waits=settings.waits, streams=settings.streams, caller_streams=settings.caller_streams)
    pages = Pages(Source(reader, now, problems, places), addresses, secret=keys.secret)

    return Litestar(
        route_handlers=[
            *feed_routes(Feeds(pages, callers, access.register), reader),
            *reportee_routes(Reportees(pages, callers, access.register, store.access, store.access, now)),
            *instance_routes(_instances(settings, pages, addresses=addresses)),
            *publish_routes(_publishing(store), reader, callers=callers, addresses=addresses),
            *_identity_routes(settings, access.register, client=client, keys=keys),
            *health_routes(reader, store.appender),
            *schema_routes(addresses),
        ],
        exception_handlers={
            Failure: problems.on_failure,
            HTTPException: problems.on_refusal,
            Exception: problems.on_defect,
        },
        lifespan=[functools.partial(_alive, client, store)],
        request_max_body_size=REQUEST_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
    )


@contextlib.asynccontextmanager
async def _alive(client: httpx.AsyncClient, store: Store, *_: Litestar) -> AsyncIterator[None]:
    """What runs while requests are answered. When the process is told to end, nobody waits for an event any more."""
    with exporting():
        async with client, store.running():
            with _told_to_stop(store.tail.waiters.end):
                yield


@contextlib.contextmanager
def _told_to_stop(stop: Callable[[], None]) -> Iterator[None]:
    """While the block lasts, `stop` is called as soon as this process is told to end (SIGTERM).

    The server then waits for the requests under way, and whoever waits for an event would wait on. It listens to SIGINT
    too, by which it is told in turn.
    """
    loop = asyncio.get_running_loop()

    def told() -> None:
        stop()
        os.kill(os.getpid(), signal.SIGINT)

    try:
        loop.add_signal_handler(signal.SIGTERM, told)
    except (RuntimeError, ValueError):  # not the main thread: this is no process of a server
        yield
        return
    yield


def access_of(settings: Settings, *, client: httpx.AsyncClient, keys: SigningKeys) -> Access:
    """Register and decision point: the platform's, or local files. Raises `SettingsError`."""
    if settings.platform_url:
        url, issuer = settings.platform_url.rstrip("/"), _issuer(settings)
        token = functools.partial(service_token, keys, issuer=issuer, clock=now)
        platform = Platform(url, client, settings.platform_subscription_key, token)
        register = PlatformRegister(platform, names_url=settings.platform_orgs_url)
        return Access(register, Decisions(PlatformDecisionPoint(platform)))
    population = population_file(_path(settings.register))
    point = CedarDecisionPoint(population, policies_file(_path(settings.policies)))
    return Access(LocalRegister(population), Decisions(point))


def first_approvals(settings: Settings) -> Sequence[Approval]:
    """What the register's file approves until somebody decides otherwise. Raises `SettingsError`."""
    return list(population_file(_path(settings.register)).value.first_approvals())


def _addresses(settings: Settings) -> PublicUrl:
    return PublicUrl(
        public_url=settings.public_url, own_url=settings.own_url, client_header=settings.client_address_header
    )


def _path(setting: str) -> Path | None:
    return Path(setting) if setting else None


def _issuer(settings: Settings) -> str:
    return f"{settings.public_url.rstrip('/') or settings.own_url}/authentication/api/v1/openid/"


def _publishing(store: Store) -> Publishing:
    return Publishing(store.appender, clock=now, new_id=new_event_id)


def _instances(settings: Settings, pages: Pages, *, addresses: PublicUrl) -> Instances:
    address_rate = Rate(per_minute=settings.address_requests)
    return Instances(pages, addresses, address_rate, Rate(per_minute=settings.instance_requests))


def _identity_routes(
    settings: Settings, register: Register, *, client: httpx.AsyncClient, keys: SigningKeys
) -> list[HTTPRouteHandler]:
    """The exchange of every provider there is, and in development the providers themselves."""
    issuers = [_development_issuer(settings, provider) for provider in PROVIDERS] if settings.development else []
    providers = _providers(settings, client)
    exchange = Exchange(providers, register=register, keys=keys, issuer=_issuer(settings), clock=now)
    return [*identity_routes(exchange), *(route for issuer in issuers for route in development_routes(issuer))]


def _development_issuer(settings: Settings, provider: str) -> DevelopmentIssuer:
    keys = SigningKeys.load(settings.keys_path / provider)
    return DevelopmentIssuer(provider, _development_url(settings, provider), settings.own_url, keys, now)


def _development_url(settings: Settings, provider: str) -> str:
    return f"{settings.own_url}/development/{provider}"


def _providers(settings: Settings, client: httpx.AsyncClient) -> Mapping[str, Provider]:
    """Whose tokens are exchanged: real providers, or in development our own, found the same way."""
    set_up = {
        MASKINPORTEN: (settings.maskinporten_issuer, settings.maskinporten_audiences.split()),
        ID_PORTEN: (settings.idporten_issuer, settings.idporten_audiences.split()),
    }
    if settings.development:
        set_up = {provider: (_development_url(settings, provider), [settings.own_url]) for provider in PROVIDERS}
    return {
        name: Provider(issuer=issuer, keys=ProviderKeys(issuer, client), accepted=frozenset(accepted))
        for name, (issuer, accepted) in set_up.items()
        if issuer
    }


def now() -> int:
    """The clock of the machine (µs since 1970)."""
    return time.time_ns() // 1_000


def _unique() -> str:
    return uuid.uuid4().hex


def new_event_id() -> str:
    """An id for an event that came without one."""
    return str(uuid.uuid4())


def _log_name() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(LOG_NAME_LETTERS))
