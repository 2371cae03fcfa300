"""Throughput: each physical partition has its own budget of request units a second, and refuses with 429 above it.

Sources: Microsoft's "Diagnose and troubleshoot request rate too large (429) exceptions" (sub-status 3200, the budget is
reset each second), "Partitioning and horizontal scaling" (throughput is divided evenly over physical partitions) and
"Request Units" (charges by size: 1, 1.3 and 10 for reads, 5, 7 and 48 for writes of 1, 4 and 64 KB without an index).
The charges are a model of these figures and no measurement.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from tests.emulator.messages import Request, Response, Send, refuse
from tests.emulator.rules.account import Account, Container

_KB = 1024
READ_UNITS, READ_UNITS_KB = 1.0, 0.14
WRITE_UNITS, WRITE_UNITS_KB = 5.0, 0.68
# A replacement writes the old and the new index terms.
REPLACE_FACTOR = 2.0
INDEX_TERM_UNITS = 0.2
QUERY_UNITS, QUERY_UNITS_ITEM, QUERY_UNITS_KB = 2.5, 0.03, 0.05
REFUSAL_UNITS = 1.0
_RATE_IS_LARGE = 3200


class Throughput:
    """Charge requests, and refuse those to a physical partition that has used its budget of this second.

    No budget (None) charges only. `clock` has seconds. `refusals` counts them by container.
    """

    def __init__(self, account: Account, clock: Callable[[], float], *, units_a_second: float | None = None) -> None:
        self._account, self._clock, self._budget = account, clock, units_a_second
        self._debts: dict[tuple[str, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        self.refusals = defaultdict[str, int](int)

    async def __call__(self, request: Request, send: Send) -> Response:
        """Refuse the request, or send it on and charge it."""
        container = await self._account.container(request, send) if request.is_for_documents else None
        if container is None or request.is_query_plan:
            return await send(request)
        partitions = [(request.container, each.id) for each in container.ranges_of(request)]
        debt = max((self._debt(each) for each in partitions), default=0.0)
        if self._budget is not None and debt >= self._budget:
            self.refusals[request.container.rpartition("/")[2]] += 1
            return _refuse(self._seconds_until_free(debt, self._budget))
        response = await send(request)
        units = charge(request, response, container)
        for each in partitions:
            self._debts[each] = (self._clock(), self._debt(each) + units / len(partitions))
        response.headers["x-ms-request-charge"] = f"{units:.2f}"
        return response

    def _debt(self, partition: tuple[str, str]) -> float:
        """The units used in this second, with what a request used beyond the budget of an earlier one."""
        time, units = self._debts[partition]
        seconds = math.floor(self._clock()) - math.floor(time)
        return max(0.0, units - seconds * self._budget) if self._budget is not None else 0.0

    def _seconds_until_free(self, debt: float, budget: float) -> float:
        return math.floor(self._clock()) + math.floor(debt / budget) - self._clock()


def charge(request: Request, response: Response, container: Container) -> float:
    """Return the request units of a request, by its kind, its bytes and its index terms."""
    if not response.is_success:
        return REFUSAL_UNITS
    if request.is_query:
        items = int(response.json().get("_count", 0))
        return QUERY_UNITS + QUERY_UNITS_ITEM * items + QUERY_UNITS_KB * len(response.body) / _KB
    if not request.is_write:
        return READ_UNITS + READ_UNITS_KB * max(0.0, len(response.body) / _KB - 1)
    units = WRITE_UNITS + WRITE_UNITS_KB * max(0.0, len(request.body) / _KB - 1)
    if not request.is_batch:
        units += INDEX_TERM_UNITS * index_terms(request.json(), container.properties.get("indexingPolicy", {}))
    return units if response.status == HTTPStatus.CREATED else units * REPLACE_FACTOR


def index_terms(document: Mapping[str, object], policy: Mapping[str, Any]) -> int:
    """Return the number of index terms of a document, by the included paths of a policy and its composite indexes."""
    paths = [each["path"] for each in policy.get("includedPaths", [])]
    if "/*" in paths:
        return _leaves(document)
    composites = [each for each in policy.get("compositeIndexes") or [] if any(_at(document, part) for part in each)]
    return len(composites) + sum(_leaves(document.get(path.split("/")[1])) for path in paths)


def _at(document: Mapping[str, object], part: Mapping[str, str]) -> bool:
    return part["path"].strip("/") in document


def _leaves(value: object) -> int:
    match value:
        case None:
            return 0
        case Mapping():
            return sum(_leaves(each) for each in value.values())
        case list():
            return sum(_leaves(each) for each in value)
        case _:
            return 1


def _refuse(seconds: float) -> Response:
    milliseconds = max(1, math.ceil(1_000 * seconds))
    message = json.dumps({"Errors": ["Request rate is large. More Request Units may be needed."]})
    return refuse(429, message, substatus=_RATE_IS_LARGE, x_ms_retry_after_ms=milliseconds)
