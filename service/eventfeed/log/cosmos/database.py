"""The database in Cosmos DB: its containers, requests to them, and what each verb costs."""

import contextlib
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError
from azure.identity.aio import DefaultAzureCredential

from eventfeed.domain.errors import StoreUnusable, Unavailable
from eventfeed.domain.ports import CLOCK_SECOND
from eventfeed.log.clock import MachineClock
from eventfeed.log.cosmos.availability import Availability
from eventfeed.log.cosmos.containers import COMMITS, EVENTS_OF_LAYOUT_1, Container, description, differences
from eventfeed.log.cosmos.outcomes import REQUEST_ERRORS, Kind
from eventfeed.log.cosmos.retry import ConflictError, with_retries
from eventfeed.log.cosmos.sessions import SessionTokens
from eventfeed.network import proxy_of
from eventfeed.telemetry.telemetry import Telemetry

CONNECT_SECONDS_MAX = 2.0
READ_SECONDS_MAX = 4.0
# The store's clock has a resolution of one second. A response that took longer than this says too little about it (ns).
CLOCK_RESPONSE_MAX = 2 * CLOCK_SECOND

# The SDK sends a request once: `retry` decides on another attempt.
_CLIENT_OPTIONS: Mapping[str, Any] = {
    "connection_timeout": CONNECT_SECONDS_MAX,
    "read_timeout": READ_SECONDS_MAX,
    "retry_total": 0,
    "retry_connect": 0,
    "retry_read": 0,
    # 0 would mean the default, 9.
    "retry_throttle_total": -1,
    # Otherwise text that is not ASCII takes up to three times its bytes.
    "enable_compact_utf8_item_writes": True,
}

T = TypeVar("T")
Document = dict[str, Any]  # the SDK has no narrower type
Partition = int | str
Hook = Callable[[Mapping[str, str], object], None]


class Cost(NamedTuple):
    """The cost of a verb so far: requests, and the request units that the store charged."""

    requests: int = 0
    units: float = 0.0


class StoreResponse(NamedTuple):
    """A response of the store to a request of a verb."""

    verb: str
    headers: Mapping[str, Any]
    body: object


class QueryPage(NamedTuple):
    """The first results of a query, and True if it has more."""

    documents: Sequence[Document]
    has_more: bool


