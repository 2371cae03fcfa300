"""Calls to Cosmos DB: patience with what passes, what its errors mean, and what each verb costs.

The SDK sends a request once. Only with endpoint discovery, which an account in Azure has, it asks a second region, or
the same one again, after a 503 or a refusal to write: then a conflict may be of our own first try. Harmless: a write
that was refused or is in doubt is looked up by whoever wrote it, and its own mark tells.
"""

import asyncio
import contextlib
import functools
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, ParamSpec, TypeVar

from aiohttp import ClientError
from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError
from azure.identity.aio import DefaultAzureCredential

from eventfeed.domain.errors import OutcomeUnknown, Unavailable
from eventfeed.domain.ports import Clock
from eventfeed.log.cosmos.containers import Container, differences
from eventfeed.telemetry.metrics import REQUEST_UNITS, STORE_REQUESTS, THROTTLED
from eventfeed.telemetry.tracing import charged

# A verb that has not come through by then is unavailable.
VERB_SECONDS_MAX = 8.0
CONNECT_SECONDS_MAX = 2.0
READ_SECONDS_MAX = 4.0
BACKOFF_SECONDS = 0.02
BACKOFF_SECONDS_MAX = 1.0
# A replica that lags behind is asked again; it catches up within milliseconds.
BEHIND_TRIES_MAX = 20
BEHIND_SECONDS = 0.05
# Who is told to come back later than this comes back sooner.
RETRY_SECONDS_MAX = 60
# The store tells its time by the second; an answer that took longer than this tells too little.
SECOND = 1_000_000
PROMPT = 2 * SECOND

MISSING, CONFLICT, CHANGED, TOO_MANY = 404, 409, 412, 429
# With 404: this replica has not seen what the session has; another one has, or this one soon.
_SESSION_AHEAD = 1002
# Told that nothing was done: too many requests, and a write that met another one (RetryWith).
_NOT_DONE = frozenset({429, 449})
# Told that the request itself is wrong: nothing was done, and nothing would be.
_REFUSED = frozenset({400, 413})
# A read may be asked again after these; a write may have been done.
_PASSING = frozenset({404, 408, 410, 500, 502, 503, 504})
# One try: what comes after it is decided here.
_PATIENCE: Mapping[str, Any] = {
    "connection_timeout": CONNECT_SECONDS_MAX,
    "read_timeout": READ_SECONDS_MAX,
    "retry_total": 0,
    "retry_connect": 0,
    "retry_read": 0,
    # 0 would be taken for the default, 9.
    "retry_throttle_total": -1,
    # Otherwise what is not ASCII takes up to three times its bytes.
    "enable_compact_utf8_item_writes": True,
}
_LOST = (AzureError, ClientError, TimeoutError, OSError)

T = TypeVar("T")
P = ParamSpec("P")
Document = dict[str, Any]  # the SDK names no narrower kind
Partition = int | str
Hook = Callable[[Mapping[str, str], object], None]


class ConflictError(Exception):
    """A document with this id is there already."""


class StaleReplica(Unavailable):
    """No replica that was asked has what is known to be there."""


class Cost(NamedTuple):
    """What a verb has cost so far: requests, and request units as the store charged them."""

    requests: int = 0
    units: float = 0.0


