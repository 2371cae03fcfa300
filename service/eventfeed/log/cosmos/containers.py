"""The containers of a log in Cosmos DB: `containers.json` is the description for engine, emulators and `infra/`.

Only queried members are indexed. The events of a commit are not.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

# The store's time to live of documents that never expire.
NEVER = -1

COMMITS, OWNERS, RECORDS = "commits", "owners", "records"
# The container of layout 1, which no release wrote.
EVENTS_OF_LAYOUT_1 = "events"


class Container(NamedTuple):
    """A container: its partition key, its indexing policy and the time to live of its documents (s; None: for ever)."""

    name: str
    partition_key: str
    indexing: Mapping[str, object]
    ttl_seconds: int | None = None


class TimeToLive(msgspec.Struct, frozen=True):
    """The time to live of documents: a multiple of the retention, and a margin (s).

    The log start passes a commit before the store deletes it, even if it could not be moved for a while.
    """

    retentions: float
    margin_seconds: int


class ContainerDescription(msgspec.Struct, frozen=True):
    """A container in the file. `infra/` also reads its share of the throughput that the deployment names."""

    name: str
    partition_key: str
    time_to_live: TimeToLive | None
    indexed: Sequence[str]
    composite: Sequence[Sequence[str]]


class StoreDescription(msgspec.Struct, frozen=True):
    """The file: the number of the layout, the entries of a segment, and the containers."""

    layout: int
    segment_entries: int
    containers: Sequence[ContainerDescription]


@functools.cache
def description() -> StoreDescription:
    """Return the description of the store."""
    return msgspec.json.decode(Path(__file__).with_name("containers.json").read_bytes(), type=StoreDescription)


def containers(*, keep_seconds: int) -> Sequence[Container]:
    """Return the containers of a log with a retention of `keep_seconds`."""
    return [
        Container(each.name, each.partition_key, _indexing(each), _ttl_seconds(each, keep_seconds=keep_seconds))
        for each in description().containers
    ]


def _indexing(container: ContainerDescription) -> Mapping[str, object]:
    return {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": path} for path in container.indexed],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [[{"path": path, "order": "ascending"} for path in paths] for paths in container.composite],
    }


def _ttl_seconds(container: ContainerDescription, *, keep_seconds: int) -> int | None:
    ttl = container.time_to_live
    return None if ttl is None else math.ceil(ttl.retentions * keep_seconds) + ttl.margin_seconds


def differences(container: Container, properties: Mapping[str, Any], *, indexes: bool) -> Sequence[str]:
    """Return the differences between a container and its properties in the store, as messages.

    Documents may stay longer than required.
    """
    messages = list[str]()
    keys = list(properties.get("partitionKey", {}).get("paths", []))
    if keys != [container.partition_key]:
        messages.append(
            f"container {container.name} has the partition key {', '.join(keys)}, not {container.partition_key}"
        )
    ttl = properties.get("defaultTtl") or NEVER
    if ttl != NEVER and (container.ttl_seconds is None or ttl < container.ttl_seconds):
        minimum = "for ever" if container.ttl_seconds is None else f"for {container.ttl_seconds} s"
        messages.append(f"container {container.name} deletes documents after {ttl} s but must keep them {minimum}")
    if indexes and (missing := _index_paths(container.indexing) - _index_paths(properties.get("indexingPolicy", {}))):
        messages.append(f"container {container.name} lacks the indexes {', '.join(sorted(missing))}")
    return messages


def _index_paths(policy: Mapping[str, Any]) -> set[str]:
    single = {each["path"] for each in policy.get("includedPaths", [])}
    return single | {"+".join(each["path"] for each in index) for index in policy.get("compositeIndexes", [])}
