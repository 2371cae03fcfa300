"""Session tokens and a replica that lags: a read sees what its token says, and without a token whatever a replica has.

Sources: Microsoft's "Consistency levels in Azure Cosmos DB" (session consistency) and "Manage consistency" (session
tokens); the SDK's `READ_SESSION_NOTAVAILABLE` (404 with sub-status 1002); Azure/azure-cosmos-db-emulator-docker#322 and
#331 (every response of the service has the token of its partition).
The replica is a second database of the emulator, which gets each write later.
"""

import asyncio
import dataclasses
import itertools
import json
import re
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.emulator.messages import CONTINUATION, PARTITION_RANGE, Request, Response, Send, refuse
from tests.emulator.rules.account import Account, Container, PartitionRange, key_header

SESSION_TOKEN = "x-ms-session-token"
_SESSION_NOT_AVAILABLE = 1002
# The emulator's names of a document, which differ in the replica.
_NAMES = ("_etag", "_rid", "_self")
_NAME = re.compile(rb'("_(?:etag|rid|self)":)"([^"]*)"')
_PINNED = "replica;"


class Write(NamedTuple):
    """A write that the replica lacks: its number in its partition, its time (s), and its document in the store."""

    number: int
    time: float
    request: Request
    document: Mapping[str, object]


@dataclasses.dataclass
class Copy:
    """The replica of a container: the writes it lacks and the newest ones, by partition."""

    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    lacking: defaultdict[str, deque[Write]] = dataclasses.field(default_factory=lambda: defaultdict(deque))
    newest: Counter[str] = dataclasses.field(default_factory=Counter)
    replicated: Counter[str] = dataclasses.field(default_factory=Counter)
    exists: bool = False
    tries: int = 0
    path: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lag:
    """The lag of a replica: it lacks at most `writes` writes of each partition, and none older than `seconds`.

    `turns` says which of some reads in a row go to the replica. It refuses a token that it does not have `tries` times,
    and has caught up then.
    """

    writes: int = 0
    seconds: float = 86_400.0
    turns: Sequence[bool] = (True, False)
    tries: int = 1