class Database:
    """A database, and the client it is asked through: one a process, so that what it has seen it sees again.

    With a `key` an emulator's; else the identity of this process opens it (environment, workload, managed identity).
    """

    def __init__(self, url: str, name: str, *, key: str | None, random: Callable[[], float], clock: Clock) -> None:
        self._url, self._key = url, key
        self.name, self.random, self.clock = name, random, clock
        # How far this machine's clock is from the store's, as far as is certain (µs).
        self.clock_skew = 0
        self.costs = defaultdict[str, Cost](Cost)
        self._stack = AsyncExitStack()
        self._client: CosmosClient | None = None

    async def open(self) -> None:
        """Connect."""
        if self._key is not None:
            # An emulator tells addresses that it does not listen on.
            client = CosmosClient(self._url, self._key, enable_endpoint_discovery=False, **_PATIENCE)
        else:
            credential = DefaultAzureCredential()
            self._stack.push_async_callback(credential.close)
            client = CosmosClient(self._url, credential, consistency_level="Session", **_PATIENCE)
        self._stack.push_async_callback(client.close)
        await with_retries(client.__aenter__, random=self.random, writes=False)
        self._client = client

    async def close(self) -> None:
        """Let go of the connections."""
        await self._stack.aclose()

    async def create(self, made: Sequence[Container]) -> None:
        """Make what is not there yet of the database and its containers: on an emulator.

        In Azure whoever stands it up does: the identity that opens a store may not change it.
        """
        client = self._opened()
        with contextlib.suppress(ConflictError):  # another process was faster
            await self._with_retries(functools.partial(client.create_database_if_not_exists, self.name))
        for each in made:
            make = functools.partial(
                client.get_database_client(self.name).create_container_if_not_exists,
                each.name,
                PartitionKey(each.partition_key, version=2),
                indexing_policy=dict(each.indexing),
                default_ttl=each.ttl_seconds,
            )
            with contextlib.suppress(ConflictError):
                await self._with_retries(make)

    async def require(self, wanted: Sequence[Container], *, indexes: bool) -> None:
        """See that the containers are as wanted. Raises `Unavailable` with everything that is not."""
        found = list[str]()
        for each in wanted:
            there = await self._with_retries(self.container(each.name).read)
            found += differences(each, there, indexes=indexes)
        if found:
            raise Unavailable(f"The store in {self.name} is not as it must be: {'; '.join(found)}.")

    def observe_clock(self, headers: Mapping[str, str], *, asked: int) -> None:
        """Compare the clocks by an answer that was given between `asked` (µs since 1970) and now."""
        now, date = self.clock(), headers.get("Date")
        if date is None or now - asked > PROMPT:
            return
        try:
            stored = int(parsedate_to_datetime(date).timestamp()) * SECOND
        except ValueError:
            return
        self.clock_skew = max(asked - stored - SECOND, stored - now, 0)

    async def _with_retries(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await with_retries(ask, random=self.random, writes=False)

    def container(self, name: str) -> ContainerProxy:
        """A container of the open database."""
        return self._opened().get_database_client(self.name).get_container_client(name)

    def _opened(self) -> CosmosClient:
        if self._client is None:
            raise Unavailable("The store is not open.")
        return self._client


class Calls:
    """Calls to one container; each counts under the verb that asked, in the database's `costs`."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name

    @property
    def _container(self) -> ContainerProxy:
        return self._database.container(self._name)

    async def query(
        self, verb: str, sql: str, *, values: Mapping[str, object], partition: Partition | None = None
    ) -> Sequence[Document]:
        """Everything that a query gives. Raises `Unavailable`."""
        parameters: list[dict[str, object]] = [{"name": f"@{name}", "value": each} for name, each in values.items()]
        where: dict[str, Any] = {} if partition is None else {"partition_key": partition}

        async def ask(hook: Hook) -> Sequence[Document]:
            found = self._container.query_items(sql, parameters=parameters, response_hook=hook, **where)
            return [each async for each in found]

        return await self._with_retries(verb, ask, writes=False)

    async def create(
        self, verb: str, documents: Sequence[Document], *, partition: Partition, idempotent: bool = False
    ) -> None:
        """Create documents of one partition, all of them or a first part; `ConflictError` when one was there.

        Raises `OutcomeUnknown` when nobody can say, unless it does not matter `idempotent` documents are there in the
        end: then it tries again. Raises `Unavailable` when nothing was done.
        """
        operations = [("create", (document,)) for document in documents]

        async def ask(hook: Hook) -> None:
            await self._container.execute_item_batch(operations, partition, response_hook=hook)

        await self._with_retries(verb, ask, writes=not idempotent)

    async def replace(self, verb: str, document: Document, *, etag: str) -> str:
        """Replace a document that is still as `etag` says; its new tag. `ConflictError` when it is not.

        Raises `Unavailable`. After an unknown outcome it asks again: then the change itself may be what it meets.
        """

        async def ask(hook: Hook) -> str:
            replaced = await self._container.replace_item(
                document["id"],
                document,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
                response_hook=hook,
            )
            return str(replaced["_etag"])

        return await self._with_retries(verb, ask, writes=False)

    async def put(self, verb: str, document: Document) -> None:
        """Create or replace a document: the same again changes nothing. Raises `Unavailable`."""

        async def ask(hook: Hook) -> None:
            await self._container.upsert_item(document, response_hook=hook)

        await self._with_retries(verb, ask, writes=False)

    async def _with_retries(self, verb: str, ask: Callable[[Hook], Awaitable[T]], *, writes: bool) -> T:
        async def once() -> T:
            hook = self._hook(verb)
            try:
                return await ask(hook)
            except _LOST as failure:  # it was a request, and a refusal has its charge
                if getattr(failure, "status_code", None) == TOO_MANY:
                    THROTTLED.add(1, verb)
                hook(getattr(failure, "headers", None) or {}, None)
                raise

        return await with_retries(once, random=self._database.random, writes=writes)

    def _hook(self, verb: str) -> Hook:
        asked = self._database.clock()

        def answered(headers: Mapping[str, str], _: object) -> None:
            before = self._database.costs[verb]
            units = before.units + float(headers.get("x-ms-request-charge", 0))
            self._database.costs[verb] = Cost(before.requests + 1, units)
            STORE_REQUESTS.add(1, verb)
            REQUEST_UNITS.add(units - before.units, verb)
            charged(units - before.units)
            self._database.observe_clock(headers, asked=asked)

        return answered


def with_deadline(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A verb that takes `VERB_SECONDS_MAX` at most, whatever it asks. Then it raises `Unavailable`."""

    @functools.wraps(verb)
    async def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(VERB_SECONDS_MAX):
                return await verb(*args, **kwargs)
        except TimeoutError:
            raise Unavailable("The store did not answer in time.") from None

    return bounded


async def with_retries(ask: Callable[[], Awaitable[T]], *, random: Callable[[], float], writes: bool) -> T:
    """Ask until there is an answer, or the time is up. Raises `Unavailable`, and of a write `OutcomeUnknown`."""
    loop = asyncio.get_running_loop()
    deadline, most = loop.time() + VERB_SECONDS_MAX, BACKOFF_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await ask()
        except _LOST as failure:
            told = _told(failure, writes=writes)
        if loop.time() + told > deadline:
            later = min(max(1, math.ceil(told)), RETRY_SECONDS_MAX)
            raise Unavailable("The store did not answer in time.", retry_seconds=later)
        await asyncio.sleep(max(told, random() * most))
        most = min(2 * most, BACKOFF_SECONDS_MAX)


async def read_until_current(ask: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer that is not None, which is what a replica says that lags behind. Raises `StaleReplica`."""
    for _ in range(BEHIND_TRIES_MAX):
        answer = await ask()
        if answer is not None:
            return answer
        await asyncio.sleep(BEHIND_SECONDS)
    raise StaleReplica("The store's replica does not catch up.")


def _told(failure: Exception, *, writes: bool) -> float:
    """How long to wait before asking again (s). Raises what the caller must know when asking again is no use."""
    status = failure.status_code if isinstance(failure, CosmosHttpResponseError | CosmosBatchOperationError) else None
    if status in _NOT_DONE:
        return _retry_after(failure)
    if status in (CHANGED, CONFLICT):
        raise ConflictError from failure
    if status in _REFUSED:
        raise Unavailable(f"The store refused: {_reason(failure)}.", retry_seconds=5) from failure
    if writes:
        raise OutcomeUnknown(f"The store did not say whether it wrote: {_reason(failure)}.") from failure
    if status == MISSING and getattr(failure, "sub_status", None) != _SESSION_AHEAD:
        raise Unavailable("The store has no such container: `eventfeed store create` makes an emulator's.") from failure
    if status is None or status in _PASSING:
        return 0.0
    raise Unavailable(f"The store refused: {_reason(failure)}.", retry_seconds=5) from failure


def _retry_after(failure: Exception) -> float:
    headers = getattr(failure, "headers", None) or {}
    try:
        return float(headers.get("x-ms-retry-after-ms", 0)) / 1000
    except ValueError:
        return 0.0


def _reason(failure: Exception) -> str:
    """The status, or the kind of failure: an SDK's message may hold what was asked."""
    status = getattr(failure, "status_code", None)
    return f"status {status}" if status is not None else type(failure).__name__
