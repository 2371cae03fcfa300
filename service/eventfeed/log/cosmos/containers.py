"""The containers of a log in Cosmos DB: the one description that the engine, the emulators and `infra/` use.

Only what is queried is indexed. Bodies, marks and digests of content are not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# An entry is out of sight for an hour before the floor passes it, and for another before the store deletes it: a
# floor that could not be moved for a while is not overtaken.
TTL_MARGIN_SECONDS = 7_200

# A time to live of the store that ends no life.
NEVER = -1

EVENTS, CONTROL, ACCESS = "events", "control", "access"

# Searched alone or beside `sequence`. A feed's conditions are equalities; `source` is a prefix.
_SEARCHED = (
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
# What a feed fixes, with `sequence` last, so that its matches are one stretch of the index, in order.
_TOGETHER = (
    ("org", "app", "sequence"),
    ("org", "app", "type", "sequence"),
    ("subject", "sequence"),
    ("type", "sequence"),
    ("resource", "sequence"),
    ("instance", "sequence"),
    # Where a time begins.
    ("time", "sequence"),
)


class Container(NamedTuple):
    """A container: its partition key, what is indexed, and whether its documents age (s; None: never)."""

    name: str
    partition_key: str
    indexing: Mapping[str, object]
    ttl_seconds: int | None = None


def containers(*, keep_seconds: int) -> Sequence[Container]:
    """The containers of a log that shows its entries for `keep_seconds`."""
    return (
        Container(EVENTS, "/segment", _indexing(_SEARCHED, _TOGETHER), keep_seconds + TTL_MARGIN_SECONDS),
        Container(CONTROL, "/kind", _indexing((), ())),
        Container(ACCESS, "/kind", _indexing(("time", "organisation"), ())),
    )


def _indexing(searched: Sequence[str], together: Sequence[Sequence[str]]) -> Mapping[str, object]:
    return {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": f"/{name}/?"} for name in searched],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [[{"path": f"/{name}", "order": "ascending"} for name in names] for names in together],
    }


def differences(wanted: Container, found: Mapping[str, Any], *, indexes: bool) -> Sequence[str]:
    """How a container, as the store describes it, is not as wanted, in words. Documents may stay longer."""
    told = list[str]()
    keys = list(found.get("partitionKey", {}).get("paths", []))
    if keys != [wanted.partition_key]:
        told.append(f"container {wanted.name} is partitioned by {', '.join(keys)}, not {wanted.partition_key}")
    ttl = found.get("defaultTtl") or NEVER
    if ttl != NEVER and (wanted.ttl_seconds is None or ttl < wanted.ttl_seconds):
        kept = "for ever" if wanted.ttl_seconds is None else f"for {wanted.ttl_seconds} s"
        told.append(f"container {wanted.name} deletes after {ttl} s what must stay {kept}")
    if indexes and (missing := _indexed(wanted.indexing) - _indexed(found.get("indexingPolicy", {}))):
        told.append(f"container {wanted.name} lacks the indexes {', '.join(sorted(missing))}")
    return told


def _indexed(policy: Mapping[str, Any]) -> set[str]:
    single = {each["path"] for each in policy.get("includedPaths", [])}
    return single | {"+".join(each["path"] for each in index) for index in policy.get("compositeIndexes", [])}
