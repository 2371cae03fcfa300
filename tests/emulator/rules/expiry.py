"""Time to live: a document vanishes from reads and queries when it is older than its time to live.

Sources: Microsoft's "Time to live (TTL) in Azure Cosmos DB": a container without a default deletes nothing, -1 keeps a
document, and a document's own `ttl` takes precedence. Expired documents are not returned, even before they are deleted.
"""

import asyncio
import heapq
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from tests.emulator.messages import PARTITION_KEY, Request, Response, Send
from tests.emulator.rules.account import Account

_FOR_EVER = -1


class Document(NamedTuple):
    """A document's container, partition key (as JSON) and id."""

    container: str
    partition_key: str
    id: str


class TimeToLive:
    """Delete the documents whose time is over, by `clock` (s), before each request. It counts them as `deleted`."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account, self._clock = account, clock
        self._ends = dict[Document, float]()
        self._heap = list[tuple[float, Document]]()
        self._lock = asyncio.Lock()
        self.deleted = 0

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send the request on to the documents that are still alive."""
        if not request.is_for_documents:
            return await send(request)
        async with self._lock:
            await self._delete_expired(send)
        response = await send(request)
        if request.is_write and not request.is_batch and response.is_success:
            await self._note(request, send)
        return response

    async def _note(self, request: Request, send: Send) -> None:
        document = Document(request.container, request.partition_key or "", request.document_id)
        container = await self._account.container(request, send)
        default = container.properties.get("defaultTtl") if container else None
        seconds: float | None = request.json().get("ttl", default)
        if default is None or seconds is None or seconds == _FOR_EVER or request.method == "DELETE":
            self._ends.pop(document, None)
            return
        self._ends[document] = self._clock() + seconds
        heapq.heappush(self._heap, (self._ends[document], document))

    async def _delete_expired(self, send: Send) -> None:
        while self._heap and self._heap[0][0] <= self._clock():
            end, document = heapq.heappop(self._heap)
            if self._ends.get(document) != end:
                continue  # it has been replaced or deleted since
            del self._ends[document]
            response = await send(_deletion(document))
            assert response.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND), response
            self.deleted += 1


def _deletion(document: Document) -> Request:
    return Request(
        method="DELETE",
        path=f"/{document.container}/docs/{quote(document.id, safe='')}",
        headers={"host": "emulator", PARTITION_KEY: document.partition_key},
    )
