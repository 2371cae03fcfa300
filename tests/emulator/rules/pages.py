"""Pages of a query: 100 items unless the request asks for another number, and at most 4 MB.

Sources: Microsoft's "Pagination in Azure Cosmos DB for NoSQL"; "Azure Cosmos DB service quotas" (maximum response size
of 4 MB); the REST reference of `x-ms-max-item-count`.
"""

import dataclasses

from tests.emulator.messages import Request, Response, Send

ITEMS = 100
BYTES_MAX = 4 * 1024 * 1024
MAX_ITEM_COUNT = "x-ms-max-item-count"


class Pages:
    """Divide the results of a query into pages of at most `bytes_max`."""

    def __init__(self, *, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max

    async def __call__(self, request: Request, send: Send) -> Response:
        """Return a page that is within the limits. -1 asks for as many items as fit."""
        if not request.is_query:
            return await send(request)
        count = int(request.headers.get(MAX_ITEM_COUNT, ITEMS))
        response = await send(_with_count(request, count))
        # One document is less than 4 MB, so a page of one item always fits.
        while len(response.body) > self._bytes_max and (items := response.json().get("_count", 0)) > 1:
            response = await send(_with_count(request, max(1, items * self._bytes_max // len(response.body))))
        return response


def _with_count(request: Request, count: int) -> Request:
    return dataclasses.replace(request, headers={**request.headers, MAX_ITEM_COUNT: str(count)})
