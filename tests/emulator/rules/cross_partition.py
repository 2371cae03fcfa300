"""Queries over all partitions: the gateway serves simple ones, and refuses those that need a plan.

Sources: the REST reference "Querying resources" (queries that the gateway cannot serve: 400 with the plan); the SDK's
`CROSS_PARTITION_QUERY_NOT_SERVABLE` (1004), after which it asks for the plan and sends one query to each physical
partition; the plan in Azure/cosmos issues (dapr/components-contrib#2818). The gateway serves one partition a page, so a
page can be empty and have a continuation: "Pagination in Azure Cosmos DB for NoSQL".
"""

import dataclasses
import re
from collections.abc import Mapping

from tests.emulator.messages import CONTINUATION, PARTITION_RANGE, Request, Response, Send, refuse, respond
from tests.emulator.rules.account import Account, Container
from tests.emulator.rules.partitions import RANGE_IS_GONE, plan_parts

_NOT_SERVABLE = 1004
_NEEDS_PLAN = re.compile(
    r"\bORDER\s+BY\b|\bTOP\b|\bDISTINCT\b|\bGROUP\s+BY\b|\bOFFSET\b|\b(?:COUNT|SUM|MIN|MAX|AVG)\s*\(", re.IGNORECASE
)
_SELECT = re.compile(r"SELECT\s+(?:TOP\s+(\S+)\s+)?(VALUE\s+)?(.*)$", re.IGNORECASE | re.DOTALL)
_NOT_PLAYED = re.compile(r"\bDISTINCT\b|\bGROUP\s+BY\b|\bOFFSET\b|\b(?:COUNT|SUM|MIN|MAX|AVG)\s*\(", re.IGNORECASE)
# The SDK replaces this by the condition after which a query continues; here always "true".
_FILTER = "{documentdb-formattableorderbyquery-filter}"


class CrossPartition:
    """Serve a query over all partitions one partition after another, or ask the SDK to do that by a plan."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def __call__(self, request: Request, send: Send) -> Response:
        """Serve a page of a query over all partitions. Other requests are sent on."""
        if request.is_query_plan:
            return _plan(request.json())
        container = await self._account.container(request, send) if request.is_query else None
        if container is None or request.partition_key is not None or PARTITION_RANGE in request.headers:
            return await send(request)
        if _NEEDS_PLAN.search(request.json()["query"]):
            message = "The provided cross partition query can not be directly served by the gateway."
            return refuse(400, message, substatus=_NOT_SERVABLE)
        return await _serve_page(request, send, container)


async def _serve_page(request: Request, send: Send, container: Container) -> Response:
    """Serve a page of one partition. The continuation has the partition and its own continuation."""
    range_id, _, token = request.headers.get(CONTINUATION, "").partition(";")
    ranges = [each.id for each in container.ranges]
    range_id = range_id or ranges[0]
    if range_id not in ranges:
        return refuse(410, "The partition key range is gone.", substatus=RANGE_IS_GONE)
    headers = {name: value for name, value in request.headers.items() if name != CONTINUATION}
    headers |= {PARTITION_RANGE: range_id} | ({CONTINUATION: token} if token else {})
    response = await send(dataclasses.replace(request, headers=headers))
    if response.is_success:
        following = ranges[ranges.index(range_id) + 1 :]
        if CONTINUATION in response.headers:
            response.headers[CONTINUATION] = f"{range_id};{response.headers[CONTINUATION]}"
        elif following:
            response.headers[CONTINUATION] = f"{following[0]};"
    return response


def _plan(content: Mapping[str, object]) -> Response:
    """Return the plan of a query with TOP or ORDER BY. Aggregates, DISTINCT, GROUP BY and OFFSET are not played."""
    sql = str(content["query"])
    if _NOT_PLAYED.search(sql):
        return refuse(400, f"The rules have no plan for this query: {sql}")
    selection, alias, joins, condition, order = plan_parts(sql)
    match = _SELECT.match(selection)
    assert match is not None, f"a query that the rules cannot read: {sql}"
    top, value, selected = match.groups()
    keys = [each.strip().split() for each in re.sub(r"(?i)^ORDER\s+BY\s+", "", order).split(",") if each.strip()]
    info: dict[str, object] = {
        "distinctType": "None",
        "top": _number(top, content) if top else None,
        "orderBy": ["Descending" if each[-1].upper() == "DESC" else "Ascending" for each in keys],
        "orderByExpressions": [each[0] for each in keys],
        "aggregates": [],
        "hasSelectValue": bool(value),
        "rewrittenQuery": "",
    }
    if keys:
        payload = selected if value else alias if selected.strip() == "*" else _object(selected)
        items = ", ".join(f'{{"item": {each[0]}}}' for each in keys)
        limit = f"TOP {top} " if top else ""
        columns = f"{alias}._rid, [{items}] AS orderByItems, {payload} AS payload"
        source = f"{alias}{joins} WHERE {_FILTER} AND {condition}"
        info["rewrittenQuery"] = f"SELECT {limit}{columns} FROM {source} {order}"  # noqa: S608  # of tests
    ranges = [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}]
    return respond(200, {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": ranges})


def _object(selected: str) -> str:
    """Return the selected members as one object, as a plan has them."""
    return "{" + ", ".join(f'"{each.split(".")[-1].strip()}": {each.strip()}' for each in selected.split(",")) + "}"


def _number(top: str, content: Mapping[str, object]) -> int:
    parameters = content.get("parameters")
    assert isinstance(parameters, list)
    values = {each["name"]: each["value"] for each in parameters}
    return int(values.get(top, top))
