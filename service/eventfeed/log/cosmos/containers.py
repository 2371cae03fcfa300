"""The containers of a log in Cosmos DB: the one description that the engine, the emulators and `infra/` use.

Only queried members are indexed. Bodies, write ids and digests of content are not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# The store deletes an entry two hours after its retention. The log start passes it before that, even if it could not be
# moved for a while.
TTL_MARGIN_SECONDS = 7_200

# The store's time to live of documents that never expire.
NEVER = -1

EVENTS, CONTROL, RECORDS = "events", "control", "access"

# Queried alone or together with `sequence`. A feed's conditions are equalities; `source` is a prefix.
_INDEX_MEMBERS = (
    "sequence",
    "time",
    "identity",
    "eventid",
    "source",
    "type",
    "subject",
    "org",
    "app",
    "instance",
    "resource",
)
# The members that a feed fixes, and `sequence` last: its matches are one range of the index, in order.
_COMPOSITE_INDEXES = (
    ("org", "app", "sequence"),
    ("org", "app", "type", "sequence"),
    ("subject", "sequence"),
    ("type", "sequence"),
    ("resource", "sequence"),
    ("instance", "sequence"),
    # The first entry of a time.
    ("time", "sequence"),
)


class Container(NamedTuple):
    """A container: its partition key, its indexing policy and the time to live of its documents (s; None: for ever)."""

    name: str
    partition_key: str
    indexing: Mapping[str, object]
    ttl_seconds: int | None = None


def containers(*, keep_seconds: int) -> Sequence[Container]:
    """Return the containers of a log with a retention of `keep_seconds`."""
    return (
        Container(EVENTS, "/segment", _indexing(_INDEX_MEMBERS, _COMPOSITE_INDEXES), keep_seconds + TTL_MARGIN_SECONDS),
        Container(CONTROL, "/kind", _indexing((), ())),
        Container(RECORDS, "/kind", _indexing(("time", "organisation"), ())),
    )


def _indexing(members: Sequence[str], composite_indexes: Sequence[Sequence[str]]) -> Mapping[str, object]:
    return {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": f"/{name}/?"} for name in members],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [
            [{"path": f"/{name}", "order": "ascending"} for name in names] for names in composite_indexes
        ],
    }


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