class Replicas:
    """Add session tokens, and let some reads see a replica that lags. Without a lag there is no replica.

    `refusals` counts reads with a token that the replica did not have, and `stale_reads` those without a token to which
    it responded with less than the store has.
    """

    def __init__(self, account: Account, clock: Callable[[], float], lag: Lag) -> None:
        self._account, self._clock, self._lag = account, clock, lag
        self._copies: dict[str, Copy] = defaultdict(Copy)
        self._suffix = f"-replica-{uuid.uuid4().hex}"
        self._names = dict[bytes, bytes]()
        self._turns = itertools.cycle(lag.turns)
        self.refusals = self.stale_reads = 0

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send a write to the store and later to the replica, and a read to either."""
        container = await self._account.container(request, send) if request.is_for_documents else None
        ranges = container.ranges_of(request) if container else ()
        if container is None or request.is_query_plan or len(ranges) != 1:
            return await send(request)
        copy = self._copies[request.container]
        async with copy.lock:
            if self._lag.writes:
                await self._prepare(copy, request, send, container)
        if request.is_write:
            return await self._write(request, send, copy, ranges[0])
        return await self._read(request, send, copy, ranges[0])

    async def _write(self, request: Request, send: Send, copy: Copy, partition: PartitionRange) -> Response:
        async with copy.lock:
            response = await send(request)
            if response.is_success:
                copy.newest[partition.id] = _newest(copy.newest, partition) + 1
                if copy.exists:
                    document = response.json() if response.body and not request.is_batch else {}
                    number = copy.newest[partition.id]
                    copy.lacking[partition.id].append(Write(number, self._clock(), request, document))
        return _with_token(response, request, partition, _newest(copy.newest, partition))

    async def _read(self, request: Request, send: Send, copy: Copy, partition: PartitionRange) -> Response:
        continuation = request.headers.get(CONTINUATION)
        from_replica = continuation.startswith(_PINNED) if continuation else copy.exists and next(self._turns)
        if from_replica:
            return await self._read_replica(request, send, copy, partition)
        number = _newest(copy.newest, partition)
        return _with_token(await send(request), request, partition, number)

    async def _read_replica(self, request: Request, send: Send, copy: Copy, partition: PartitionRange) -> Response:
        needed = _needed(request, partition)
        async with copy.lock:
            await self._catch_up(copy, send, partition, needed=0)
            number = _newest(copy.replicated, partition)
            copy.tries = copy.tries + 1 if needed > number else 0
            if copy.tries >= self._lag.tries:
                await self._catch_up(copy, send, partition, needed=needed)
        if needed > number:
            self.refusals += 1
            message = "The read session is not available for the input session token."
            refusal = refuse(404, message, substatus=_SESSION_NOT_AVAILABLE)
            return _with_token(refusal, request, partition, number)
        self.stale_reads += needed == 0 and number < _newest(copy.newest, partition)
        response = await send(_to_replica(request, copy))
        response.body = _NAME.sub(self._store_name, response.body)
        if CONTINUATION in response.headers:
            response.headers[CONTINUATION] = _PINNED + response.headers[CONTINUATION]
        return _with_token(response, request, partition, number)

    async def _prepare(self, copy: Copy, request: Request, send: Send, container: Container) -> None:
        """Create the replica of a container, with its documents so far."""
        if copy.exists:
            return
        database, name = request.container.split("/")[1::2]
        copy.path, copy.exists = f"dbs/{database}{self._suffix}/colls/{name}", True
        # For its second container, the database exists already.
        await send(_creation("/dbs", {"id": database + self._suffix}))
        await send(_creation(f"/dbs/{database}{self._suffix}/colls", dict(container.properties)))
        query = {"x-ms-documentdb-isquery": "true", "x-ms-documentdb-query-enablecrosspartition": "true"}
        documents = _creation(f"/{request.container}/docs", {"query": "SELECT * FROM c"}, **query)
        for each in (await send(documents)).json().get("Documents", ()):
            key = key_header(each.get(container.key_member))
            self._note_names(await send(_creation(f"/{copy.path}/docs", each, **key)), each)

    async def _catch_up(self, copy: Copy, send: Send, partition: PartitionRange, *, needed: int) -> None:
        """Apply the writes of a partition that are due or `needed`, in order; before a split they are its parents'."""
        for range_id in (*partition.parents, partition.id):
            lacking = copy.lacking[range_id]
            while lacking and (lacking[0].number <= needed or self._is_due(lacking)):
                write = lacking.popleft()
                response = await send(_to_replica(write.request, copy))
                assert response.is_success, f"the replica refused a write: {response}"
                self._note_names(response, write.document)
                copy.replicated[range_id] = write.number

    def _is_due(self, lacking: Sequence[Write]) -> bool:
        return len(lacking) > self._lag.writes or self._clock() - lacking[0].time >= self._lag.seconds

    def _note_names(self, response: Response, document: Mapping[str, object]) -> None:
        """Note the store's names of a document that the replica has written."""
        replica_document = response.json() if document else {}
        for name in _NAMES[: 3 * bool(document)]:
            self._names[str(replica_document[name]).encode()] = str(document[name]).encode()

    def _store_name(self, match: re.Match[bytes]) -> bytes:
        """Return a name in a response of the replica as the store has it."""
        return match[1] + b'"' + self._names.get(match[2], match[2]) + b'"'


def _newest(numbers: Counter[str], partition: PartitionRange) -> int:
    """The number of the newest write of a partition. After a split it continues those of the parents."""
    return max(numbers[each] for each in (partition.id, *partition.parents))


def _needed(request: Request, partition: PartitionRange) -> int:
    """The number of the write that a read must see, by its session token; 0 without a token."""
    tokens = (each.partition(":") for each in request.headers.get(SESSION_TOKEN, "").split(",") if each)
    numbers = {range_id: int(token.split("#")[1]) for range_id, _, token in tokens}
    return max((numbers.get(each, 0) for each in (partition.id, *partition.parents)), default=0)


def _with_token(response: Response, request: Request, partition: PartitionRange, number: int) -> Response:
    response.headers[SESSION_TOKEN] = f"{partition.id}:-1#{number}"
    response.headers["x-ms-alt-content-path"] = request.container
    response.headers[PARTITION_RANGE] = partition.id
    return response


def _to_replica(request: Request, copy: Copy) -> Request:
    headers = {name: value for name, value in request.headers.items() if name not in ("if-match", CONTINUATION)}
    if CONTINUATION in request.headers:
        headers[CONTINUATION] = request.headers[CONTINUATION].removeprefix(_PINNED)
    path = request.path.replace(f"/{request.container}/", f"/{copy.path}/").replace("//", "/")
    return dataclasses.replace(request, path=path, headers=headers)


def _creation(path: str, content: dict[str, object], **headers: str) -> Request:
    return Request(
        method="POST",
        path=path,
        headers={"host": "emulator", "content-type": "application/json", **headers},
        body=json.dumps(content).encode(),
    )
