"""Limits of single requests: sizes, ids, partition keys and throughput; and two defects of the emulator.

Sources: Microsoft's "Azure Cosmos DB service quotas" (per-item limits, per-request limits, minimum throughput).
"""

import json
import re

from tests.emulator.messages import Request, Response, Send, refuse
from tests.emulator.rules.account import Account

DOCUMENT_BYTES_MAX = 2 * 1024 * 1024
REQUEST_BYTES_MAX = 2 * 1024 * 1024
ID_BYTES_MAX = 1_023
PARTITION_KEY_BYTES_MAX = 2_048
QUERY_BYTES_MAX = 512 * 1024
BATCH_OPERATIONS_MAX = 100
THROUGHPUT_MIN = 400
AUTOSCALE_MIN = 1_000
_ENDPOINT = re.compile(rb'"databaseAccountEndpoint":"[^"]*"')
# A partition key in the document is not the one in the header.
_KEY_MISMATCH = 1001


class Limits:
    """Refuse a request that the store refuses for its form alone."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def __call__(self, request: Request, send: Send) -> Response:
        """Refuse the request, or send it on."""
        return self._request_fault(request) or await self._document_fault(request, send) or await send(request)

    def _request_fault(self, request: Request) -> Response | None:
        if len(request.body) > REQUEST_BYTES_MAX:
            return refuse(413, "Request size is too large")
        if request.is_query and len(request.json().get("query", "").encode()) > QUERY_BYTES_MAX:
            return refuse(400, "The query is longer than 512 KB.")
        if request.is_batch and len(json.loads(request.body)) > BATCH_OPERATIONS_MAX:
            return refuse(400, "A batch has at most 100 operations.")
        if len(request.partition_key or "") - len('[""]') > PARTITION_KEY_BYTES_MAX:
            return refuse(400, "The partition key is longer than 2,048 bytes.")
        return _throughput_fault(request)

    async def _document_fault(self, request: Request, send: Send) -> Response | None:
        if not request.is_write or request.is_batch or request.method == "DELETE":
            return None
        document = request.json()
        if len(request.body) > DOCUMENT_BYTES_MAX:
            return refuse(413, "The document is larger than 2 MB.")
        if len(document["id"].encode()) > ID_BYTES_MAX:
            return refuse(400, "The id is longer than 1,023 bytes.")
        container = await self._account.container(request, send)
        if container is None or request.partition_key is None:
            return None
        if json.loads(request.partition_key) != [document.get(container.key_member)]:
            message = "PartitionKey extracted from document doesn't match the one specified in the header"
            return refuse(400, message, substatus=_KEY_MISMATCH)
        return None


def _throughput_fault(request: Request) -> Response | None:
    manual = request.headers.get("x-ms-offer-throughput")
    if manual is not None and (int(manual) < THROUGHPUT_MIN or int(manual) % 100):
        return refuse(400, "The throughput must be 400 or more, in steps of 100.")
    autoscale = request.headers.get("x-ms-cosmos-offer-autopilot-settings")
    if autoscale is not None:
        maximum = json.loads(autoscale).get("maxThroughput", 0)
        if maximum < AUTOSCALE_MIN or maximum % 1_000:
            return refuse(400, "The maximum throughput must be 1,000 or more, in steps of 1,000.")
    return None


async def find_no_missing_document(request: Request, send: Send) -> Response:
    """Respond to a read of a document that does not exist with 404. The emulator responds with 500."""
    response = await send(request)
    if request.method == "GET" and request.is_for_documents and response.status == 500:
        return refuse(404, "Entity with the specified id does not exist in the system.")
    return response


async def describe_account(request: Request, send: Send) -> Response:
    """Describe the account with the endpoint of the request. The emulator describes one on which it does not listen."""
    response = await send(request)
    if request.path == "/":
        endpoint = f"http://{request.headers['host']}/".encode()
        response.body = _ENDPOINT.sub(b'"databaseAccountEndpoint":"' + endpoint + b'"', response.body)
    return response
