"""The size of a logical partition: at most 20 GB, above which the store refuses writes with 403 and sub-status 1014.

Sources: Microsoft's "Azure Cosmos DB service quotas" (20 GB for each logical partition) and "Diagnose and troubleshoot
Azure Cosmos DB forbidden exceptions" (partition key exceeding storage). The size counts bodies, not the index.
"""

from collections import Counter

from tests.emulator.messages import Request, Response, Send, refuse

BYTES_MAX = 20 * 1024**3
_PARTITION_IS_FULL = 1014


class Storage:
    """Refuse a write that would make its logical partition larger than `bytes_max`."""

    def __init__(self, *, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._documents = Counter[tuple[str, str | None, str]]()
        self._partitions = Counter[tuple[str, str | None]]()

    async def __call__(self, request: Request, send: Send) -> Response:
        """Refuse the write, or send it on and note its size."""
        if not request.is_write or request.is_batch:
            return await send(request)
        partition = (request.container, request.partition_key)
        document = (*partition, request.document_id)
        size = 0 if request.method == "DELETE" else len(request.body)
        growth = size - self._documents[document]
        if growth > 0 and self._partitions[partition] + growth > self._bytes_max:
            return refuse(403, "Partition key reached maximum size of 20 GB", substatus=_PARTITION_IS_FULL)
        response = await send(request)
        if response.is_success:
            self._partitions[partition] += size - self._documents[document]
            self._documents[document] = size
        return response
