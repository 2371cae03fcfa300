"""The composition root: what the service is made of, and the only place that chooses engines."""

import asyncio
import contextlib
import logging
import random
import secrets
import string
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from litestar import Litestar
from litestar.exceptions import HTTPException

from eventfeed.access.local import LocalRegister
from eventfeed.domain.cursor import LOG_NAME_LETTERS
from eventfeed.domain.errors import Failure
from eventfeed.domain.event import REQUEST_BYTES_MAX
from eventfeed.http.addresses import Addresses
from eventfeed.http.callers import Callers
from eventfeed.http.feeds import feed_routes
from eventfeed.http.health import health_routes
from eventfeed.http.identity import development_routes, identity_routes
from eventfeed.http.problems import Problems
from eventfeed.http.publish import Publishing, publish_routes
from eventfeed.http.schema import schema_routes
from eventfeed.identity.development import DevelopmentIssuer
from eventfeed.identity.exchange import Exchange
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.tokens import PlatformTokens, Provider
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import SqliteLog
from eventfeed.log.tail import Tail
from eventfeed.settings import Settings, from_environment

_log = logging.getLogger(__name__)

DAY = 24 * 3_600 * 1_000_000
# Deletion is far behind what is shown; a minute more does not matter.
DELETE_EVERY_SECONDS = 60.0


class Store:
    """The log and what stands on it: one of each a process."""

    def __init__(self, settings: Settings) -> None:
        self.log = SqliteLog(settings.sqlite_path, new_name=_log_name)
        self.tail = Tail(self.log)
        self.retention = Retention(self.log, clock=now, keep=int(settings.retention_days * DAY))
        self.reader = Reader(self.log, self.tail, retention=self.retention)
        self.appender = Appender(self.log, self.tail, clock=now, new_mark=_unique, dice=random.random)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the log, append and delete while the block lasts, close the log."""
        await self.log.open()
        await self.tail.start()
        work = [asyncio.create_task(self.appender.run()), asyncio.create_task(self._delete())]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self.log.close()

    async def _delete(self) -> None:
        while True:
            try:
                await self.retention.delete()
            except Exception:  # noqa: BLE001  # deletion can wait a minute, and must not end for good
                _log.exception("old entries could not be deleted")
            await asyncio.sleep(DELETE_EVERY_SECONDS)


def create() -> Litestar:
    """The application of this environment: what a server process runs."""
    return application(from_environment())


def application(settings: Settings) -> Litestar:
    """The application, with everything it is made of. It opens its store when it starts."""
    # A proxy of the environment is for the world outside: in development the issuer is this very machine.
    store, client = Store(settings), httpx.AsyncClient(follow_redirects=False, trust_env=not settings.development)
    addresses = Addresses(public_url=settings.public_url, own_url=settings.own_url)
    register = register_of(settings)
    keys = SigningKeys.load(settings.keys_path / "platform")
    issuer = f"{settings.public_url.rstrip('/') or settings.own_url}/authentication/api/v1/openid/"
    callers = Callers(PlatformTokens(keys, issuer=issuer, clock=now))
    providers = {"maskinporten": _maskinporten(settings, client)}
    exchange = Exchange(providers, register=register, keys=keys, issuer=issuer, clock=now)
    publishing = Publishing(store.appender, clock=now, new_id=new_event_id)
    problems = Problems(addresses)

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with client, store.running():
            yield

    return Litestar(
        route_handlers=[
            *feed_routes(store.reader, register, callers=callers, addresses=addresses),
            *publish_routes(publishing, store.reader, callers=callers, addresses=addresses),
            *identity_routes(exchange),
            *(development_routes(_development_issuer(settings)) if settings.development else ()),
            *health_routes(store.reader),
            *schema_routes(addresses),
        ],
        exception_handlers={
            Failure: problems.on_failure,
            HTTPException: problems.on_refusal,
            Exception: problems.on_defect,
        },
        lifespan=[lifespan],
        request_max_body_size=REQUEST_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
    )


def register_of(settings: Settings) -> LocalRegister:
    """The register that the settings name. Raises `SettingsError`."""
    return LocalRegister.load(Path(settings.register) if settings.register else None)


def _development_issuer(settings: Settings) -> DevelopmentIssuer:
    keys = SigningKeys.load(settings.keys_path / "maskinporten")
    return DevelopmentIssuer(_development_url(settings), audience=settings.own_url, keys=keys, clock=now)


def _development_url(settings: Settings) -> str:
    return f"{settings.own_url}/development/maskinporten"


def _maskinporten(settings: Settings, client: httpx.AsyncClient) -> Provider:
    """The Maskinporten whose tokens are exchanged: a real one, or in development our own, found the same way."""
    if settings.maskinporten_issuer:
        issuer, accepted = settings.maskinporten_issuer, settings.maskinporten_audiences.split()
    else:
        issuer, accepted = _development_url(settings), [settings.own_url]
    return Provider(issuer=issuer, keys=ProviderKeys(issuer, client), accepted=frozenset(accepted))


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
