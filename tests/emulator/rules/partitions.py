"""Physical partitions: which documents a range has, their split, and the store's refusal of a range that is gone.

Sources: Microsoft's "Partitioning and horizontal scaling" and "Diagnose and troubleshoot Azure Cosmos DB gone (410)";
the SDK's `SubStatusCodes`: 1002 (the range is gone), 1007 (a split is being completed), 1008 (a migration is).
The documents of a range are found by a member that the rule adds to them, and removes from responses.
"""

import dataclasses
import json
import re
from collections.abc import Sequence

from tests.emulator.messages import PARTITION_RANGE, Request, Response, Send, refuse, respond
from tests.emulator.rules.account import Account, Container, effective_key

RANGE_IS_GONE = 1002
COMPLETING_SPLIT = 1007
COMPLETING_MIGRATION = 1008
_KEY_MEMBER = "_effectiveKey"
_KEY = re.compile(rb'"_effectiveKey":"[^"]*",?')
_FROM = re.compile(
    r"\bFROM\s+(\w+)((?:\s+JOIN\s.*?)?)\s*(?:\bWHERE\b\s*(.*?))?\s*((?:\bORDER\s+BY\b.*)?)$", re.IGNORECASE | re.DOTALL
)


class Partitions:
    """Play the physical partitions of a container. `refusals` has the sub-statuses of the next 410 responses."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.refusals = list[int]()

    async def __call__(self, request: Request, send: Send) -> Response:
        """Send a request on to its partition."""
        container = await self._account.container(request, send) if request.container else None
        if container is None:
            return await send(request)
        if request.path.rstrip("/").endswith("/pkranges"):
            return _describe(request, container)
        if not request.is_for_documents or request.is_query_plan:
            return await send(request)
        if self.refusals:
            return refuse(410, "The requested resource is no longer available.", substatus=self.refusals.pop(0))
        ranges = container.ranges_of(request)
        if not ranges:
            return refuse(410, "The partition key range is gone.", substatus=RANGE_IS_GONE)
        response = await send(_addressed(request, container))
        response.body = _KEY.sub(b"", response.body)
        if len(ranges) == 1:
            response.headers[PARTITION_RANGE] = ranges[0].id
        return response


def _describe(request: Request, container: Container) -> Response:
    """Return the physical partitions; nothing if the client has them already."""
    tag = "-".join(each.id for each in container.ranges)
    if request.headers.get("if-none-match") == tag:
        return Response(status=304, headers={"etag": tag})
    ranges = [each.document() for each in container.ranges]
    return respond(200, {"_rid": "ranges", "PartitionKeyRanges": ranges, "_count": len(ranges)}, etag=tag)


def _addressed(request: Request, container: Container) -> Request:
    """Return the request with the member by which the emulator knows the partition of a document."""
    if request.is_write:
        if request.method == "DELETE" or request.is_batch or request.partition_key is None:
            return request
        document = {_KEY_MEMBER: effective_key(request.partition_key), **request.json()}
        return dataclasses.replace(request, body=json.dumps(document, ensure_ascii=False).encode())
    ranges = container.ranges_of(request)
    if not request.is_query or PARTITION_RANGE not in request.headers:
        return request
    content = request.json()
    content["query"] = restrict(content["query"], first=ranges[0].first, end=ranges[0].end)
    return dataclasses.replace(request, body=json.dumps(content).encode())


def restrict(sql: str, *, first: str, end: str) -> str:
    """Return the query for the documents of one physical partition."""
    match = _FROM.search(sql)
    assert match is not None, f"a query that the rules cannot read: {sql}"
    alias, joins, condition, order = match.groups()
    scope = f"{alias}.{_KEY_MEMBER} >= '{first}' AND {alias}.{_KEY_MEMBER} < '{end}'"
    where = f"{scope} AND {operand(condition)}" if condition else scope
    return f"{sql[: match.start()]}FROM {alias}{joins} WHERE {where} {order}".rstrip()


def plan_parts(sql: str) -> Sequence[str]:
    """Return the parts of a query: what it selects, its alias, its joins, its condition and its order."""
    match = _FROM.search(sql)
    assert match is not None, f"a query that the rules cannot read: {sql}"
    alias, joins, condition, order = match.groups()
    return sql[: match.start()].strip(), alias, joins, operand(condition or "true"), order


def operand(condition: str) -> str:
    """Return a condition as an operand of AND, in parentheses only if it needs them.

    The emulator's parser takes twice as long with each pair of nested parentheses.
    """
    depth = 0
    for part in re.split(r"([()]|\bOR\b)", condition, flags=re.IGNORECASE):
        depth += (part == "(") - (part == ")")
        if part.upper() == "OR" and depth == 0:
            return f"({condition})"
    return condition