class Database:
    """A database and its client: one a process, because a client's session token covers only what it has read itself.

    `key` is an emulator's; without one the identity of this process opens the database (environment, workload, managed
    identity).
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        key: str | None,
        random: Callable[[], float],
        clock: MachineClock,
        telemetry: Telemetry,
    ) -> None:
        self._url, self._key = url, key
        self.name, self.random, self.clock, self.telemetry = name, random, clock, telemetry
        self.costs = defaultdict[str, Cost](Cost)
        self.tokens = defaultdict[str, SessionTokens](SessionTokens)
        self.availability = Availability(self._probe)
        # Called with each response; and options of each query.
        self.observer: Callable[[StoreResponse], None] | None = None
        self.query_options: Mapping[str, Any] = {}
        self._stack = AsyncExitStack()
        self._open_client: CosmosClient | None = None

    async def open(self) -> None:
        """Connect. Raises `Unavailable`."""
        options = {**_CLIENT_OPTIONS, **_connection_options(self._url)}
        if self._key is not None:
            # An emulator reports endpoints on which it does not listen.
            client = CosmosClient(self._url, self._key, enable_endpoint_discovery=False, **options)
        else:
            credential = DefaultAzureCredential()
            self._stack.push_async_callback(credential.close)
            client = CosmosClient(self._url, credential, consistency_level="Session", **options)
        self._stack.push_async_callback(client.close)
        await self.send(client.__aenter__)
        self._open_client = client

    async def close(self) -> None:
        """Close the connections. The database may be opened again."""
        await self.availability.close()
        self._open_client = None
        await self._stack.aclose()

    async def create(self, containers: Sequence[Container]) -> None:
        """Create the database and its containers on an emulator, unless they exist.

        In Azure the deployment creates them: the identity that opens a store may not change it.
        """
        await self.refuse_layout_1()
        with contextlib.suppress(ConflictError):  # another process was faster
            create_database = functools.partial(self._client.create_database_if_not_exists, self.name)
            await self.send(create_database, Kind.IDEMPOTENT_WRITE)
        for each in containers:
            create = functools.partial(
                self._client.get_database_client(self.name).create_container_if_not_exists,
                each.name,
                PartitionKey(each.partition_key, version=2),
                indexing_policy=dict(each.indexing),
                default_ttl=each.ttl_seconds,
            )
            with contextlib.suppress(ConflictError):
                await self.send(create, Kind.IDEMPOTENT_WRITE)

    async def require(self, containers: Sequence[Container], *, indexes: bool) -> None:
        """Check the containers. Raises `StoreUnusable`, which lists every difference."""
        await self.refuse_layout_1()
        messages = list[str]()
        for each in containers:
            properties = await self.send(self.container(each.name).read)
            messages += differences(each, properties, indexes=indexes)
        if messages:
            raise StoreUnusable(f"The store in {self.name} is not as required: {'; '.join(messages)}.")

    async def refuse_layout_1(self) -> None:
        """Raise `StoreUnusable` for a database of layout 1, which has one document for each event."""
        if not await self._has_container(COMMITS) and await self._has_container(EVENTS_OF_LAYOUT_1):
            raise StoreUnusable(
                f"The store in {self.name} has layout 1, with a document for each event, which no release wrote. This "
                f"release reads layout {description().layout}: name another database in EVENTFEED_STORE."
            )

    async def _has_container(self, name: str) -> bool:
        async def read() -> bool:
            try:
                await self.container(name).read()
            except CosmosResourceNotFoundError:
                return False
            return True

        return await self.send(read)

    def observe_clock(self, headers: Mapping[str, str], *, start: int) -> None:
        """Take the store's clock as the reference, by a response to a request of `start` (ns since boot)."""
        now, date = self.clock.uptime(), headers.get("Date")
        if date is None or now - start > CLOCK_RESPONSE_MAX:
            return
        try:
            store_time = int(parsedate_to_datetime(date).timestamp()) * CLOCK_SECOND
        except ValueError:
            return
        self.clock.set_reference(earliest=store_time - now, latest=store_time + CLOCK_SECOND - start)

    async def count_partitions(self, name: str) -> int:
        """Return the number of physical partitions of a container. Raises `Unavailable`."""

        async def send() -> int:
            return len([each async for each in self.container(name).read_feed_ranges()])

        return await self.send(send)

    def container(self, name: str) -> ContainerProxy:
        """Return a container of the open database. Raises `Unavailable`."""
        return self._client.get_database_client(self.name).get_container_client(name)

    async def send(self, send: Callable[[], Awaitable[T]], kind: Kind = Kind.READ) -> T:
        """Send a request. See `with_retries`."""
        return await with_retries(send, kind, availability=self.availability, random=self.random)

    async def _probe(self) -> None:
        await self._client.get_database_client(self.name).read()

    @property
    def _client(self) -> CosmosClient:
        if self._open_client is None:
            raise Unavailable("The store is not open.")
        return self._open_client


def _connection_options(url: str) -> Mapping[str, Any]:
    """Return the client's options for connections to a URL, with the proxy of the environment.

    Otherwise, the HTTP client looks for a proxy and for passwords in two threads before each request: a fifth of its
    processor time.
    """
    proxy = proxy_of(url)
    proxies = {} if proxy is None else {urlsplit(url).scheme: proxy}
    return {"transport": AioHttpTransport(use_env_settings=False), "proxies": proxies}


