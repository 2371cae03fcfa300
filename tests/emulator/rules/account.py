"""Containers of the emulator, and the physical partitions that the rules add to them."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from azure.cosmos import PartitionKey

from tests.emulator.messages import PARTITION_KEY, PARTITION_RANGE, Request, Send

# Effective partition keys of version 2 are 16 bytes, below this number in the first one.
_FIRST_BYTE_MAX = 0x40
_KEY_DIGITS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartitionRange:
    """A physical partition: the effective partition keys from `first` up to `end`, and its parents before splits."""

    id: str
    first: str
    end: str
    parents: Sequence[str] = ()

    def contains(self, key: str) -> bool:
        """True if this partition has the documents with this effective partition key."""
        return self.first <= key < self.end

    def document(self) -> Mapping[str, object]:
        """Return the range as the store describes it."""
        return {
            "id": self.id,
            "_rid": f"range-{self.id}",
            "minInclusive": self.first,
            "maxExclusive": self.end,
            "status": "online",
            "parents": list(self.parents),
        }


@dataclasses.dataclass(kw_only=True)
class Container:
    """A container: the member with its partition key, its properties, and its physical partitions in order."""

    key_member: str
    properties: Mapping[str, Any]
    ranges: list[PartitionRange]

    def range_of(self, key: str) -> PartitionRange:
        """Return the partition with this effective partition key."""
        return next(each for each in self.ranges if each.contains(key))

    def ranges_of(self, request: Request) -> Sequence[PartitionRange]:
        """Return the partitions that a request reads or writes. A range that is gone is none of them."""
        if (range_id := request.headers.get(PARTITION_RANGE)) is not None:
            return [each for each in self.ranges if each.id == range_id]
        if request.partition_key is not None:
            return [self.range_of(effective_key(request.partition_key))]
        return self.ranges


class Account:
    """The containers that requests have met. A container begins with `partitions` physical partitions."""

    def __init__(self, *, partitions: int = 1) -> None:
        self._partitions = partitions
        self._containers = dict[str, Container]()

    async def container(self, request: Request, send: Send) -> Container | None:
        """Return the container of a request; None if it does not exist."""
        path = request.container
        if path not in self._containers:
            response = await send(Request(method="GET", path=f"/{path}", headers={"host": "emulator"}))
            properties = response.json()
            if not response.is_success or "partitionKey" not in properties:
                return None
            self._containers[path] = Container(
                key_member=properties["partitionKey"]["paths"][0].strip("/"),
                properties=properties,
                ranges=_equal_ranges(self._partitions),
            )
        return self._containers[path]

    def split(self, name: str) -> None:
        """Split the first physical partition of every container of this name in two."""
        for path, container in self._containers.items():
            if path.endswith(f"/colls/{name}"):
                container.ranges[:1] = _halves(container.ranges[0], next_id=_next_id(container.ranges))


@functools.lru_cache(maxsize=65_536)
def effective_key(partition_key: str) -> str:
    """Return the effective partition key: the hash of a partition key (as JSON) that decides on its partition."""
    values = json.loads(partition_key)
    return str(PartitionKey("/any", version=2)._get_epk_range_for_partition_key(values[0]).min)


def key_header(value: object) -> Mapping[str, str]:
    """The header of a request to the partition of this key."""
    return {PARTITION_KEY: json.dumps([value])}


def _equal_ranges(count: int) -> list[PartitionRange]:
    bounds = ["", *(f"{_FIRST_BYTE_MAX * number // count:02X}".ljust(_KEY_DIGITS, "0") for number in range(1, count))]
    return [
        PartitionRange(id=str(number), first=first, end=end)
        for number, (first, end) in enumerate(zip(bounds, [*bounds[1:], "FF"], strict=True))
    ]


def _halves(whole: PartitionRange, *, next_id: int) -> Sequence[PartitionRange]:
    first = int(whole.first[:8].ljust(8, "0"), 16)
    end = min(int(whole.end[:8].ljust(8, "0"), 16), _FIRST_BYTE_MAX << 24)
    middle = f"{(first + end) // 2:08X}".ljust(_KEY_DIGITS, "0")
    parents = [*whole.parents, whole.id]
    return [
        PartitionRange(id=str(next_id), first=whole.first, end=middle, parents=parents),
        PartitionRange(id=str(next_id + 1), first=middle, end=whole.end, parents=parents),
    ]


def _next_id(ranges: Sequence[PartitionRange]) -> int:
    return max(int(name) for each in ranges for name in (each.id, *each.parents)) + 1