class Calls:
    """Requests to one container. Each counts under its verb in the database's `costs`."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._tokens = database.tokens[name]

    @property
    def _container(self) -> ContainerProxy:
        return self._database.container(self._name)

    async def query(
        self, verb: str, sql: str, *, values: Mapping[str, object], partition: Partition | None = None
    ) -> Sequence[Document]:
        """Return all results of a query. Raises `Unavailable`."""
        parameters: list[dict[str, object]] = [{"name": f"@{name}", "value": each} for name, each in values.items()]
        scope: dict[str, Any] = {} if partition is None else {"partition_key": partition}
        scope |= self._database.query_options

        async def send(hook: Hook) -> Sequence[Document]:
            results = self._container.query_items(
                sql, parameters=parameters, response_hook=hook, session_token=self._tokens.token, **scope
            )
            return [each async for each in results]

        return await self._send(verb, send)

    async def page(
        self, verb: str, sql: str, *, values: Mapping[str, object], partition: Partition, size: int
    ) -> QueryPage:
        """Return the first results of a query on one partition: at most `size`, and 4 MB. Raises `Unavailable`."""
        parameters: list[dict[str, object]] = [{"name": f"@{name}", "value": each} for name, each in values.items()]

        async def send(hook: Hook) -> QueryPage:
            has_more = False

            def observe(headers: Mapping[str, str], body: object) -> None:
                nonlocal has_more
                has_more = bool(headers.get("x-ms-continuation"))
                hook(headers, body)

            results = self._container.query_items(
                sql,
                parameters=parameters,
                partition_key=partition,
                max_item_count=size,
                response_hook=observe,
                session_token=self._tokens.token,
                **self._database.query_options,
            )
            async for page in results.by_page():
                # A page may be empty, although others follow.
                if documents := [each async for each in page]:
                    return QueryPage(documents, has_more)
            return QueryPage((), has_more=False)

        return await self._send(verb, send)

    async def create(self, verb: str, document: Document, *, idempotent: bool = False) -> str:
        """Create a document and return its tag. Raises `ConflictError` if its id exists.

        Raises `NotDone` if nothing was done, and `OutcomeUnknown` if that is not certain. `idempotent`: it does not
        matter which attempt creates the document, so another one follows an unknown outcome.
        """

        async def send(hook: Hook) -> str:
            created = await self._container.create_item(document, response_hook=hook)
            return str(created["_etag"])

        return await self._send(verb, send, kind=Kind.IDEMPOTENT_WRITE if idempotent else Kind.WRITE)

    async def replace(self, verb: str, document: Document, *, etag: str) -> str:
        """Replace a document and return its new tag. Raises `ConflictError` if its tag is no longer `etag`.

        Raises as `create` does. It retries after an unknown outcome; the conflict may then be with the first attempt.
        """

        async def send(hook: Hook) -> str:
            replacement = await self._container.replace_item(
                document["id"], document, etag=etag, match_condition=MatchConditions.IfNotModified, response_hook=hook
            )
            return str(replacement["_etag"])

        return await self._send(verb, send, kind=Kind.IDEMPOTENT_WRITE)

    async def put(self, verb: str, document: Document) -> None:
        """Create or replace a document; a repetition changes nothing. Raises as `create` does, but no conflict."""

        async def send(hook: Hook) -> None:
            await self._container.upsert_item(document, response_hook=hook)

        await self._send(verb, send, kind=Kind.IDEMPOTENT_WRITE)

    async def _send(self, verb: str, send: Callable[[Hook], Awaitable[T]], *, kind: Kind = Kind.READ) -> T:
        async def send_once() -> T:
            hook = self._hook(verb)
            try:
                return await send(hook)
            except REQUEST_ERRORS as error:  # also a request, and a refusal has a charge
                if getattr(error, "status_code", None) == HTTPStatus.TOO_MANY_REQUESTS:
                    self._database.telemetry.store_throttled(verb)
                hook(getattr(error, "headers", None) or {}, None)
                raise

        return await self._database.send(send_once, kind)

    def _hook(self, verb: str) -> Hook:
        start = self._database.clock.uptime()

        def count(headers: Mapping[str, str], body: object) -> None:
            self._tokens.observe(headers)
            units = float(headers.get("x-ms-request-charge", 0))
            cost = self._database.costs[verb]
            self._database.costs[verb] = Cost(cost.requests + 1, cost.units + units)
            self._database.telemetry.store_responded(verb, units)
            if headers:  # of a response
                self._database.availability.note_response()
                self._database.observe_clock(headers, start=start)
            if self._database.observer is not None:
                self._database.observer(StoreResponse(verb, headers, body))

        return count
